"""Metrics that compare a mask with the pixels of an object."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import saliency
from saliency import metrics
from saliency.api.cases import case_of
from saliency.metrics import (
    Attribution,
    EnergyPointingGame,
    IoU,
    LocalisationAUC,
    Measurement,
    Metric,
    PointingGame,
    RelevanceMassAccuracy,
    RelevanceRankAccuracy,
)

RANK = [PointingGame(), RelevanceRankAccuracy(), LocalisationAUC(), IoU()]
MASS = [RelevanceMassAccuracy(), EnergyPointingGame()]

BOX = np.zeros((6, 8), bool)
BOX[1:4, 2:6] = True
"""12 of 48 pixels."""


def measured(metric: Metric, values: np.ndarray, truth: np.ndarray | None, *, band: bool = False) -> Measurement:
    """Return the metric of a mask; the model is never called again."""
    prepared = saliency.prepare(lambda x: x.mean((1, 2)), [np.ones((*values.shape[:2], 3), np.float32)])
    case = case_of(prepared, 0, truth=truth)
    found = metric(case, Attribution(values), band=band)
    assert case.images == 0
    return found


masks_with_ties = hnp.arrays(np.float64, (3, 4), elements=st.integers(-2, 2).map(float))
truths = hnp.arrays(np.bool_, (3, 4)).filter(lambda truth: 0 < truth.sum() < truth.size)


def hits_over_all_orders(values: np.ndarray, truth: np.ndarray, count: int) -> float:
    """Return the expected hits among the first `count` pixels by drawing the orders of tied pixels one by one."""
    draws = np.random.default_rng(0)
    found = [np.lexsort((draws.random(values.size), -values.ravel()))[:count] for _ in range(2000)]
    return float(np.mean([truth.ravel()[each].sum() for each in found]))


@given(masks_with_ties, truths)
def test_pointing_by_hand(values: np.ndarray, truth: np.ndarray) -> None:
    """The hit is the mean over the pixels with the maximum."""
    top = [inside for value, inside in zip(values.flat, truth.flat, strict=True) if value == values.max()]

    assert PointingGame().compare(Attribution(values), truth).value == pytest.approx(sum(top) / len(top))


@given(masks_with_ties, truths)
def test_auc_by_hand(values: np.ndarray, truth: np.ndarray) -> None:
    """The AUC is the share of pairs of an object's pixel and another one in the right order; ties count half."""
    pairs = list(itertools.product(values[truth], values[~truth]))
    right = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs)

    assert LocalisationAUC().compare(Attribution(values), truth).value == pytest.approx(right / len(pairs))


@given(masks_with_ties, truths)
def test_iou_by_hand(values: np.ndarray, truth: np.ndarray) -> None:
    """The best IoU is the maximum over the thresholds; that of the object's area follows from the rank accuracy."""
    best = max(((values >= at) & truth).sum() / ((values >= at) | truth).sum() for at in np.unique(values))
    rank = RelevanceRankAccuracy().compare(Attribution(values), truth).value
    found = IoU().compare(Attribution(values), truth)

    assert found.details["best"] == pytest.approx(best)
    assert found.value == pytest.approx(rank / (2 - rank))


@given(masks_with_ties, truths)
def test_mass_by_hand(values: np.ndarray, truth: np.ndarray) -> None:
    """The mass accuracy is the share of the positive values that is on the object."""
    positive = sum(value for value in values.flat if value > 0)
    inside = sum(value for value, there in zip(values.flat, truth.flat, strict=True) if there and value > 0)
    found = RelevanceMassAccuracy().compare(Attribution(values), truth)

    assert found.value == (pytest.approx(inside / positive) if positive else pytest.approx(np.nan, nan_ok=True))


def test_rank_accuracy_is_the_expectation_over_orders_of_ties() -> None:
    """The closed form for tied pixels equals the mean over 2,000 orders drawn at random."""
    draws = np.random.default_rng(1)
    for _ in range(5):
        values, truth = draws.integers(0, 3, (4, 5)).astype(float), draws.random((4, 5)) < 0.4
        expected = hits_over_all_orders(values, truth, int(truth.sum())) / truth.sum()

        assert RelevanceRankAccuracy().compare(Attribution(values), truth).value == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(
    ("metric", "perfect", "chance", "inverted"),
    [
        (PointingGame(), 1, 12 / 48, 0),
        (RelevanceRankAccuracy(), 1, 12 / 48, 0),
        (RelevanceMassAccuracy(), 1, 12 / 48, 0),
        (EnergyPointingGame(), 1, 12 / 48, 0),
        (LocalisationAUC(), 1, 0.5, 0),
        (IoU(), 1, (12 / 48) / (2 - 12 / 48), 0),
    ],
    ids=lambda each: getattr(each, "id", None),
)
def test_goldens(metric: Metric, perfect: float, chance: float, inverted: float) -> None:
    """The object itself has the best value, a constant mask that of chance, and the other pixels the worst."""
    for values, expected in ((BOX, perfect), (np.ones_like(BOX), chance), (~BOX, inverted)):
        assert measured(metric, values.astype(float), BOX).value == pytest.approx(expected)


