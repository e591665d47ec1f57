"""One path of Guided IG: the values of smallest gradient move first."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from saliency.errors import BadOutput, BadShape

EPSILON = 1e-9
"""Two distances this near each other, relatively or absolutely, are the same."""


class Walk:
    """One path of Guided IG: how far each value has come, and what it gathered. In float64, on the host.

    A value stands at start + alpha * (end - start). In each step the whole picture comes 1 / steps of its way nearer to
    the end, in L1 distance; the values of smallest gradient go first, each as far as it may.

    Args:
        start: any shape.
        end: the same shape.
        steps: of the walk.
        fraction: share of the values that move at once.
        max_dist: how far an alpha may differ from the straight line's.
    """

    def __init__(self, start: np.ndarray, end: np.ndarray, steps: int, fraction: float, max_dist: float) -> None:
        self.start = np.asarray(start, np.float64)
        self.way = np.asarray(end, np.float64) - self.start
        self.steps, self.done, self.max_dist = steps, 0, max_dist
        self.lengths = np.abs(self.way).ravel()
        self.whole = float(self.lengths.sum())
        # a value without a way has arrived
        self.alphas, self.gathered = (self.lengths == 0).astype(np.float64), np.zeros(self.way.size)
        self.rank = int(np.floor(fraction * (self.way.size - 1)))

    def point(self) -> np.ndarray:
        """Where it stands."""
        return self.start + self.alphas.reshape(self.way.shape) * self.way

    def mask(self) -> np.ndarray:
        """The gradients times the ways gone so far."""
        return self.gathered.reshape(self.way.shape) * self.way

    def advance(self, gradient: np.ndarray) -> None:
        """Take one step.

        Args:
            gradient: where it stands.

        Raises:
            BadShape: the gradient is of another shape than the image.
            BadOutput: it is not finite, so that its values cannot be ranked.
        """
        if gradient.shape != self.way.shape:
            raise BadShape(f"The gradient must have the image's shape {self.way.shape}, got {gradient.shape}.")
        if not np.isfinite(gradient).all():
            raise BadOutput(
                f"In step {self.done + 1} of {self.steps} the gradient holds NaN or infinite values, by which Guided "
                "IG cannot choose a way. Check the model on this image (overflow, log of zero)."
            )
        self.done += 1
        alphas = self._moved(np.abs(gradient).ravel())
        self.gathered += (alphas - self.alphas) * gradient.ravel()
        self.alphas = alphas

    def _moved(self, magnitudes: np.ndarray) -> np.ndarray:
        """The alphas after this step."""
        line = self.done / self.steps
        nearest, furthest = max(line - self.max_dist, 0.0), min(line + self.max_dist, 1.0)
        target = self.whole * (1 - line)
        alphas = np.maximum(self.alphas, nearest)
        ahead = float(np.einsum("i,i", self.lengths, 1 - alphas)) - target
        # those that may move no more count as infinite, and so come last
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
            # not enough: all of them go as far as they may, and others follow; at least one, so this comes to an end
            alphas[moving] = furthest
            magnitudes[moving] = np.inf
            ahead -= room
        return alphas

    def _smallest(self, magnitudes: np.ndarray) -> np.ndarray:
        """Where the magnitudes are finite and at most their quantile over all values."""
        threshold = smallest(magnitudes, self.rank)
        return np.flatnonzero(magnitudes <= threshold if np.isfinite(threshold) else np.isfinite(magnitudes))


def smallest(values: np.ndarray, rank: int) -> Any:
    """The value (n,) that has `rank` smaller ones before it: ``np.partition(values, rank)[rank]``.

    A sorted sample tells between which two values to look, so that few need sorting. Where it tells wrong, all do.
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
