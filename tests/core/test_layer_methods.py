"""Methods over the values of a layer: closed forms, identities, Captum where it is right, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn

import saliency
from tests.conformance.models import subject
from tests.frameworks import lazy
from tests.nets import LABELS, picture, small_net, uneven

attr = lazy("captum.attr")

QUIET: dict[str, Any] = {"progress": False}
RELU = {"torch": "relu", "keras": "relu", "tensorflow": "Relu_1", "jax": ":relu:1"}
"""By kind of model, the last activation of the small CNN, a layer that cuts it."""


class Square(nn.Module):
    """F = (3 h₁ - h₂)² of h = ReLU(x); a second score is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        h = self.relu(x)
        score = (3 * h[:, 0] - h[:, 1]) ** 2
        return torch.stack([score, 0 * score], 1)


class Kink(nn.Module):
    """Two linear layers with ReLU between them; one unit of it is switched off at the baseline."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu, self.last = nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)
        with torch.no_grad():
            self.first.weight.copy_(torch.tensor([[1.0, -1], [-1, 1]]))
            self.first.bias.copy_(torch.tensor([1.5, -1]))
            self.last.weight.copy_(torch.tensor([[1.1, -0.5], [1.4, 1]]))
            self.last.bias.copy_(torch.tensor([0.0, 2]))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.relu(self.first(x)))


def explained(net: nn.Module, x: Any, method: Any, target: Any = 0, **options: Any) -> Any:
    """Return the only explanation of a vector."""
    row = [np.asarray([x], np.float32)]
    (found,) = saliency.explain(net.eval(), row, method, target, activation="none", **QUIET, **options)
    return found


UNIT = saliency.targets.unit
FINE: dict[str, Any] = {"steps": 4001}


@pytest.mark.parametrize(
    ("method", "expected", "options"),
    [
        (saliency.Conductance("relu"), (3, -2), {}),
        (saliency.Conductance("relu", steps=2), (3, -2), {}),
        (saliency.InternalInfluence("relu"), (3, -1), {}),
        ("integrated_gradients", (3, -2), {"at": "relu"}),
        ("deep_lift", (3, -2), {"at": "relu"}),
        ("input_x_gradient", (6, -4), {"at": "relu"}),
        ("gradient", (6, -2), {"at": "relu"}),
        (saliency.NeuronConductance("relu", unit=0), (3, 0), {}),
        (saliency.NeuronConductance(unit=UNIT("relu", 1)), (0, -2), {}),
        (saliency.NeuronConductance("relu"), (3, -2), {}),
        ("gradient", (1, 0), {"target": UNIT("relu", 0)}),
        (saliency.IntegratedGradients(steps=4001), (0, 2), {"target": UNIT("relu", 1)}),
    ],
)
def test_the_square_of_two_units(method: Any, expected: Any, options: dict[str, Any]) -> None:
    """On F = (3 h₁ - h₂)², h = ReLU(x), at x = (1, 2), each method has its closed form."""
    found = explained(Square(), (1, 2), method, **options)

    assert_allclose(found.mask, expected, atol=1e-3)
    assert found.gap is None or abs(found.gap) < 1e-3


@pytest.mark.parametrize(
    ("method", "expected", "options"),
    [
        (saliency.Conductance("relu"), ((-1.65, -1.5), (-2.1, 3)), {}),
        ("integrated_gradients", ((-1.65, -1.5), (-2.1, 3)), {"at": "relu"}),
        ("deep_lift", ((-1.65, -1.5), (-2.1, 3)), {"at": "relu"}),
        (saliency.IntegratedGradients(**FINE), ((0.7875, -3.9375), (-0.225, 1.125)), {}),
        (saliency.NeuronConductance("relu", unit=0, **FINE), ((0.4125, -2.0625), (0.525, -2.625)), {}),
        (saliency.NeuronConductance("relu", unit=1, **FINE), ((0.375, -1.875), (-0.75, 3.75)), {}),
    ],
)
def test_two_layers_with_a_kink(method: Any, expected: Any, options: dict[str, Any]) -> None:
    """On two linear layers with ReLU between them, at x = (1, 5), each method has its closed form for both scores."""
    for target in (0, 1):
        found = explained(Kink(), (1, 5), method, target, **options)

        assert_allclose(found.mask, expected[target], atol=2e-3)


def test_deep_lift_of_units() -> None:
    """DeepLIFT with a unit as target is Captum's NeuronDeepLift: closed form."""
    for channel, expected in ((0, (0.375, -1.875)), (1, (-0.75, 3.75))):
        assert_allclose(explained(Kink(), (1, 5), "deep_lift", UNIT("relu", channel)).mask, expected, rtol=1e-5)


