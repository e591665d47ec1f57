"""Metrics of a mask's values alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from saliency.metrics import Entropy, Gini, Metric
from tests.metrics.test_localisation import measured

ONE = np.zeros((4, 5))
ONE[2, 3] = -7


@pytest.mark.parametrize(
    ("metric", "constant", "one"), [(Gini(), 0, 19 / 20), (Entropy(), math.log(20), 0)], ids=["gini", "entropy"]
)
def test_goldens(metric: Metric, constant: float, one: float) -> None:
    """A constant mask and one with a single value have the extreme values; scale and sign have no effect."""
    for scale in (1, -3, 1e-300, 1e300):
        assert measured(metric, np.full((4, 5), 1.0 * scale), None).value == pytest.approx(constant, abs=1e-12)
        assert measured(metric, ONE / 7 * scale, None).value == pytest.approx(one, abs=1e-12)


def test_gini_of_four_values() -> None:
    """[0, 0, 0, 1] has 0.75, and [1, 2, 3, 4] has 0.25."""
    assert measured(Gini(), np.array([[0.0, 0], [0, 1]]), None).value == pytest.approx(0.75)
    assert measured(Gini(), np.array([[4.0, 2], [3, -1]]), None).value == pytest.approx(0.25)


@given(hnp.arrays(np.float64, (3, 3), elements=st.integers(0, 5).map(float)).filter(lambda values: values.any()))
def test_literal(values: np.ndarray) -> None:
    """Gini is half the relative mean difference of all pairs; the entropy is that of the shares."""
    flat = values.ravel().tolist()
    differences = sum(abs(a - b) for a in flat for b in flat)
    shares = [each / sum(flat) for each in flat]

    assert measured(Gini(), values, None).value == pytest.approx(differences / (2 * len(flat) * sum(flat)), abs=1e-12)
    entropy = -sum(share * math.log(share) for share in shares if share)
    assert measured(Entropy(), values, None).value == pytest.approx(entropy, abs=1e-12)


@pytest.mark.parametrize("metric", [Gini(), Entropy()], ids=lambda each: each.id)
def test_undefined(metric: Metric) -> None:
    """A mask of zeros has no distribution; neither has one without positive values where only these count."""
    assert measured(metric, np.zeros((4, 5)), None).reason == "the mask is zero"
    assert "above zero" in measured(metric.but(sign="signed"), ONE, None).reason


@pytest.mark.parametrize("metric", [Gini(), Entropy()], ids=lambda each: each.id)
def test_no_band(metric: Metric) -> None:
    """Random maps are no reference for them, so that they have no band."""
    assert measured(metric, ONE, None, band=True).band is None
