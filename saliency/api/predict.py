"""Predict the top classes of a picture: :func:`predict`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency import checks
from saliency.api.prepare import only, prepare
from saliency.model.head import Head
from saliency.model.protocols import Adapted
from saliency.pictures.presets import Preprocess
from saliency.targets import label_of


@dataclass(frozen=True)
class Prediction:
    """One class or value, and the model's output for it."""

    index: int
    label: str
    probability: float | None
    """0–1; None where the model's outputs are values in a unit of their own: see `score`."""
    score: float
    """The model's output before any activation by this package; of two classes that share one output, each its own."""

    @property
    def shown(self) -> float:
        """The probability, or the value where there is none."""
        return self.score if self.probability is None else self.probability


def predict(
    model: Any,
    image: Any,
    top: int = 5,
    labels: Sequence[str] | None = None,
    *,
    preprocess: Preprocess | None = None,
    activation: str = "auto",
    output: Any = None,
    framework: str | None = None,
) -> list[Prediction]:
    """Return the model's top classes for an image, best first.

    Args:
        model: see :func:`saliency.adapt`.
        image: see :func:`saliency.explain`.
        top: how many classes.
        labels: names of the classes.
        preprocess: see :func:`saliency.explain`.
        activation: see :func:`saliency.adapt`.
        output: see :func:`saliency.adapt`.
        framework: see :func:`saliency.explain`.

    Raises:
        BadOutput: the output is NaN or infinite, or there are several outputs and none is selected.
    """
    top = checks.whole(top, "top", 1)
    prepared = prepare(model, [image], labels, preprocess, framework, activation, output)
    return ranked(only(prepared.outputs), prepared.adapted, top)


def ranked(outputs: np.ndarray, adapted: Adapted[Any], top: int) -> list[Prediction]:
    """Return the top classes, or values, of outputs (K,), best first."""
    head: Head = adapted.head
    names = head.names(adapted.labels, len(outputs))
    scores, shares = head.scores(outputs), head.shares(outputs)
    best = np.argsort(-scores, kind="stable")[:top]
    return [
        Prediction(int(i), label_of(int(i), names), None if shares is None else float(shares[i]), float(scores[i]))
        for i in best
    ]