def small(kind: str) -> tuple[Any, np.ndarray]:
    """Return the small CNN of that kind, and an image."""
    return subject(kind).user, subject(kind).images[0]


@pytest.mark.parametrize("kind", ["torch", "keras", "tensorflow", "jax"])
def test_conductance_is_complete(kind: str) -> None:
    """Over a layer that cuts the model, conductance and the methods at it sum to f(x) - f(x')."""
    net, image = small(kind)
    exp: Any = saliency.explain(net, image, saliency.Conductance(RELU[kind], baseline=0.3, steps=9), 1, **QUIET)
    at = saliency.explain(net, image, "deep_lift", 1, at=RELU[kind], baseline=0.3, **QUIET)

    assert isinstance(exp, saliency.LayerExplanation)
    assert exp.baseline_score == pytest.approx(at.baseline_score, rel=1e-5)
    assert exp.baseline_score is not None
    # the score is linear after the layer
    assert exp.mask.sum() == pytest.approx(exp.score - exp.baseline_score, rel=1e-4)
    assert_allclose(at.mask, exp.mask, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", ["torch", pytest.param("keras", marks=pytest.mark.long), "tensorflow", "jax"])
def test_neuron_conductance_splits_integrated_gradients(kind: str) -> None:
    """Over the units of a cutting layer it sums to IG; over the image it sums to the conductance of the units."""
    net, image = small(kind)
    fields: dict[str, Any] = {"baseline": uneven(24, 20, 3), "steps": 33}
    ig = saliency.explain(net, image, saliency.IntegratedGradients(quadrature="trapezoid", **fields), 1, **QUIET).mask
    units = saliency.explain(net, image, saliency.Conductance(RELU[kind], **fields), 1, **QUIET).mask.sum((0, 1))
    parts = [slice(0, 2), slice(2, None)]
    neurons = [
        saliency.explain(net, image, saliency.NeuronConductance(RELU[kind], unit=each, **fields), 1, **QUIET).mask
        for each in parts
    ]

    assert_allclose(sum(neurons), ig, atol=1e-4 * np.abs(ig).max())
    # both are quadratures of the same integral
    sums = [units[each].sum() for each in parts]
    assert_allclose([each.sum() for each in neurons], sums, atol=0.05 * np.abs(units).max())


class Random(nn.Module):
    """A smooth random network of vectors."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second, self.last = nn.Linear(5, 7), nn.Linear(7, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.second(torch.tanh(self.first(x)))))


def test_identities_on_a_random_network() -> None:
    """Of a vector: sums over units, over inputs, and of layers after one another agree."""
    net, x = Random(), np.random.default_rng(1).normal(size=5)
    fields: dict[str, Any] = {"steps": 801, "baseline": 0.1}
    ig = explained(net, x, saliency.IntegratedGradients(quadrature="trapezoid", **fields)).mask
    hidden = explained(net, x, saliency.Conductance(":tanh:0", **fields))
    after = explained(net, x, saliency.Conductance("second", **fields))
    neurons = np.stack(
        [explained(net, x, saliency.NeuronConductance(":tanh:0", unit=j, **fields)).mask for j in range(7)]
    )

    assert_allclose(neurons.sum(0), ig, atol=1e-5)
    assert_allclose(neurons.sum(1), hidden.mask, atol=1e-5)
    assert hidden.mask.sum() == pytest.approx(after.mask.sum(), abs=1e-5)
    assert abs(hidden.gap) < 1e-5


@pytest.mark.parametrize("method", ["gradient", "input_x_gradient", "integrated_gradients", "lrp", "deep_lift"])
def test_a_method_at_the_input_is_the_method(method: str) -> None:
    """At a layer that only copies the image, a method has the mask that it has of the image."""

    class Copied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.copy, self.net = nn.Identity(), small_net()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(self.copy(x) * 1.0)

    net, image = Copied().eval(), picture()
    plain = saliency.explain(net.net, image, method, 1, **QUIET).mask

    found = saliency.explain(net, image, method, 1, at="copy", **QUIET)

    assert_allclose(found.mask, plain, rtol=1e-4, atol=1e-5 * np.abs(plain).max())


def copied(kind: str) -> tuple[Any, str]:
    """Return a small model of that framework whose first operator copies the image, and that operator's layer."""
    weights = np.random.default_rng(5).normal(size=(3, 4)).astype(np.float32)
    if kind == "jax":
        import jax.numpy as jnp

        return (lambda w, x: jnp.tanh(x * 1.0).mean((1, 2)) @ w, jnp.asarray(weights)), ":mul:0"
    if kind == "tensorflow":
        import tensorflow as tf

        class Net(tf.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.w = tf.Variable(weights)

            def __call__(self, x: Any) -> Any:
                return tf.reduce_mean(tf.tanh(x * 1.0), (1, 2)) @ self.w

        return Net(), "mul"
    import keras

    parts = [keras.layers.Rescaling(1.0, name="copy"), keras.layers.Activation("tanh")]
    parts += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4)]
    return keras.Sequential([keras.Input((8, 6, 3)), *parts]), "copy"


