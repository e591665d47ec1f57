"""Insertion and deletion curves: the score as the most salient pixels are added to or removed from a picture.

Pixels are added to a picture without content, or removed from the picture, in the order of their salience. A mask that
finds what the model uses makes the score rise quickly, and fall quickly (arXiv:1806.07421, section 4.3).
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np

from saliency.errors import BadField
from saliency.model.head import Head
from saliency.model.protocols import Ops
from saliency.session.samples import PerImage
from saliency.session.session import Session

__all__ = ["Kept", "PerturbationCurves", "curves", "order_of"]

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


class Kept(PerImage[A]):
    """An image with only some of its pixels kept, for each of several choices of pixels.

    Args:
        ops: array functions of the model.
        image: (1, H, W, C).
        filled: (1, H, W, C), the values of removed pixels.
        keep: (n, H, W) bool, or a function that returns it for a slice of choices.
        each: number of choices.
    """

    def __init__(self, ops: Ops[A], image: Any, filled: Any, keep: Any, each: int) -> None:
        super().__init__(ops, image, each)
        self.filled, self.keep = filled, keep

    def copies(self, image: int, which: slice) -> Any:
        keep = self.keep(which) if callable(self.keep) else self.keep[which]
        shown: Any = self.ops.asarray(keep[..., None])
        return self.ops.where(shown > 0.5, self.images, self.filled)


def order_of(values: np.ndarray) -> np.ndarray:
    """Return the rank of each pixel, (H, W) int: 0 for the most salient; of equal ones the upper left comes first."""
    places = np.empty(values.size, np.int64)
    places[np.argsort(-values, axis=None, kind="stable")] = np.arange(values.size)
    return places.reshape(values.shape)


def curves(
    session: Session[A], image: Any, filled: Any, order: np.ndarray, target: int, points: int
) -> PerturbationCurves:
    """Compute both curves from 2 * `points` images.

    Args:
        session: a session of a model whose head is decided.
        image: (1, H, W, C), in the model's own array type.
        filled: (1, H, W, C), the same without its content.
        order: (H, W), see :func:`order_of`.
        target: index of the class.
        points: number of equal shares into which the pixels are divided.

    Raises:
        BadField: fewer than one point, or more than there are pixels.
    """
    if not 1 <= points <= order.size:
        raise BadField(f"points must be 1 to {order.size}, the number of pixels, got {points!r}.")
    counts = np.rint(np.linspace(0, order.size, points + 1)).astype(np.int64)

    def keep(which: slice) -> np.ndarray:
        # the end points serve both curves: nothing inserted equals everything deleted
        index = np.arange(which.start, which.stop)
        comes = index <= points
        count = counts[np.where(comes, index, index - points)][:, None, None]
        return np.where(comes[:, None, None], order < count, order >= count)

    samples = Kept(session.ops, image, filled, keep, 2 * points)
    rows = np.concatenate([outputs for _, outputs in session.outputs(samples)])
    model: Any = session.model
    head: Head = model.head
    share = head.shown(rows)[:, target]
    insertion = share[: points + 1]
    deletion = np.concatenate([share[[points]], share[points + 1 :], share[[0]]])
    shares = counts / order.size
    measure: Literal["probability", "value"] = "value" if head.meaning == "value" else "probability"
    return PerturbationCurves(shares, insertion, deletion, _area(shares, insertion), _area(shares, deletion), measure)


def _area(shares: np.ndarray, heights: np.ndarray) -> float:
    """Return the area by the trapezoidal rule."""
    return float((np.diff(shares) * (heights[1:] + heights[:-1]) / 2).sum())
