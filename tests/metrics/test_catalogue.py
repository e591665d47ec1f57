"""What holds for every metric of the catalogue."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

import saliency
from saliency import metrics
from saliency.api.cases import Rerun, case_of
from saliency.metrics.catalogue import METRICS
from saliency.metrics.metric import FAMILIES
from tests.nets import LABELS, picture, small_net

FEW: dict[str, dict[str, Any]] = {
    "deletion": {"levels": 8},
    "insertion": {"levels": 8},
    "srg": {"levels": 8},
    "irof": {"segments": "grid", "count": 16},
    "aopc": {"levels": 5, "cell": 4},
    "sic": {"shares": (0.1, 0.3)},
    "aic": {"shares": (0.1, 0.3)},
    "faithfulness_correlation": {"cell": 4, "draws": 20},
    "sensitivity_n": {"cell": 4, "draws": 10, "sizes": 3},
    "infidelity": {"draws": 10},
    "mprt": {"stages": 1, "draws": 1},
    "smooth_mprt": {"stages": 1, "draws": 1, "samples": 2},
    "efficient_mprt": {"draws": 1},
    "sensitivity_max": {"draws": 2},
}
"""Fields with which a metric is cheap."""


def metric(name: str) -> metrics.Metric:
    """Return a metric with few samples."""
    return METRICS[name](**FEW.get(name, {}))


def case(truth: bool = True, runs: bool = True) -> metrics.Case[Any]:
    """Return the case of the small network, with or without the object's pixels and the method."""
    prepared = saliency.prepare(small_net(), [picture()], LABELS)
    height, width = prepared.picture.fed.shape[1:3]
    pixels = np.zeros((height, width), bool)
    pixels[: height // 2, : width // 2] = True
    found = case_of(prepared, 1, truth=pixels if truth else None)
    if runs:
        found.runner = Rerun(prepared, prepared.run("integrated_gradients", 1, {}), found.session)
    return found


def mask() -> metrics.Attribution:
    """Return the mask of the case's method."""
    method = "integrated_gradients"
    exp = saliency.explain(small_net(), picture(), method, 1, labels=LABELS, progress=False)
    return metrics.Attribution.of(exp)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_describes_itself(name: str) -> None:
    """Every metric has a title, a family, advice that says what values mean, a source, and a row of the table."""
    cls = METRICS[name]
    row = next(each for each in metrics.table() if each.id == name)

    assert cls.title
    assert cls.advice.endswith(".")
    assert cls.family in FAMILIES
    assert (cls.__doc__ or "").strip()
    assert row.cls is cls is getattr(metrics, cls.__name__)
    assert row.better in ("higher", "lower", "neither")
    assert name in repr(metrics.table())


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_a_value(name: str) -> None:
    """Equal fields give equal keys, a changed field another one, and an unknown field is refused."""
    one = metric(name)
    assert one.key() == metric(name).key()
    with pytest.raises(saliency.UnknownName, match="field of"):
        one.but(nonsense=1)
    numbers = {each.name: getattr(one, each.name) for each in fields(one) if each.type == "int"}
    for name_of_field, value in numbers.items():
        assert one.but(**{name_of_field: value + 1}).key() != one.key()


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_gives_the_same_value_twice(name: str) -> None:
    """The value depends on the case and the mask only, is finite or has a reason, and costs no more than announced."""
    one, other = (metric(name)(case(), mask()) for _ in range(2))
    if one.reason:
        assert np.isnan(one.value)
        assert np.isnan(other.value)
    else:
        assert np.isfinite(one.value)
        assert one.value == pytest.approx(other.value, rel=1e-5, abs=1e-7)
    cls = METRICS[name]
    if not cls.needs_method:
        assert one.images <= metric(name).cost((16, 16)) or cls.needs_truth
    assert (one.band is not None) == (bool(cls.pairs) and not one.reason)
    if one.band is not None:
        assert one.band.low <= one.band.mean <= one.band.high
        assert one.band.maps >= 10


@pytest.mark.parametrize("name", METRICS)
def test_what_a_metric_needs_is_a_reason_not_a_number(name: str) -> None:
    """Without the object's pixels, the method, or a finite mask that fits, the value is NaN with the reason."""
    cls, one = METRICS[name], metric(name)
    bare = case(truth=False, runs=False)
    if cls.needs_truth:
        assert "object" in one(bare, mask()).reason
    if cls.needs_method:
        assert "method" in one(bare, mask()).reason
    whole, good = case(), mask()
    for bad, word in ((good.values * np.nan, "NaN"), (good.values[:3], "height and width")):
        found = one(whole, metrics.Attribution(bad, good.sign))
        assert np.isnan(found.value)
        assert word in found.reason
