"""Insertion and deletion curves: the score as the most salient pixels are added to or removed from a picture.

Pixels are added to a picture without content, or removed from the picture, in the order of their salience. A mask that
finds what the model uses makes the score rise quickly, and fall quickly (arXiv:1806.07421, section 4.3).
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeVar

import numpy as np

from saliency.errors import BadField
from saliency.metrics.case import Case
from saliency.metrics.deletion import Deletion
from saliency.metrics.insertion import Insertion
from saliency.metrics.orders import by_salience

__all__ = ["PerturbationCurves", "curves"]

A = TypeVar("A")


class PerturbationCurves(NamedTuple):
    """The target's probability, or value (see `measure`), as pixels are inserted or deleted."""

    shares: np.ndarray
    """(points + 1,) from 0 to 1: the share of the pixels that is inserted or deleted."""
    insertion: np.ndarray
    """(points + 1,): the target's probability, or value, with only this most salient share of the picture."""
    deletion: np.ndarray
    """(points + 1,): the same without this most salient share."""
    insertion_auc: float
    """Area under `insertion`: higher is better."""
    deletion_auc: float
    """Area under `deletion`: lower is better."""
    measure: Literal["probability", "value"] = "probability"
    """"probability": 0–1; "value": the model's output in its own unit."""


def curves(case: Case[A], salience: np.ndarray, fill: str, points: int) -> PerturbationCurves:
    """Compute both curves from 2 * `points` images.

    Args:
        case: the model with the image and the target.
        salience: (H, W), larger where more salient. Equal pixels are in random order.
        fill: replacement of removed pixels, one of :data:`saliency.pictures.picture.FILLS`.
        points: number of equal shares into which the pixels are divided.

    Raises:
        BadField: fewer than one point, or more than there are pixels.
    """
    if not 1 <= points <= salience.size:
        raise BadField(f"points must be 1 to {salience.size}, the number of pixels, got {points!r}.")
    order = by_salience(salience)
    inserted = Insertion(fill=fill, levels=points).along(case, order)
    deleted = Deletion(fill=fill, levels=points).along(case, order)
    (insertion,), (deletion,) = inserted.curves.values(), deleted.curves.values()
    measure: Literal["probability", "value"] = "probability" if case.has_probabilities else "value"
    return PerturbationCurves(insertion.at, insertion.values, deletion.values, inserted.value, deleted.value, measure)
