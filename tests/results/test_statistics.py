"""Bootstrap intervals, ranks and agreement, against published values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from saliency.results.statistics import critical_difference, interval, krippendorff, rank_test

_ = np.nan

EXAMPLE = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
        [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
    ]
)
"""Four observers and twelve units of Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"."""


def test_krippendorff_published() -> None:
    """The published α of the example: 0.849 for interval data and 0.815 for ordinal data."""
    assert krippendorff(EXAMPLE) == pytest.approx(0.849, abs=5e-4)
    assert krippendorff(EXAMPLE, "ordinal") == pytest.approx(0.815, abs=5e-4)


def test_krippendorff_literal() -> None:
    """α is 1 minus the mean squared difference within units over that of all pairs of values."""
    values = np.random.default_rng(0).integers(0, 4, (3, 8)).astype(float)
    within = np.mean(
        [(a - b) ** 2 for unit in values.T for i, a in enumerate(unit) for j, b in enumerate(unit) if i != j]
    )
    flat = values.ravel()
    every = np.mean([(a - b) ** 2 for i, a in enumerate(flat) for j, b in enumerate(flat) if i != j])

    assert krippendorff(values) == pytest.approx(1 - within / every)


def test_krippendorff_undefined() -> None:
    """Equal values, and units with one value each, have no α."""
    assert np.isnan(krippendorff(np.ones((2, 3))))
    assert np.isnan(krippendorff(np.array([[1, _], [_, 2]])))


@pytest.mark.parametrize(("methods", "q"), [(2, 1.960), (6, 2.850), (10, 3.164)])
def test_critical_difference(methods: int, q: float) -> None:
    """Nemenyi's q at the 5 % level, from Demšar 2006, table 5."""
    found = critical_difference(methods, 30)

    assert found / np.sqrt(methods * (methods + 1) / (6 * 30)) == pytest.approx(q, abs=5e-4)


def test_rank_test() -> None:
    """Ranks are means over images with ties shared; Friedman's χ² follows from them."""
    values = np.array([[3.0, 2, 1], [3, 1, 1], [1, 2, 3], [9, 5, 4]])
    found = rank_test(values, higher_is_better=True)

    assert found.ranks.tolist() == [(1 + 1 + 3 + 1) / 4, (2 + 2.5 + 2 + 2) / 4, (3 + 2.5 + 1 + 3) / 4]
    assert rank_test(values, higher_is_better=False).ranks.tolist() == (4 - found.ranks).tolist()
    distinct = np.random.default_rng(0).normal(size=(10, 4))
    mean = stats.rankdata(distinct, axis=1).mean(0)
    by_hand = 12 * 10 / (4 * 5) * ((mean - 2.5) ** 2).sum()
    assert rank_test(distinct, higher_is_better=False).statistic == pytest.approx(by_hand)


def test_rank_test_of_few() -> None:
    """Two methods, or one image, have ranks and no test."""
    assert np.isnan(rank_test(np.array([[1.0, 2], [2, 3]]), higher_is_better=True).p)
    assert np.isnan(rank_test(np.array([[1.0, 2, 3]]), higher_is_better=True).p)
    assert np.isnan(critical_difference(1, 9))


def test_interval_covers_the_mean() -> None:
    """95 % intervals of skewed samples of 40 values contain the true mean in 85 to 99 of 100 draws."""
    draws = np.random.default_rng(0)
    found = [interval(draws.exponential(size=40)) for _ in range(100)]

    assert 85 <= sum(each.low < 1 < each.high for each in found) <= 99


def test_interval_of_few() -> None:
    """Without values, or with one, there is no interval; equal values have one of length zero."""
    assert "at least two" in interval(np.array([2.0])).reason
    assert np.isnan(interval(np.zeros(0)).mean)
    assert interval(np.full(5, 2.0))[:3] == (2, 2, 2)
    values = np.random.default_rng(0).normal(size=9)
    assert interval(values, 1) == interval(values, 1) != interval(values, 2)