@pytest.mark.parametrize("kind", ["jax", "tensorflow", "keras"])
def test_a_method_at_the_input_in_every_framework(kind: str) -> None:
    """Integrated Gradients at a copy of the image is that of the image, also with a named baseline."""
    net, layer = copied(kind)
    image = np.random.default_rng(6).uniform(size=(8, 6, 3)).astype(np.float32)
    method = saliency.IntegratedGradients(steps=8, baseline="blur")
    plain = saliency.explain(net, image, method, 1, **QUIET)

    found = saliency.explain(net, image, method, 1, at=layer, **QUIET)

    assert_allclose(found.mask, plain.mask, rtol=1e-4, atol=1e-6)
    assert found.baseline_score == pytest.approx(plain.baseline_score, rel=1e-5)


def test_channels_are_ablated() -> None:
    """Feature ablation at a layer is f(x) minus f with one channel replaced by the baseline's, as in Captum."""
    net, image = small("torch")
    exp = saliency.explain(net, image, "feature_ablation", 1, at="relu", baseline=0.0, **QUIET)
    x = torch.from_numpy(image).permute(2, 0, 1)[None]
    kept: list[Tensor] = []
    handle = net.relu.register_forward_hook(lambda _module, _args, out: kept.append(out.clone()))
    net(x)
    net(0 * x)
    handle.remove()
    for k in range(6):
        changed = kept[1].clone()
        changed[:, k] = kept[3][:, k]
        drop = net.head(kept[1].mean((2, 3)))[0, 1] - net.head(changed.mean((2, 3)))[0, 1]

        assert exp.mask[..., k].sum() == pytest.approx(float(drop.detach()), abs=1e-6)
    assert [each.index for each in exp.channels] == list(np.argsort(-np.abs(exp.mask.sum((0, 1)))))


def test_shapley_values_of_channels_are_complete() -> None:
    """Shapley values of channels sum to the difference of the scores; exact and sampled ones agree on a linear tail."""
    exact, sampled = (
        saliency.explain(small_net(), picture(), method, 1, at="relu", **QUIET) for method in ("shapley", "kernel_shap")
    )

    assert abs(exact.gap) < 1e-6
    assert_allclose(exact.mask, sampled.mask, atol=1e-6)
    assert any("each channel is one segment" in note for note in exact.notes)


@pytest.mark.needs("captum")
@pytest.mark.agreement
@pytest.mark.parametrize("layer", ["norm", "relu"])
def test_the_methods_of_captum(layer: str) -> None:
    """Layer activation × gradient, Layer IG, Internal Influence and Neuron Gradient equal Captum's."""
    net = small_net().double()
    net.relu = nn.ReLU()  # Captum's hooks forbid writing in place
    image = np.random.default_rng(2).uniform(size=(24, 20, 3))
    x = torch.from_numpy(image).permute(2, 0, 1)[None].requires_grad_()
    module = getattr(net, layer)
    quadrature = saliency.IntegratedGradients(steps=50, quadrature="gauss_legendre")

    def ours(method: Any, target: Any = 1, **options: Any) -> np.ndarray:
        found: np.ndarray = saliency.explain(net, image, method, target, **QUIET, **options).mask
        return found

    def theirs(made: Any, **given: Any) -> np.ndarray:
        found: np.ndarray = made.attribute(x, **{"target": 1, **given}).detach()[0].permute(1, 2, 0).numpy()
        return found

    near: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-7}
    assert_allclose(ours("input_x_gradient", at=layer), theirs(attr.LayerGradientXActivation(net, module)), **near)
    assert_allclose(ours(quadrature, at=layer), theirs(attr.LayerIntegratedGradients(net, module)), **near)
    fine = theirs(attr.InternalInfluence(net, module), n_steps=400)
    assert_allclose(ours(saliency.InternalInfluence(layer, steps=400)), fine, atol=0.02 * np.abs(fine).max())
    neuron = attr.NeuronGradient(net, module).attribute(x, (1, 3, 2)).detach()[0].permute(1, 2, 0).numpy()
    assert_allclose(ours("gradient", UNIT(layer, 1, (3, 2))), neuron, **near)


