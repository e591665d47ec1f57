"""Predict: the top classes of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency import checks
from saliency.api.prepare import prepare
from saliency.model.head import Head
from saliency.model.protocols import Adapted
from saliency.pictures.presets import Preprocess
from saliency.targets import label_of


@dataclass(frozen=True)
class Prediction:
    """One class or value, and what the model gives it."""

    index: int
    label: str
    probability: float | None
    """0–1; None where the model's outputs are values in a unit of their own: see `score`."""
    score: float
    """What the model gave, before any activation of ours; of two classes that share one output, each one's own."""

    @property
    def shown(self) -> float:
        """What is shown: the probability, or the value."""
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
    """What the model sees in the image: its top classes, best first.

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
        BadOutput: NaN or infinity; or several outputs, and nothing says which one is meant.
    """
    top = checks.whole(top, "top", 1)
    prepared = prepare(
        model,
        image,
        labels=labels,
        preprocess=preprocess,
        framework=framework,
        activation=activation,
        output=output,
    )
    return ranked(prepared.outputs, prepared.adapted, top)


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
