"""Completeness errors of attributions, and the notes on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import saliency
import saliency.demo
from saliency.core.catalogue import METHODS
from tests.adapters import same_net
from tests.nets import few, picture, small_net

IMAGE = picture().astype(np.float32) / 255

CLAIMING = {
    "integrated_gradients",
    "expected_gradients",
    "blur_ig",
    "guided_ig",
    "idgi",
    "deep_lift",
    "lrp",
    "kernel_shap",
    "partition_shap",
    "shapley_sampling",
    "shapley",
    "xrai",
}
"""Methods whose attribution sums to f(image) - f(baseline), LRP's to f(image); XRAI's is that of the method inside."""

COMPLETE = [name for name, cls in METHODS.items() if cls().complete]
"""These, and any that came later."""

COARSE: dict[str, tuple[saliency.Method, str]] = {
    "integrated_gradients": (saliency.IntegratedGradients(steps=2), "omit steps and quadrature"),
    "expected_gradients": (saliency.ExpectedGradients(samples=2, seed=3), "try samples=8"),
    "blur_ig": (saliency.BlurIG(steps=2), "try steps=8"),
    "guided_ig": (saliency.GuidedIG(steps=2), "or steps=8"),
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
    """The methods of the list promise a sum; others have neither gap nor share."""
    assert set(COMPLETE) >= CLAIMING
    found = explained(small_net(), "gradient")
    assert found.gap is None
    assert found.gap_share is None


@pytest.mark.parametrize("name", COMPLETE)
def test_a_promise_has_a_gap_and_its_share(name: str) -> None:
    """The gap is the sum less the difference of the scores, and the share is its part of that difference."""
    found = explained(small_net(), name, **few(METHODS[name]))
    assert (found.baseline_score is None) == (name == "lrp")
    rise = found.score - (found.baseline_score or 0.0)

    assert found.gap_share == pytest.approx(abs(found.gap / rise))
    if name in ("integrated_gradients", "expected_gradients", "blur_ig", "guided_ig", "idgi", "deep_lift", "lrp"):
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
def test_every_framework_reports_the_completeness_error(framework: str) -> None:
    """With two steps the network loses the same share in every framework, with a note; by default it does not."""
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
    """If both scores are equal, the share is undefined and the note gives only the sums."""
    model = saliency.adapt(lambda x: torch.sin(40 * x.mean((1, 2, 3)))[:, None], framework="torch")
    ones = np.full_like(IMAGE, np.pi / 20)
    found = saliency.explain(model, ones, "integrated_gradients", 0, steps=2, baseline=0.0, progress=False)
    none = saliency.explain(model, 0 * ones, "integrated_gradients", 0, steps=2, baseline=0.0, progress=False)

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


def one_layer(framework: str, weights: np.ndarray, bias: np.ndarray) -> Any:
    """Return x @ weights + bias of the flattened image as a model."""
    if framework == "torch":
        linear = torch.nn.Linear(*weights.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(weights.T))
            linear.bias.copy_(torch.tensor(bias))
        return torch.nn.Sequential(torch.nn.Flatten(), linear).eval()
    if framework == "jax":
        return (lambda p, x: x.reshape(len(x), -1) @ p["w"] + p["b"]), {"w": weights, "b": bias}
    import tensorflow as tf

    if framework == "tensorflow":
        return saliency.adapt(
            lambda x: tf.linalg.matmul(tf.reshape(x, (-1, len(weights))), weights) + bias, framework="tensorflow"
        )
    import keras

    inputs = keras.Input((1, len(weights), 1))
    dense = keras.layers.Dense(len(bias))
    model = keras.Model(inputs, dense(keras.layers.Flatten()(inputs)))
    dense.set_weights([weights, bias])
    return model


@pytest.mark.parametrize("framework", ["torch", "keras", "tensorflow", "jax"])
def test_lrp_reports_the_absorbed_relevance(framework: str) -> None:
    """Of one dense layer, by hand: a score z = w·x + b keeps (z - b) z / (z + ε), bias and ε take b and ε of it."""
    x = np.array([1.0, 2.0, 0.5], np.float32)
    weights = np.array([[1, 1], [0.5, 1], [2, 2]], np.float32)
    bias = np.array([0.25, 1.0], np.float32)
    model = one_layer(framework, weights, bias)
    found = saliency.explain(
        model, x.reshape(1, 3, 1), saliency.LRP("epsilon", epsilon=0.5), [0, 1], progress=False, labels=["a", "b"]
    )

    for k, each in enumerate(found):
        z = float(x @ weights[:, k] + bias[k])
        kept = z * (z - bias[k]) / (z + 0.5)
        (note,) = (note for note in each.notes if note.startswith("LRP conserves"))
        parts = sorted([(z * bias[k] / (z + 0.5), "biases and batch norms"), (z * 0.5 / (z + 0.5), "the stabilizer ε")])
        absorbed = ", ".join(f"{part:.3g} by {name}" for part, name in reversed(parts))
        assert each.mask.sum() == pytest.approx(kept, rel=1e-5)
        assert each.gap == pytest.approx(kept - z, rel=1e-5)
        assert each.baseline_score is None
        assert note == f"LRP conserves {100 * kept / z:.2g} % of the score {z:.3g}: absorbed {absorbed}"


@pytest.mark.parametrize("composite", ["epsilon_plus", "epsilon", "gamma", "alpha_beta", "flat", "epsilon_gamma_box"])
def test_nothing_is_lost_without_an_account(composite: str) -> None:
    """Relevance at the image plus the losses in the ledger equal the score, in torch, TensorFlow and JAX."""
    weights = same_net.weights()
    models = {
        "torch": small_net(),
        "tensorflow": same_net.tf_module(weights),
        "keras": same_net.keras(weights),
        "jax": (same_net.pure_jax, weights),
    }
    lost = {}
    method = saliency.LRP(composite, epsilon=1e-2)
    for name, model in models.items():
        adapted: Any = saliency.adapt(model).at([1, 2])
        images = adapted.ops.asarray(IMAGE[None])
        rules = method.rules(images, None)  # type: ignore[arg-type]  # unused for a named composite
        if rules.references:
            images = adapted.ops.asarray(np.stack([IMAGE, 0 * IMAGE, 0 * IMAGE + 1])[None])
        answer = adapted.rewired(rules).gradients(images)
        arrived = adapted.ops.tohost(answer.gradients).sum((1, 2, 3, 4), dtype=np.float64)
        lost[name] = {cause: adapted.ops.tohost(each) for cause, each in answer.lost.items()}
        assert_allclose(arrived + sum(lost[name].values()), 1, atol=1e-4)
    for each in lost.values():
        for cause in ("stabilizer", "convolution", "dense"):
            assert_allclose(each[cause], lost["torch"][cause], rtol=2e-3, atol=1e-4)


def test_several_images_have_no_account() -> None:
    """Losses are counted of one image alone; smoothed relevance has neither an account nor a gap."""
    adapted: Any = saliency.adapt(small_net()).at([1])
    rules = saliency.LRP("epsilon").rules(None, None)  # type: ignore[arg-type]
    assert adapted.rewired(rules).gradients(adapted.ops.asarray(np.stack([IMAGE, IMAGE]))).lost is None
    assert adapted.gradients(adapted.ops.asarray(IMAGE[None])).lost is None
    found = explained(small_net(), saliency.SmoothGrad(saliency.LRP(), samples=2))
    assert found.gap is None
    assert not any("conserves" in note for note in found.notes)


@pytest.mark.parametrize("framework", ["torch", "keras", "tensorflow", "jax"])
def test_relevance_that_explodes_is_refused_or_noted(framework: str) -> None:
    """Contributions that cancel to a ten-thousandth are noted, to rounding refused, with the way out."""
    weights, bias = np.array([[1, 0], [-1, 0], [0, 1]], np.float32), np.zeros(2, np.float32)
    model = one_layer(framework, weights, bias)
    method = saliency.LRP("epsilon", epsilon=1e-9)

    def cancelling(apart: float) -> Any:
        image = np.array([1 + apart, 1, 0.5], np.float32).reshape(1, 3, 1)
        return saliency.explain(model, image, method, 0, progress=False, labels=["a", "b"])

    assert any("times the score: Use a larger epsilon" in note for note in cancelling(1e-4).notes)
    with pytest.raises(saliency.BadOutput, match=r"only rounding errors are left\. Use a larger epsilon"):
        cancelling(2e-7)
    assert not any("times the score" in note for note in cancelling(0.5).notes)


def test_lrp_on_a_trained_network() -> None:
    """On a photograph, biases and batch norms absorb nearly all of the score, and a note reports it."""
    model: Any = saliency.demo.model("imagenet")
    found = saliency.explain(model, saliency.demo.image("cat"), "lrp", preprocess=model.preprocess, progress=False)
    (note,) = (note for note in found.notes if "conserves" in note)

    assert 0.99 < found.gap_share < 1.01
    assert note.startswith("LRP conserves 0.0")
    assert "by biases and batch norms" in note