class Wide(nn.Module):
    """A layer of 512 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.head = nn.Conv2d(3, 512, 3), nn.Linear(512, 3)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.wide(x)).mean((2, 3)))


def test_all_units_cost_one_path() -> None:
    """Conductance of 512 channels evaluates as many images as Integrated Gradients with the same steps."""
    image = np.random.default_rng(0).uniform(size=(8, 8, 3)).astype(np.float32)
    units, pixels = (
        saliency.explain(Wide().eval(), image, method, 0, batch_size=8, **QUIET)
        for method in (saliency.Conductance("wide", steps=25), saliency.IntegratedGradients(steps=25))
    )

    assert units.mask.shape == (6, 6, 512)
    assert (units.images, units.calls) == (pixels.images, pixels.calls)


def test_a_large_completeness_error_names_the_steps_to_try() -> None:
    """With three steps, F = max(h - 0.9, 0) from 0 to 1 is 0.25, not 0.1: a note gives the error and more steps."""

    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            score = (self.relu(x).sum(1) - 0.9).clamp(min=0)
            return torch.stack([score, 0 * score], 1)

    coarse, fine = (explained(Late(), (1, 0), saliency.Conductance("relu", steps=steps)) for steps in (3, 1001))

    assert_allclose(coarse.gap, 0.15, atol=1e-6)
    assert any("completeness error 150 %" in note and "try steps=12" in note for note in coarse.notes)
    assert fine.gap_share < 0.01
    assert not any("completeness error" in note for note in fine.notes)


def test_a_branch_has_a_note() -> None:
    """Conductance of a layer beside a skip connection has no completeness error, and a note on the path around it."""
    exp = saliency.explain(small_net(), picture(), saliency.Conductance("block"), 1, **QUIET)

    assert exp.gap is None
    assert any("by a path around it" in note for note in exp.notes)


def test_neurons_beside_a_skip_connection() -> None:
    """What flows through a branch and what flows around it sum to Integrated Gradients."""

    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([(torch.tanh(self.inner(x)) * x).sum(1), x.sum(1)], 1)

    torch.manual_seed(0)
    net, x = Branch(), (1.0, -2.0, 0.5)
    through = explained(net, x, saliency.NeuronConductance("inner", steps=401)).mask
    ig = explained(net, x, saliency.IntegratedGradients(steps=401, quadrature="trapezoid")).mask
    alphas = np.linspace(0, 1, 20001)[:, None]
    with torch.no_grad():
        along = torch.tanh(net.inner(torch.tensor(alphas * np.array([x]), dtype=torch.float32)))
    around = np.array(x) * along.numpy().mean(0)

    assert_allclose(through + around, ig, atol=2e-3)


def test_tokens_keep_their_class_token() -> None:
    """At a transformer's block the mask is (tokens, K) with the class token, which the picture leaves out."""
    net, image = subject("torch transformer").user, subject("torch transformer").images[0]
    exp = saliency.explain(net, image, "integrated_gradients", 1, at="blocks.0", **QUIET)
    units = saliency.explain(net, image, saliency.Conductance("blocks.0"), 1, **QUIET)

    assert exp.mask.shape == units.mask.shape == (25, 12)
    assert (exp.grid, exp.before) == (units.grid, units.before) == ((4, 6), 1)
    assert exp.mask.sum() == pytest.approx(exp.score - exp.baseline_score, rel=0.1)
    # a row of patches is a row of the picture
    expected = exp.mask[1:].sum(1).reshape(4, 6)
    assert_allclose(exp.on_picture(smooth=False)[4::8, 4::8], expected, rtol=1e-5)
    assert_allclose(sum(exp.channel(k) for k in range(12)), exp.on_picture(), rtol=1e-3, atol=1e-5)


