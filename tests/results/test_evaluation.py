"""The table of an evaluation: summary, ranks, agreement, plot and frame."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import saliency
from saliency.results.evaluation import Evaluation, EvaluationRow

METHODS = ("good", "fair", "bad")


def table(images: int = 12, **metrics: str) -> Evaluation:
    """Return measurements in which the methods have the values 3, 2 and 1, better first, plus noise; random is 0.5."""
    metrics = metrics or {"up": "higher", "down": "lower"}
    draws = np.random.default_rng(0)
    return Evaluation(
        EvaluationRow(image, "cat", method, metric, float(value), "", 0.5, 0.0, 1.0, better)
        for image in range(images)
        for place, method in enumerate(METHODS)
        for metric, better in metrics.items()
        for value in [(place + 1 if better == "lower" else 3 - place) + draws.normal() / 5]
    )


def test_summary() -> None:
    """Each method has its mean, and the mean difference to random maps inside its interval."""
    found = {(row.metric, row.method): row for row in table().summary()}

    assert len(found) == 6
    for (metric, method), row in found.items():
        values = [each.value for each in table().rows if (each.metric, each.method) == (metric, method)]
        assert row.mean == pytest.approx(np.mean(values))
        assert row.difference == pytest.approx(np.mean(values) - 0.5)
        assert row.low < row.difference < row.high
        assert (row.images, row.undefined, row.errors, row.random) == (12, 0, 0, 0.5)
    assert "good" in repr(table())


def test_summary_of_missing_values() -> None:
    """Undefined values and errors are counted; one image has no interval, and the reason says so."""
    rows = [
        EvaluationRow(0, "cat", "a", "up", 1.0, "", 0.5, 0.0, 1.0, "higher"),
        EvaluationRow(1, "cat", "a", "up", reason="the mask is constant", better="higher"),
        EvaluationRow(2, "cat", "a", "up", error="BadImage: no", better="higher"),
        EvaluationRow(0, "cat", "b", "up", 1.0, better="higher"),
    ]
    one, other = Evaluation(rows).summary()

    assert (one.images, one.undefined, one.errors, one.difference) == (1, 1, 1, 0.5)
    assert np.isnan(one.low)
    assert one.reason == "the mask is constant"
    assert np.isnan(other.difference)
    assert "1 undefined, 1 failed: the mask is constant" in repr(Evaluation(rows))


def test_ranks() -> None:
    """The better method has the lower rank, also where low values are better."""
    for metric in ("up", "down"):
        found = table().ranks(metric)
        assert found.methods == METHODS
        assert found.ranks.tolist() == [1, 2, 3]
        assert found.p < 0.001
        assert found.critical_difference == pytest.approx(2.3437 * np.sqrt(3 * 4 / (6 * 12)), abs=1e-3)
    assert "1.00  good" in repr(table().ranks("up"))


def test_ranks_need_a_direction_and_images() -> None:
    """Metrics without a better direction, and those without a complete image, raise."""
    found = table(gini="neither")
    with pytest.raises(saliency.BadField, match="no ranks"):
        found.ranks("gini")
    with pytest.raises(saliency.UnknownName, match="Did you mean 'gini'"):
        found.ranks("gni")
    with pytest.raises(saliency.BadField, match="for every method"):
        Evaluation([EvaluationRow(0, "cat", "a", "up", better="higher")]).ranks("up")


def test_images_without_all_values_do_not_count() -> None:
    """An image on which a method has no value is left out of the ranks."""
    rows = [each._replace(value=np.nan) if each[0] == 3 and each[2] == "bad" else each for each in table().rows]

    assert Evaluation(rows).ranks("up").images == 11


def test_agreement() -> None:
    """Metrics of the same order agree; one in the opposite order conflicts on every pair of methods."""
    agree = table().agreement()
    assert agree.alpha == pytest.approx(1)
    assert agree.conflicts.tolist() == [[0, 0], [0, 0]]

    opposite = [row._replace(better="higher") for row in table(up="higher", down="lower", gini="neither").rows]
    found = Evaluation(each for each in opposite if each.metric != "gini").agreement()
    assert found.conflicts.tolist() == [[0, 1], [1, 0]]
    assert found.alpha < -0.4
    assert "100 %" in repr(found)
    assert table(up="higher", gini="neither").agreement().metrics == ("up",)
    assert np.isnan(table(gini="neither").agreement().alpha)


def test_chance_agreement() -> None:
    """Random values of 300 images have an α near zero and conflicts near a half."""
    draws = np.random.default_rng(0)
    rows = [row._replace(value=draws.normal(), better="higher") for row in table(images=300).rows]
    found = Evaluation(rows).agreement()

    assert abs(found.alpha) < 0.1
    assert found.conflicts[0, 1] == pytest.approx(0.5, abs=0.06)


def test_plot() -> None:
    """Each metric has axes with a dot at each mean, and the band of random maps."""
    found = table()
    axes = found.plot()

    assert [ax.get_title() for ax in axes] == ["up (higher)", "down (lower)"]
    dots = [float(np.ravel(line.get_xdata())[0]) for line in axes[0].lines if line.get_marker() == "o"]
    assert dots == pytest.approx([row.mean for row in found.summary() if row.metric == "up"])
    assert [label.get_text() for label in axes[0].get_yticklabels()] == list(METHODS)
    assert len(axes[0].patches) == 1


def test_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """`frame` passes one record for each row to pandas; without pandas it names the package."""
    found = table(2)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(saliency.MissingPackage, match="pip install pandas"):
        found.frame()

    passed: dict[str, Any] = {}
    monkeypatch.setitem(
        sys.modules, "pandas", SimpleNamespace(DataFrame=lambda rows, **given: passed.update(given, rows=rows))
    )
    found.frame()
    assert passed["columns"] == list(EvaluationRow._fields)
    assert passed["rows"][0]["method"] == "good"
    assert len(passed["rows"]) == len(found) == 12