def test_inverted_large_object() -> None:
    """Of an object with more than half the pixels, an inverted mask still has (2|G| - n) / |G|."""
    large = np.ones((6, 8), bool)
    large[0] = False

    assert measured(RelevanceRankAccuracy(), -large.astype(float), large).value == pytest.approx((2 * 40 - 48) / 40)


def test_average_precision_of_a_constant_mask_is_the_objects_share() -> None:
    """All pixels share one threshold, whose precision is |G| / n."""
    found = measured(LocalisationAUC(), np.ones((6, 8)), BOX)

    assert found.details["average precision"] == pytest.approx(12 / 48)


def test_the_tolerance_of_the_pointing_game() -> None:
    """A maximum outside of the object hits within the tolerance, measured as a Euclidean distance."""
    values = np.zeros((6, 8))
    values[5, 7] = 1  # two rows below and two columns right of the corner (3, 5): a distance of 2.83

    assert [measured(PointingGame(tolerance=each), values, BOX).value for each in (0, 2, 3)] == [0, 0, 1]


def test_the_energy_is_that_of_the_box() -> None:
    """Salience inside the bounding box of an object counts, also where the object has a hole."""
    ring = BOX.copy()
    ring[2, 3:5] = False
    values = np.zeros((6, 8))
    values[2, 3], values[0, 0] = 3, 1

    assert measured(EnergyPointingGame(), values, ring).value == pytest.approx(0.75)
    assert measured(RelevanceMassAccuracy(), values, ring).value == 0
    corners = np.zeros((6, 8), bool)
    corners[0, 0] = corners[-1, -1] = True
    assert "covers the whole image" in measured(EnergyPointingGame(), values, corners).reason


def test_the_share_of_iou() -> None:
    """The IoU of a given share of the pixels: 6 of 48, all on the object, share 6 of 12 with it."""
    values = np.zeros((6, 8))
    values[1, 2:6] = values[2, 2:4] = 1

    assert measured(IoU(share=6 / 48), values, BOX).value == pytest.approx(6 / 12)
    assert measured(IoU(), values, BOX).details == pytest.approx({"best": 0.5, "best share": 6 / 48})


@pytest.mark.parametrize("metric", [*RANK, *MASS], ids=lambda each: each.id)
def test_scale_and_monotone_invariance(metric: Metric) -> None:
    """A factor changes no metric; 2a + 1 changes those of mass, and none of rank."""
    values = np.random.default_rng(0).normal(size=(6, 8))
    value = measured(metric, values, BOX).value

    assert measured(metric, 1e-30 * values, BOX).value == pytest.approx(value)
    assert measured(metric, 1e30 * values, BOX).value == pytest.approx(value)
    assert (measured(metric, 2 * values + 1, BOX).value == pytest.approx(value)) == (metric in RANK)


@pytest.mark.parametrize("metric", [*RANK, *MASS], ids=lambda each: each.id)
@pytest.mark.parametrize(
    ("values", "truth", "reason"),
    [
        (np.ones((6, 8)), None, "pass masks"),
        (np.ones((6, 8)), np.zeros((6, 8), bool), "the mask of the object is empty"),
        (np.ones((6, 8)), np.ones((6, 8), bool), "covers the whole image"),
        (np.full((6, 8), np.nan), BOX, "NaN"),
    ],
)
def test_undefined(metric: Metric, values: np.ndarray, truth: Any, reason: str) -> None:
    """Without a truth, or with an empty or a full one, or with NaN in the mask, the value is NaN with a reason."""
    found = measured(metric, values, truth, band=True)

    assert np.isnan(found.value)
    assert reason in found.reason
    assert found.band is None


@pytest.mark.parametrize("metric", MASS, ids=lambda each: each.id)
def test_no_mass(metric: Metric) -> None:
    """A mask without positive values has no mass to share."""
    assert "no salience is positive" in measured(metric, -np.ones((6, 8)), BOX).reason


@pytest.mark.parametrize("metric", [*RANK, *MASS], ids=lambda each: each.id)
def test_the_random_band_contains_chance(metric: Metric) -> None:
    """The band of random maps contains the value of a constant mask, and its mean is near it."""
    truth = np.zeros((28, 28), bool)
    truth[4:18, 6:20] = True
    values = np.random.default_rng(0).normal(size=(28, 28))

    band = measured(metric, values, truth, band=True).band
    chance = measured(metric, np.ones((28, 28)), truth).value

    assert band is not None
    assert band.maps == 20
    assert band.low < chance < band.high
    assert band.mean == pytest.approx(chance, abs=0.15 if metric.id == "pointing_game" else 0.05)


@pytest.mark.parametrize("metric", [*RANK, *MASS], ids=lambda each: each.id)
def test_signs(metric: Metric) -> None:
    """Negative values count as salient only where absolute values are asked for."""
    values = np.where(BOX, -3.0, 1.0)

    assert measured(metric, values, BOX).value == 0
    assert measured(metric.but(sign="absolute"), values, BOX).value > 0.4


def test_localisation_metrics_are_listed() -> None:
    """The table states that they need the pixels of the object and evaluate no image."""
    rows = {each.id: each for each in metrics.table()}

    for metric in (*RANK, *MASS):
        row = rows[metric.id]
        assert (row.family, row.needs, row.better, row.cost) == ("localisation", "the object's pixels", "higher", 0)
