"""Statistics of measurements over images: bootstrap intervals, ranks of methods, agreement of metrics."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

RESAMPLES = 2000
"""Number of bootstrap resamples."""

LEVELS = ("interval", "ordinal")
"""Levels of measurement for :func:`krippendorff`."""


class Interval(NamedTuple):
    """A mean with its 95 % confidence interval."""

    mean: float
    low: float
    high: float
    reason: str = ""
    """Why there is no interval; empty if there is one."""


def interval(values: np.ndarray, seed: int = 0) -> Interval:
    """Return the mean of values (n,) with its bootstrap interval: bias-corrected and accelerated, 2,000 resamples.

    Paired data are passed as their differences. One value, or none, has no interval; equal values have one of length 0.

    Args:
        values: (n,), finite.
        seed: seed of the resamples.
    """
    nan = float("nan")
    if not len(values):
        return Interval(nan, nan, nan, "there are no values")
    mean = float(values.mean())
    if len(values) == 1:
        return Interval(mean, nan, nan, "an interval needs at least two images")
    if np.ptp(values) == 0:
        return Interval(mean, mean, mean)
    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of degenerate data, which gives NaN
        found = stats.bootstrap(
            (values,), np.mean, n_resamples=RESAMPLES, method="BCa", random_state=np.random.default_rng(seed)
        ).confidence_interval
    if not np.isfinite([found.low, found.high]).all():
        return Interval(mean, nan, nan, "the values of the images are too much alike for an interval")
    return Interval(mean, float(found.low), float(found.high))


class RankTest(NamedTuple):
    """Ranks of k methods over N images."""

    ranks: np.ndarray
    """(k,): the mean rank of each method, 1 for the best."""
    statistic: float
    """Friedman's χ²; NaN for fewer than three methods or two images."""
    p: float
    """The probability of a statistic at least that large if all methods are equal."""
    critical_difference: float
    """Nemenyi's: mean ranks that differ by more are significantly different at the 5 % level."""


def rank_test(values: np.ndarray, *, higher_is_better: bool) -> RankTest:
    """Return mean ranks, Friedman's test and Nemenyi's critical difference (Demšar 2006).

    Args:
        values: (N, k), of N images and k methods, finite.
        higher_is_better: whether the largest value has rank 1.
    """
    from scipy import stats

    images, count = values.shape
    ranks = stats.rankdata(-values if higher_is_better else values, axis=1)
    statistic = p = float("nan")
    if images > 1 and count > 2 and np.ptp(ranks):
        statistic, p = map(float, stats.friedmanchisquare(*values.T))
    return RankTest(ranks.mean(0), statistic, p, critical_difference(count, images))


def critical_difference(methods: int, images: int) -> float:
    """Return Nemenyi's critical difference of mean ranks at the 5 % level: q √(k (k + 1) / (6 N))."""
    from scipy import stats

    if methods < 2:
        return float("nan")
    q = stats.studentized_range.ppf(0.95, methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * images)))


def krippendorff(values: np.ndarray, level: str = "interval") -> float:
    """Return Krippendorff's α of several raters: 1 for agreement, 0 for chance.

    Args:
        values: (raters, units), NaN where a rater has no value. Units with fewer than two values are left out.
        level: "interval" (squared differences) or "ordinal" (only the order of the values counts).

    Returns:
        α; NaN where nothing can be compared, or all values are equal.
    """
    kept = values[:, np.isfinite(values).sum(0) >= 2]
    there = np.isfinite(kept)
    levels, codes = np.unique(kept[there], return_inverse=True)
    if len(levels) < 2:
        return float("nan")
    # how often each unit has each level
    counts = np.zeros((kept.shape[1], len(levels)))
    np.add.at(counts, (np.nonzero(there)[1], codes), 1)
    weights = 1 / (counts.sum(1, keepdims=True) - 1)
    pairs = (counts * weights).T @ counts - np.diag((counts * weights).sum(0))
    totals = counts.sum(0)
    places = np.cumsum(totals) - totals / 2 if level == "ordinal" else levels
    distance = (places[:, None] - places) ** 2
    expected = np.outer(totals, totals) / (totals.sum() - 1)
    return float(1 - (pairs * distance).sum() / (expected * distance).sum())
