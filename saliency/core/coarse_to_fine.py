"""Values on a grid of windows, of which a share is evaluated: coarsely everywhere, finely where they are large."""

from __future__ import annotations

import numpy as np

STEP = 2
"""Every so many windows, down and across, are evaluated first."""


class CoarseToFine:
    """The choice of windows to evaluate, and the interpolation of the others.

    Args:
        grid: number of windows down, across and in channels.
        share: share of the windows to evaluate; the coarse ones are evaluated in any case.
    """

    def __init__(self, grid: tuple[int, ...], share: float) -> None:
        count = int(np.prod(grid))
        numbers = np.arange(count).reshape(grid)
        self._grid = grid
        self.coarse = numbers[::STEP, ::STEP].ravel()
        """Indices of the windows to evaluate first."""
        self.fine = max(0, round(share * count) - len(self.coarse))
        """Number of windows to evaluate after them."""
        self._others = np.setdiff1d(numbers, self.coarse)

    def filled(self, values: np.ndarray) -> np.ndarray:
        """Return the values of all windows (k, n) by linear interpolation between the coarse ones (k, m)."""
        down, across, channels = self._grid
        rows, columns = _between(down), _between(across)
        coarse = values.reshape(len(values), rows.shape[1], columns.shape[1], channels)
        return np.einsum("ia,kabc,jb->kijc", rows, coarse, columns).reshape(len(values), -1)

    def next(self, filled: np.ndarray) -> np.ndarray:
        """Return the windows to evaluate after the coarse ones: those of the largest values (k, n) for any target."""
        low, high = filled.min(1, keepdims=True), filled.max(1, keepdims=True)
        large = np.divide(filled - low, high - low, out=np.zeros_like(filled), where=high > low).max(0)
        return self._others[np.argsort(-large[self._others], kind="stable")[: self.fine]]


def _between(count: int) -> np.ndarray:
    """Return the weights (count, m) of every second of `count` points in all of them; the last one is repeated."""
    weights = np.zeros((count, -(-count // STEP)))
    at = np.minimum(np.arange(count) / STEP, weights.shape[1] - 1)
    low = np.minimum(np.floor(at).astype(int), weights.shape[1] - 1)
    high = np.minimum(low + 1, weights.shape[1] - 1)
    np.add.at(weights, (np.arange(count), low), 1 - (at - low))
    np.add.at(weights, (np.arange(count), high), at - low)
    return weights
