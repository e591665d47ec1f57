"""Windows on a grid, and the map of the values that windows have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from saliency.model.protocols import Ops

A = TypeVar("A")

Spans = list[tuple[int, int]]
"""The windows along one axis, (start, stop) of each."""


class Windows(Generic[A]):
    """The windows of an image, in the order of evaluation.

    Args:
        ops: array functions of the model.
        shape: of the images, (B, H, W, ...).
        axes: the windows along rows, columns and channels.
        deep: whether windows, and therefore maps, have channels.
        order: indices of the windows of the grid, in the order of evaluation.
    """

    def __init__(
        self, ops: Ops[A], shape: tuple[int, ...], axes: Sequence[Spans], *, deep: bool, order: np.ndarray
    ) -> None:
        self._ops, self._deep = ops, deep
        self.grid = tuple(map(len, axes))
        """Number of windows down, across and in channels."""
        places = np.unravel_index(order, self.grid)
        cut = axes if deep else axes[:2]
        self.cuts = np.concatenate([np.array(axis)[at] for axis, at in zip(cut, places, strict=False)], 1)
        """(top, bottom, left, right) of each window, half-open; with (first, last) channel where windows have them."""
        lengths = (*shape[1:3], int(np.prod(shape[3:])))
        self._factors: list[Any] = [
            ops.asarray(covers(axis, length)) for axis, length in zip(axes, lengths, strict=True)
        ]
        # the index of each window of the grid in the order of evaluation
        self._place = np.argsort(order)

    def map(self, values: Any, evaluated: int, reduce: str) -> Any:
        """Return the map of the first windows: at each pixel, the mean or sum of the windows that cover it.

        A sum of some windows only is scaled to all.

        Args:
            values: (k, n) for the first n windows of all images, image by image.
            evaluated: n.
            reduce: "mean" or "sum".

        Returns:
            (k, b, H, W), with channels if the windows have them.
        """
        ops, each = self._ops, len(self._place)
        k, images = int(values.shape[0]), -(-evaluated // each)
        missing = images * each - evaluated
        visited = np.ones(images * each)
        if missing:
            visited[evaluated:] = 0
            values = ops.concat([values, ops.asarray(np.zeros((k, missing)))], 1)
        in_grid = ops.take(ops.reshape(values, (k, images, each)), self._place)
        total: Any = self._spread(ops.reshape(in_grid, (-1, *self.grid)))
        total = ops.reshape(total, (k, images, *total.shape[1:]))
        if reduce == "sum" and not missing:
            return total
        count = self._spread(ops.asarray(visited.reshape(images, each)[:, self._place].reshape(images, *self.grid)))
        mean = total / ops.maximum(count, 1.0)
        return mean if reduce == "mean" else mean * self._spread(ops.asarray(np.ones((1, *self.grid))))

    def _spread(self, windows: Any) -> Any:
        """Add the values of a grid's windows, (n, down, across, channels), to their pixels: (n, H, W[, C])."""
        ops, (rows, columns, channels) = self._ops, self._factors
        each: Any = ops.transpose(windows, (0, 3, 1, 2))
        each = ops.matmul(ops.matmul(ops.transpose(rows, (1, 0)), each), columns)
        if not self._deep:
            return each[:, 0]
        return ops.matmul(ops.transpose(each, (0, 2, 3, 1)), channels)


def covers(windows: Spans, length: int) -> np.ndarray:
    """Return (windows, length): 1 where the window covers."""
    at = np.arange(length)
    return np.array([(at >= start) & (at < stop) for start, stop in windows], np.float64)
