"""How far attributions are from the sum they promise, and what a note says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import saliency
from saliency.catalogue import METHODS
from tests.adapters import same_net
from tests.nets import FEW, picture, small_net

IMAGE = picture().astype(np.float32) / 255

CLAIMING = {
    "integrated_gradients",
    "expected_gradients",
    "blur_ig",
    "guided_ig",
    "idgi",
    "deep_lift",
    "kernel_shap",
    "partition_shap",
    "shapley_sampling",
    "shapley",
    "xrai",
}
"""Methods whose attribution sums to f(image) - f(baseline), or to what it is for the method inside."""

COARSE: dict[str, tuple[saliency.Method, str]] = {
    "integrated_gradients": (saliency.IntegratedGradients(steps=2), "leave steps and quadrature out"),
    "expected_gradients": (saliency.ExpectedGradients(samples=2, seed=3), "try samples=8"),
    "blur_ig": (saliency.BlurIG(steps=2), "try steps=8"),
    "guided_ig": (saliency.GuidedIG(steps=2), "try steps=8"),
    "xrai": (saliency.XRAI(steps=2, segments="grid"), "try steps=8"),
}
"""Methods with too few steps or samples, and what their notes advise."""


def bent(x: Any) -> Any:
    """Return scores (N, 2) that saturate long before the picture has its full contrast."""
    power = (x * x).mean((1, 2, 3))
    return torch.stack([0 * power, 8 * torch.tanh(60 * power)], 1)


def explained(model: Any, method: Any, **options: Any) -> Any:
    """Return the explanation of class 1."""
    return saliency.explain(model, IMAGE, method, 1, progress=False, **options)


def test_claims_are_known() -> None:
    """The methods that promise a sum are those of the list; others have neither gap nor share."""
    claiming = {name for name, cls in METHODS.items() if cls().complete}

    assert claiming == CLAIMING
    found = explained(small_net(), "gradient")
    assert found.gap is None
    assert found.gap_share is None


@pytest.mark.parametrize("name", sorted(CLAIMING))
def test_a_promise_has_a_gap_and_its_share(name: str) -> None:
    """The gap is the sum less the difference of the scores, and the share is its part of that difference."""
    found = explained(small_net(), name, **FEW.get(name, {}))
    rise = found.score - found.baseline_score

    assert found.gap_share == pytest.approx(abs(found.gap / rise))
    if name in ("integrated_gradients", "expected_gradients", "blur_ig", "guided_ig", "idgi", "deep_lift"):
        assert found.gap == pytest.approx(found.mask.sum(dtype=np.float64) - rise, abs=1e-6)


@pytest.mark.parametrize("name", sorted(COARSE))
def test_a_large_share_is_a_note_with_its_remedy(name: str) -> None:
    """Above a tenth a note gives the share, both sums, and what to change; the remedy works."""
    method, remedy = COARSE[name]
    found = explained(saliency.adapt(bent, framework="torch"), method)
    (note,) = (note for note in found.notes if "completeness error" in note)

    assert found.gap_share > 0.1
    assert f"completeness error {100 * found.gap_share:,.0f} %: the attribution sums to" in note
    assert f"the scores differ by {found.score - found.baseline_score:.3g}" in note
    assert remedy in note


@pytest.mark.parametrize("name", ["integrated_gradients", "blur_ig", "guided_ig", "xrai"])
def test_the_remedy_helps(name: str) -> None:
    """With what the note advises the error is smaller."""
    model = saliency.adapt(bent, framework="torch")
    method, _ = COARSE[name]
    better = method.but(steps=None) if name == "integrated_gradients" else method.but(steps=8)

    assert explained(model, better).gap_share < 0.8 * explained(model, method).gap_share


@pytest.mark.parametrize("framework", ["torch", "keras", "tensorflow", "jax", "function"])
def test_every_framework_says_it(framework: str) -> None:
    """The same network loses the same with two steps, and says so, whatever it is written in; the default does not."""
    net = small_net()
    weights = same_net.weights()
    models: dict[str, Any] = {
        "torch": lambda: net,
        "keras": lambda: same_net.keras(weights),
        "tensorflow": lambda: same_net.tf_module(weights),
        "jax": lambda: (same_net.pure_jax, weights),
        "function": lambda: saliency.adapt(net.forward, framework="torch"),
    }
    model = models[framework]()
    # of a constant baseline rounding would decide who wins the maxima
    start = np.random.default_rng(5).uniform(size=IMAGE.shape).astype(np.float32)
    lossy = explained(model, "integrated_gradients", steps=2, baseline=start)
    found = explained(model, "integrated_gradients", baseline=start)
    twin = explained(net, "integrated_gradients", steps=2, baseline=start)

    assert_allclose(lossy.gap, twin.gap, rtol=1e-2, atol=1e-6)
    assert any("completeness error" in note for note in lossy.notes) == (lossy.gap_share > 0.1)
    assert found.gap_share < lossy.gap_share
    assert found.gap_share < 0.1


def test_xrai_s_is_that_of_its_attribution() -> None:
    """XRAI's gap is that of Integrated Gradients from black and white with as many steps, or of another method."""
    net = small_net()
    inner = explained(net, saliency.IntegratedGradients(steps=7, baseline=("black", "white")))
    found = explained(net, saliency.XRAI(steps=7, segments="grid"))
    lifted = explained(net, saliency.XRAI(base_attribution=saliency.DeepLift(), segments="grid"))
    plain = explained(net, saliency.XRAI(base_attribution=saliency.GradientSaliency(), segments="grid"))

    assert found.gap == pytest.approx(inner.gap, rel=1e-4)
    assert found.gap_share == pytest.approx(inner.gap_share, rel=1e-4)
    assert lifted.gap == pytest.approx(0, abs=1e-5)
    assert plain.gap is None
    assert plain.baseline_score is None


def test_a_difference_of_nothing_has_no_share() -> None:
    """Where both scores are the same the share is undefined, and the note gives the sums alone."""
    model = saliency.adapt(lambda x: torch.sin(40 * x.mean((1, 2, 3)))[:, None], framework="torch")
    ones = np.full_like(IMAGE, np.pi / 20)
    found = saliency.explain(model, ones, "integrated_gradients", 1, steps=2, baseline=0.0, progress=False)
    none = saliency.explain(model, 0 * ones, "integrated_gradients", 1, steps=2, baseline=0.0, progress=False)

    assert none.gap == 0
    assert none.gap_share is None
    assert not any("completeness" in note for note in none.notes)
    assert found.gap_share is None or found.gap_share > 1e3
    assert any(note.startswith("completeness error") for note in found.notes)


def test_what_float32_rounds_is_no_loss() -> None:
    """DeepLIFT's sum, exact but for rounding, is not noted however small the difference of the scores is."""
    net = small_net().eval()
    with torch.no_grad():
        net.head.weight.mul_(1e3)
        scores = net(torch.tensor(IMAGE).permute(2, 0, 1)[None])[0]
        net.head.bias.sub_(scores)
    found = explained(net, "deep_lift", baseline=IMAGE * 1.0001)

    assert abs(found.gap) < 1e-2
    assert not any("completeness" in note for note in found.notes)


def test_the_share_is_saved(tmp_path: Path) -> None:
    """A saved explanation has the gap and its share; so has one that knows of no share yet."""
    found = explained(small_net(), "integrated_gradients", steps=3)
    found.save(tmp_path / "kept.npz")
    loaded = saliency.Explanation.load(tmp_path / "kept.npz")

    assert loaded.gap_share == found.gap_share is not None
