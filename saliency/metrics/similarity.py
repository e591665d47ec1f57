"""Similarity of two maps, or of two series of numbers."""

from __future__ import annotations

import numpy as np


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    """Return Spearman's rank correlation of two maps of equal shape, from -1 to 1; equal values share their mean rank.

    With a constant map it is 0: the expectation over all orders of its pixels. With NaN it is NaN.
    """
    if np.isnan(one).any() or np.isnan(other).any():
        return float("nan")
    ranks = [mean_ranks(each.ravel()) for each in (one, other)]
    centred = [each - each.mean() for each in ranks]
    norm = float(np.sqrt((centred[0] @ centred[0]) * (centred[1] @ centred[1])))
    return float(centred[0] @ centred[1]) / norm if norm else 0.0


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value, (n,), from 1; equal values share the mean of their ranks."""
    # scipy.stats has this too, but takes half a second to import
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[places])


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return Pearson's correlation; NaN where one of the two is constant."""
    a, b = one - one.mean(), other - other.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    # rounding alone does not make values differ
    if np.ptp(one) <= 1e-12 * np.abs(one).max() or np.ptp(other) <= 1e-12 * np.abs(other).max() or size == 0:
        return float("nan")
    return float((a * b).sum() / size)
