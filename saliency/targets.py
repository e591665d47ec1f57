"""What is explained: one number per image, made of a model's outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency.errors import BadTarget, unknown


@dataclass(frozen=True)
class ClassScore:
    """The score of one class."""

    index: int

    def __call__(self, outputs: Any) -> Any:
        """(N, classes) -> (N,)."""
        return outputs[:, self.index]


def index_of(target: Any, labels: Sequence[str] | None, classes: int) -> int:
    """The class that an index or a label means.

    Args:
        target: index (negative ones count from the end), or label.
        labels: names of the classes, where there are any.
        classes: how many there are.

    Raises:
        BadTarget: no such index, or a label where the model has none.
        UnknownName: no such label.
    """
    if isinstance(target, str):
        if labels is None:
            raise BadTarget(f"The target {target!r} is a label, but this model has none: pass labels=[…] or an index.")
        names = list(labels)
        if target not in names:
            raise unknown("label", target, names)
        return names.index(target)
    if isinstance(target, bool) or not isinstance(target, int | np.integer):
        raise BadTarget(
            f"A target is a class index, a label, None (the top class) or a callable outputs -> (N,), got {target!r}."
        )
    if not -classes <= target < classes:
        raise BadTarget(f"The model has {classes} classes (0 to {classes - 1}), got target {int(target)}.")
    return int(target) % classes


def label_of(index: int, labels: Sequence[str] | None) -> str:
    """A class's name, or its number as text where there are no names."""
    return labels[index] if labels is not None and index < len(labels) else str(index)


def probabilities(outputs: np.ndarray, activation: str = "auto") -> np.ndarray:
    """Outputs (N, classes) as probabilities.

    Args:
        outputs: what the model said.
        activation: "softmax", "sigmoid" (multi-label), "none", or "auto": softmax unless the rows are probabilities
            already.
    """
    if activation == "auto":
        activation = "none" if are_probabilities(outputs) else "softmax"
    match activation:
        case "none":
            return outputs
        case "sigmoid":
            return np.asarray(0.5 * (1 + np.tanh(0.5 * outputs)))
        case "softmax":
            powers = np.exp(outputs - outputs.max(-1, keepdims=True))
            return np.asarray(powers / powers.sum(-1, keepdims=True))
    raise unknown("activation", activation, ("auto", "softmax", "sigmoid", "none"))


def are_probabilities(outputs: np.ndarray) -> bool:
    """Whether every row is non-negative and sums to one."""
    return bool((outputs >= 0).all() and np.allclose(outputs.sum(-1), 1, atol=1e-3)) and outputs.shape[-1] > 1