def test_several_inputs_have_one_mask_of_the_layer() -> None:
    """A model of several inputs has one explanation of the layer, in a list."""
    from tests.adapters.two_inputs import FACTS, SERIES, TwoInputs

    at: dict[str, Any] = {"at": ":tanh:0"}
    none: dict[str, Any] = {}
    for method, options in (("integrated_gradients", at), (saliency.Conductance(":tanh:0"), none)):
        (exp,) = saliency.explain(TwoInputs(), [SERIES, FACTS], method, 1, baseline=[0.1, 0.2], **QUIET, **options)

        assert exp.mask.shape == (7,)
        assert exp.mask.sum() == pytest.approx(exp.score - exp.baseline_score, abs=0.02)
        with pytest.raises(saliency.BadImage, match="no grid on the picture"):
            exp.on_picture()


def test_several_targets_and_partial_masks() -> None:
    """Several targets share the passes, and partial masks of a layer have its shape."""
    seen: list[Any] = []
    pair = saliency.explain(
        small_net(), picture(), "integrated_gradients", [1, 2], at="relu", partial=seen.append, batch_size=2, **QUIET
    )

    assert [each.mask.shape for each in pair] == [(12, 10, 6)] * 2
    assert all(each[0].mask.shape == (12, 10, 6) for each in seen)


def test_an_explanation_is_saved(tmp_path: Path) -> None:
    """A saved explanation of a layer is loaded with its grid and channels, and drawn."""
    exp = saliency.explain(small_net(), picture(), saliency.Conductance("relu"), 1, labels=LABELS, **QUIET)
    exp.save(tmp_path / "layer.npz")
    exp.save(tmp_path / "layer.png")
    loaded = saliency.Explanation.load(tmp_path / "layer.npz")

    assert isinstance(loaded, saliency.LayerExplanation)
    assert (loaded.grid, loaded.layer) == ((12, 10), "relu")
    assert repr(loaded.channels) == repr(exp.channels)
    assert sum(each.share for each in exp.channels) == pytest.approx(1)
    assert exp.overlay().shape == exp.picture.shape
    assert exp.top(10).shape == (12, 10)
    assert exp.bbox(10)[2] <= exp.picture.shape[0]


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("grad_cam", {"at": "relu"}, "reads a layer itself: pass layer=… and omit at="),
        ("gradient", {"at": "relu", "layer": "norm"}, "exclude each other"),
        ("conductance", {"at": "relu"}, "reads a layer itself"),
        ("occlusion", {"at": "relu"}, "needs a picture"),
        ("gradient", {"at": "rel"}, "Did you mean 'relu'"),
        ("gradient", {"at": "block"}, "the next one that does is ':add_:0'"),
        ("feature_ablation", {"at": "relu", "segments": "grid"}, "each of its channels is one segment"),
        ("lrp", {"at": "relu", "first": "box"}, "relevance stops at the layer"),
        ("gradient", {"at": "relu", "target": UNIT("norm", 0)}, "has no other layers"),
        (saliency.NeuronConductance("relu", unit=9), {}, "There is no unit 9"),
        (saliency.NeuronConductance("relu", unit=(1, 2)), {}, "There is no unit"),
    ],
)
def test_what_is_refused(method: Any, options: dict[str, Any], message: str) -> None:
    """Each misuse is refused with the way out."""
    with pytest.raises(saliency.SaliencyError, match=message):
        saliency.explain(small_net(), picture(), method, **{"target": 1, **options}, **QUIET)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"unit": "one"}, "a channel or an index"),
        ({"unit": ()}, "a channel or an index"),
        ({"unit": UNIT("relu", 0), "layer": "norm"}, "the unit"),
        ({"unit": UNIT("relu", lambda layer: layer[:, 0])}, "a unit with indices"),
        ({"layer": ["relu", "norm"]}, "one layer"),
    ],
)
def test_bad_units(fields: dict[str, Any], message: str) -> None:
    """Fields that name no units are refused when the method is made."""
    with pytest.raises(saliency.BadField, match=message):
        saliency.NeuronConductance(**fields)


def test_layers_are_not_ranked() -> None:
    """Maps over a layer are neither evaluated nor checked as maps of the image."""
    exp = saliency.explain(small_net(), picture(), saliency.Conductance("relu"), 1, **QUIET)

    with pytest.raises(saliency.BadField, match="attributes to the values of a layer"):
        saliency.evaluate(small_net(), [picture()], "conductance", "srg", progress=False)
    with pytest.raises(saliency.BadImage, match="orders no pixels"):
        saliency.check(small_net(), picture(), exp, progress=False)
    ranked = saliency.recommend(small_net(), picture(), methods=["gradient", "conductance"], images=60, progress=False)
    assert any("attributes to the values of a layer" in each.why for each in ranked)
