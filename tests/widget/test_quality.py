"""Which results are poor, why, and the change that improves them."""

from __future__ import annotations

import numpy as np
import pytest

import saliency
from saliency_widget.protocol.quality import HIGH, concern
from saliency_widget.traits.parameters import changed
from tests.nets import LABELS, picture, small_net
from tests.widget.conftest import Make
from tests.widget.front_end import Browser
from tests.widget.test_wire import explained, noise

METHODS = [
    saliency.IntegratedGradients(steps=2),
    saliency.BlurIG(steps=3),
    saliency.ExpectedGradients(samples=3),
    saliency.Rise(samples=50),
    saliency.SmoothGrad(samples=3),
    saliency.ShapleySampling(samples=2),
]


def explain(method: saliency.Method) -> saliency.Explanation:
    """Explain a class of a small network."""
    return saliency.explain(small_net(), picture(), method, 1, labels=LABELS, progress=False)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.id)
def test_a_remedy_improves_the_result(method: saliency.Method) -> None:
    """Too few steps or samples are reported; the remedy's fields are valid and make it better."""
    found = concern(explain(method), method)

    assert found is not None
    assert found["remedy"]["label"]
    better = changed(method, found["remedy"]["fields"])
    before, after = explain(method), explain(better)
    assert after.images > before.images
    if before.gap_share is not None and after.gap_share is not None and before.gap_share > HIGH:
        assert after.gap_share < before.gap_share / 2
    if before.standard_error is not None and after.standard_error is not None:
        assert np.mean(after.standard_error**2) < np.mean(before.standard_error**2) / 2


@pytest.mark.parametrize(
    ("method", "label"),
    [
        (saliency.IntegratedGradients(), "Tolerance 1 %"),
        (saliency.IntegratedGradients(steps=25), "Tolerance 1 %"),
        (saliency.IntegratedGradients(tolerance=0.01), "100 steps"),
        (saliency.BlurIG(), "400 steps"),
        (saliency.BlurIG(steps=10_000), None),
        (saliency.InputXGradient(), None),
    ],
    ids=repr,
)
def test_a_high_completeness_error_has_a_remedy_where_the_method_has_steps(
    method: saliency.Method, label: str | None
) -> None:
    """An error of 26 % is named with its remedy; one of 4 % is no concern."""
    poor = explained(noise(4, 4), baseline_score=-0.5, gap=0.65)
    good = explained(noise(4, 4), baseline_score=-0.5, gap=0.1)

    found = concern(poor, method)

    assert found is not None
    assert found["sentence"].startswith("Completeness error 26 %: ")
    assert (None if found["remedy"] is None else found["remedy"]["label"]) == label
    assert concern(good, method) is None


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (np.zeros((4, 4, 3)), "All values of the map are zero"),
        (np.full((4, 4, 3), -0.2), "nearly constant"),
        (np.full((4, 4), 1) + np.eye(4) * 1e-5, "nearly constant"),
        (np.eye(4) * 1e-9, None),
        (np.full((4, 4), 1) + np.eye(4) * 0.01, None),
    ],
    ids=["zero", "constant", "almost", "faint", "structured"],
)
def test_a_constant_map_is_a_concern(mask: np.ndarray, sentence: str | None) -> None:
    """A map without differences says nothing, however large or small its values are."""
    found = concern(explained(mask), saliency.GradientSaliency())

    assert (found is None) == (sentence is None)
    if found is not None and sentence is not None:
        assert sentence in found["sentence"]


def test_the_completeness_error_of_a_ranking_of_regions_is_no_concern() -> None:
    """XRAI with few steps has a high completeness error, and no badge: its regions are ranked by their means."""
    method = saliency.XRAI(steps=2)
    explanation = explain(method)

    assert explanation.gap_share is not None
    assert explanation.gap_share > HIGH
    assert concern(explanation, method) is None


def test_lost_relevance_is_a_concern() -> None:
    """LRP that conserves a quarter of the score is poor; no parameter is known to mend it."""
    found = concern(explained(noise(4, 4), baseline_score=None, gap=-1.5), saliency.LRP())

    assert found == {
        "sentence": "Conserves 25 % of the score: relevance was lost or added on the way to the picture.",
        "remedy": None,
    }


def test_the_browser_gets_the_concern_and_its_remedy_clears_it(make: Make) -> None:
    """Configured with the remedy, the same method computes a result that is no concern."""
    widget = make(methods=[saliency.IntegratedGradients(steps=2)], target=1)
    browser = Browser(widget)
    cell = {"method": "integrated_gradients", "target": 1}
    poor = browser.wait("result", rid=browser.request("compute", **cell)).fields["result"]["concern"]

    browser.wait("configured", rid=browser.request("configure", method=cell["method"], fields=poor["remedy"]["fields"]))
    better = browser.wait("result", rid=browser.request("compute", **cell)).fields["result"]

    assert better["concern"] is None
    assert widget.explanation is not None
    assert widget.explanation.images > 3
