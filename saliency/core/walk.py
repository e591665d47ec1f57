"""One path of Guided IG: values with small gradients move first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from saliency.core.paths import Evaluation
from saliency.errors import BadOutput, BadShape
from saliency.model.protocols import Ops

A = TypeVar("A")

EPSILON = 1e-9
"""Two distances this close, relatively or absolutely, count as equal."""


class Walk:
    """One path of Guided IG: how far each value has moved, and its attribution. In float64, on the host.

    A value is at start + alpha * (end - start). Each step moves the whole picture 1 / steps of its total L1 distance
    closer to the end; values with the smallest gradients move first, each as far as allowed.

    Args:
        start: any shape.
        end: the same shape.
        steps: number of steps.
        fraction: share of the values that move at once.
        max_dist: maximum difference of an alpha from the straight line's.
    """

    def __init__(self, start: np.ndarray, end: np.ndarray, steps: int, fraction: float, max_dist: float) -> None:
        self.start = np.asarray(start, np.float64)
        self.way = np.asarray(end, np.float64) - self.start
        self.steps, self.done, self.max_dist = steps, 0, max_dist
        self.lengths = np.abs(self.way).ravel()
        self.whole = float(self.lengths.sum())
        # a value with nothing to change is at its end
        self.alphas, self.gathered = (self.lengths == 0).astype(np.float64), np.zeros(self.way.size)
        self.rank = int(np.floor(fraction * (self.way.size - 1)))

    def point(self) -> np.ndarray:
        """Return the current point."""
        return self.start + self.alphas.reshape(self.way.shape) * self.way

    def mask(self) -> np.ndarray:
        """Return the gradients times the changes so far."""
        return self.gathered.reshape(self.way.shape) * self.way

    def advance(self, gradient: np.ndarray) -> None:
        """Take one step.

        Args:
            gradient: gradient at the current point.

        Raises:
            BadShape: the gradient has another shape than the image.
            BadOutput: it is not finite, so that its values cannot be ranked.
        """
        if gradient.shape != self.way.shape:
            raise BadShape(f"The gradient must have the image's shape {self.way.shape}, got {gradient.shape}.")
        if not np.isfinite(gradient).all():
            raise BadOutput(
                f"In step {self.done + 1} of {self.steps} the gradient contains NaN or infinite values, so that Guided "
                "IG cannot choose a direction. Check the model on this image (overflow, log of zero)."
            )
        self.done += 1
        alphas = self._moved(np.abs(gradient).ravel())
        self.gathered += (alphas - self.alphas) * gradient.ravel()
        self.alphas = alphas

    def _moved(self, magnitudes: np.ndarray) -> np.ndarray:
        """Return the alphas after this step."""
        line = self.done / self.steps
        nearest, furthest = max(line - self.max_dist, 0.0), min(line + self.max_dist, 1.0)
        target = self.whole * (1 - line)
        alphas = np.maximum(self.alphas, nearest)
        ahead = float(np.einsum("i,i", self.lengths, 1 - alphas)) - target
        # values that cannot move any more count as infinite, and therefore come last
        magnitudes[alphas >= furthest] = np.inf
        while ahead > EPSILON * max(1.0, target):
            moving = self._smallest(magnitudes)
            if not moving.size:
                break
            rooms = furthest - alphas[moving]
            room = float(np.einsum("i,i", self.lengths[moving], rooms))
            if ahead <= room:
                alphas[moving] += rooms * (ahead / room)
                break
            # not enough: all of them move as far as allowed, and others follow; at least one, so that this terminates
            alphas[moving] = furthest
            magnitudes[moving] = np.inf
            ahead -= room
        return alphas

    def _smallest(self, magnitudes: np.ndarray) -> np.ndarray:
        """Return where the magnitudes are finite and at most their quantile over all values."""
        threshold = smallest(magnitudes, self.rank)
        return np.flatnonzero(magnitudes <= threshold if np.isfinite(threshold) else np.isfinite(magnitudes))


def smallest(values: np.ndarray, rank: int) -> Any:
    """Return the value (n,) at index `rank` of the sorted values: ``np.partition(values, rank)[rank]``.

    A sorted sample gives bounds, so that only few values need sorting; if the bounds are wrong, all are sorted.
    """
    step = len(values) // 4096 | 1
    if step > 8:
        sample = np.sort(values[::step])
        at, margin = rank // step, 2 * math.isqrt(len(sample))
        low, high = sample[max(0, at - margin)], sample[min(len(sample) - 1, at + margin)]
        before = rank - np.count_nonzero(values < low)
        between = values[(values >= low) & (values <= high)]
        if 0 <= before < len(between):
            return np.partition(between, before)[before]
    return np.partition(values, rank)[rank]


class WalkedPath(Generic[A]):
    """A walk of Guided IG as a :class:`~saliency.core.paths.Path`: straight between the evaluated points.

    Args:
        walk: a completed walk.
        places: how far each value has moved, at each step and at the end.
        met: the evaluations at each step.
        image: index of the image it leads to.
        target: the target it was computed for.
    """

    def __init__(
        self, ops: Ops[A], walk: Walk, places: list[np.ndarray], met: Sequence[Evaluation], image: int, target: int
    ) -> None:
        self.ops, self.start, self.way = ops, walk.start, walk.way
        self.places, self.met, self.image = places, met, image
        self.target: int | None = target

    def points(self, alphas: np.ndarray) -> Any:
        """See :class:`~saliency.core.paths.Path`."""
        return self.ops.asarray(np.stack([self.start + self._come(alpha) * self.way for alpha in alphas]))

    def ways(self, alphas: np.ndarray) -> Any:
        """See :class:`~saliency.core.paths.Path`."""
        come = np.stack([self._come(alpha) for alpha in alphas])
        return self.ops.asarray(np.diff(come, axis=0) * self.way)

    def _come(self, alpha: float) -> np.ndarray:
        """Return how far each value has moved."""
        at = alpha * (len(self.places) - 1)
        before = min(int(at), len(self.places) - 2)
        here, there = self.places[before], self.places[before + 1]
        return (here + (at - before) * (there - here)).reshape(self.way.shape)
