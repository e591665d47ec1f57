"""Cases of metrics that run the method again."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import saliency
from saliency.api.cases import Rerun, case_of
from saliency.metrics import Attribution, Case, Measurement, Metric

GRADIENT = saliency.GradientSaliency()
OPTIONS: dict[str, Any] = {"batch_size": 4}


def case_with(model: Any, image: np.ndarray, method: Any, target: Any = 1, seed: int = 0) -> Case[Any]:
    """Return the case of an image whose mask a method computes."""
    prepared = saliency.prepare(model, [image])
    case = case_of(prepared, target, seed=seed, **OPTIONS)
    case.runner = Rerun(prepared, prepared.run(method, target, {}), case.session, OPTIONS)
    return case


def mask_of(model: Any, image: np.ndarray, method: Any, target: Any = 1) -> Attribution:
    """Return the mask of a method."""
    return Attribution.of(saliency.explain(model, image, method, target, progress=False, **OPTIONS))


def measured(metric: Metric, model: Any, image: np.ndarray, method: Any, target: Any = 1) -> Measurement:
    """Return a metric of a method's mask."""
    return metric(case_with(model, image, method, target), mask_of(model, image, method, target))


def picture() -> np.ndarray:
    """Return a picture of 24×20 pixels, in 0–1."""
    values = np.random.default_rng(0).random((24, 20, 3), np.float32)
    values[0, 0], values[0, 1] = 0, 1
    return values


def gradient(net: torch.nn.Module, image: np.ndarray, target: int = 1) -> np.ndarray:
    """Return the gradient of a class's score, (H, W, C), by torch alone."""
    x = torch.tensor(image, dtype=torch.float32).movedim(-1, 0)[None].requires_grad_()
    (found,) = torch.autograd.grad(net(x)[0, target], x)
    return found[0].movedim(0, -1).numpy().astype(np.float64)


def fed(net: torch.nn.Module, image: np.ndarray) -> np.ndarray:
    """Return the input of the model, (H, W, C)."""
    return np.asarray(saliency.prepare(net, [image]).picture.fed[0])
