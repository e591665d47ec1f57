"""Several inputs, and inputs that are no picture: in every framework, beside Captum, and refused where that is due."""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

import saliency
from saliency.model.inputs import Inputs
from tests.adapters.two_inputs import FACTS, METHODS, SERIES, TwoInputs, explained, of_jax, of_tensorflow
from tests.frameworks import lazy
from tests.nets import small_net

plt = lazy("matplotlib.pyplot")

BOTH = [SERIES, FACTS]


@pytest.fixture(scope="module")
def net() -> TwoInputs:
    """In torch."""
    return TwoInputs().eval()


def same(found: list[list[np.ndarray]], expected: list[list[np.ndarray]]) -> None:
    """Two classes, two inputs: masks of the inputs' own shapes, equal to 1e-4 of the maximum."""
    for row, other in zip(found, expected, strict=True):
        assert [each.shape for each in row] == [SERIES.shape[1:], FACTS.shape[1:]]
        for mask, wanted in zip(row, other, strict=True):
            assert_allclose(mask, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("method", METHODS)
def test_torch_functions_are_as_modules(net: TwoInputs, method: str) -> None:
    """A function of two tensors gives what the module gives."""

    def function(series: Any, facts: Any) -> Any:
        return net(series, facts)

    same(explained(function, method), explained(net, method))


@pytest.mark.agreement
@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "expected_gradients", "smooth_grad"])
def test_jax_and_tensorflow_agree(net: TwoInputs, method: str) -> None:
    """The same weights in JAX, bare and with parameters, and in TensorFlow, as a function and as a tf.function."""
    tf, jax = pytest.importorskip("tensorflow"), pytest.importorskip("jax")
    expected = explained(net, method)
    params = {name: jax.numpy.asarray(each.detach().numpy()) for name, each in net.named_parameters()}

    same(explained((of_jax, params), method), expected)
    if method == "integrated_gradients":
        same(explained(lambda series, facts: of_jax(params, series, facts), method), expected)
        same(explained(of_tensorflow, method), expected)
    same(explained(tf.function(of_tensorflow), method), expected)


def test_a_flat_model_is_explained_as_the_formula_has_it(net: TwoInputs) -> None:
    """Integrated Gradients of two inputs, node by node, with a baseline each; together they close the gap."""
    series, facts = (torch.tensor(each, dtype=torch.float64) for each in BOTH)
    wide = copy.deepcopy(net).double()
    expected = [np.zeros(series.shape[1:]), np.zeros(facts.shape[1:])]
    for alpha in (np.arange(6) + 0.5) / 6:
        points = [(b + alpha * (x - b)).requires_grad_() for b, x in ((0.3, series), (0.1, facts))]
        gradients = torch.autograd.grad(wide(*points)[0, 1], points)
        for total, gradient, way in zip(expected, gradients, (series - 0.3, facts - 0.1), strict=True):
            np.add(total, (gradient * way)[0].detach().numpy() / 6, out=total)
    found = saliency.explain(
        net, BOTH, "integrated_gradients", 1, steps=6, quadrature="riemann_middle", baseline=[0.3, 0.1], progress=False
    )

    for each, wanted in zip(found, expected, strict=True):
        assert_allclose(each.mask, wanted, rtol=1e-4, atol=1e-6)
    gap = sum(each.mask.sum(dtype=np.float64) for each in found) - (found[0].score - found[0].baseline_score)
    assert_allclose([each.gap for each in found], gap, atol=1e-6)
    assert found[0].caption == "IntegratedGradients(steps=6, baseline=[0.3, 0.1], quadrature='riemann_middle')"


def test_they_are_captum_s(net: TwoInputs) -> None:
    """Captum takes a tuple of inputs: the same gradients, products and integrals."""
    captum = pytest.importorskip("captum.attr")
    series, facts = (torch.tensor(each).requires_grad_() for each in BOTH)
    given: dict[str, dict[str, Any]] = {
        "gradient": {},
        "input_x_gradient": {},
        "integrated_gradients": {"steps": 7, "quadrature": "gauss_legendre", "baseline": [0.0, 0.5]},
    }
    ours = {
        method: [each.mask for each in saliency.explain(net, BOTH, method, 1, progress=False, **fields)]
        for method, fields in given.items()
    }
    theirs = {
        "gradient": captum.Saliency(net).attribute((series, facts), target=1, abs=False),
        "input_x_gradient": captum.InputXGradient(net).attribute((series, facts), target=1),
        "integrated_gradients": captum.IntegratedGradients(net).attribute(
            (series, facts), (0.0, 0.5), target=1, n_steps=7
        ),
    }
    for method, masks in ours.items():
        for mask, wanted in zip(masks, theirs[method], strict=True):
            there = wanted[0].detach().numpy()
            assert_allclose(mask, there, rtol=0, atol=1e-5 * np.abs(there).max())


def test_a_picture_in_a_list_is_a_picture_explained() -> None:
    """One input (1, C, H, W): what the picture's own way gives, in the model's layout."""
    net, image = small_net(), np.random.default_rng(1).uniform(size=(12, 10, 3)).astype(np.float32)
    (listed,) = saliency.explain(net, [image.transpose(2, 0, 1)[None]], "integrated_gradients", 1, progress=False)
    plain = saliency.explain(net, image, "integrated_gradients", 1, progress=False)

    assert_allclose(listed.mask.transpose(1, 2, 0), plain.mask, rtol=1e-4, atol=1e-7)
    assert_allclose(listed.gap, plain.gap, atol=1e-5)


def test_noise_is_a_share_of_each_input_s_own_range() -> None:
    """A large input beside a small one is not drowned, nor does it drown."""
    large, small = np.linspace(0, 1000, 8, dtype=np.float32)[None], np.linspace(0, 0.01, 8, dtype=np.float32)[None]
    seen: list[torch.Tensor] = []

    def model(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        seen.append(torch.cat([a, b], 1).detach())
        return (a.sum(1) + b.sum(1))[:, None].repeat(1, 2)

    saliency.explain(
        model, [large, small], "smooth_grad", 1, samples=200, spread=0.1, progress=False, framework="torch"
    )
    points = torch.cat(seen)
    noisy = points[(points[:, :8] != torch.tensor(large)).any(1)]

    assert_allclose(noisy[:, :8].std(0), 100, rtol=0.25)
    assert_allclose(noisy[:, 8:].std(0), 0.001, rtol=0.25)


def test_several_baselines_and_a_data_set(net: TwoInputs) -> None:
    """A list of lists, and an array of several rows for each input, are averaged; a number serves all inputs."""
    fields: dict[str, Any] = {"steps": 5, "progress": False}
    pairs = [[0.2, 0.1], [np.zeros((6, 3)), np.ones(5)]]

    def masks(baseline: Any) -> list[np.ndarray]:
        found = saliency.explain(net, BOTH, "integrated_gradients", 1, baseline=baseline, **fields)
        return [each.mask for each in found]

    each = [masks(pair) for pair in pairs]
    rows = [np.stack([np.full((6, 3), 0.2), np.zeros((6, 3))]), np.stack([np.full(5, 0.1), np.ones(5)])]
    for i in range(2):
        mean = (each[0][i] + each[1][i]) / 2
        assert_allclose(masks(pairs)[i], mean, rtol=1e-4, atol=1e-6)
        assert_allclose(masks(rows)[i], mean, rtol=1e-4, atol=1e-6)
        assert_allclose(masks(0.2)[i], masks([0.2, 0.2])[i], rtol=1e-5, atol=1e-7)


def test_the_module_is_left_as_it_was_and_let_go() -> None:
    """Mode, parameters and hooks stay; nothing holds the module after its explanation."""
    net = TwoInputs().train()
    before = {name: each.clone() for name, each in net.state_dict().items()}
    saliency.explain(net, BOTH, "smooth_grad", 1, samples=2, progress=False)

    assert net.training
    assert not net._forward_hooks
    assert all(torch.equal(each, before[name]) for name, each in net.state_dict().items())
    assert all(each.grad is None for each in net.parameters())
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None


def test_partial_results_and_predictions(net: TwoInputs) -> None:
    """On the way there are masks of both inputs; predict takes the same list."""
    seen: list[Any] = []
    saliency.explain(net, BOTH, "integrated_gradients", 1, steps=64, progress=False, partial=seen.append)
    best, *_ = saliency.predict(net, BOTH)

    assert len(seen) >= 5
    assert all([each.mask.shape for each in row] == [(6, 3), (5,)] for row in seen)
    assert best.index == int(net(*map(torch.tensor, BOTH)).argmax())


def test_what_is_no_picture_is_drawn_as_what_it_is(net: TwoInputs) -> None:
    """A row is drawn as bars, a matrix as colours, a cube is described; saved and loaded it is the same."""
    series, facts = saliency.explain(net, BOTH, "gradient", 1, progress=False)
    _, (above, below) = plt.subplots(2)
    series.plot(above)
    facts.plot(below)

    assert above.images[0].get_array().shape == (6, 3)
    assert [bar.get_height() for bar in below.patches] == pytest.approx(facts.mask.tolist())
    assert series._repr_png_().startswith(b"\x89PNG")
    (cube,) = saliency.explain(
        lambda x: x.sum((2, 3, 4)), [np.ones((1, 2, 3, 4, 5), np.float32)], "gradient", 1, framework="torch"
    )
    assert cube._repr_png_() is None
    with pytest.raises(saliency.BadImage, match=r"\(2, 3, 4, 5\) is neither"):
        cube.plot()
    with pytest.raises(saliency.BadImage, match="no picture"):
        facts.on_picture()


@pytest.mark.parametrize("method", [row.id for row in saliency.methods() if row.cls().images_only])
def test_methods_of_pictures_say_so(net: TwoInputs, method: str) -> None:
    """Before any work, in one sentence with the methods that take such inputs."""
    with pytest.raises(saliency.Unsupported, match=r"needs ") as refused:
        saliency.explain(net, BOTH, method, 1)
    assert "integrated_gradients" in str(refused.value)


def test_rules_reach_both_inputs(net: TwoInputs) -> None:
    """DeepLIFT, with a baseline for each input, sums to the difference over both; LRP conserves the score."""
    lifted = saliency.explain(net, BOTH, "deep_lift", 1, baseline=[0.3, 0.1], progress=False)
    relevance = saliency.explain(net, BOTH, saliency.LRP("epsilon", epsilon=1e-9), 1, progress=False)

    assert abs(lifted[0].gap) < 1e-5
    assert all(each.mask.any() for each in (*lifted, *relevance))
    assert_allclose(sum(each.mask.sum() for each in relevance), relevance[0].score, rtol=1e-3)


class TestBadInputs:
    """Invalid inputs are refused before any forward pass."""

    @pytest.mark.parametrize(
        ("inputs", "message"),
        [
            ([SERIES, np.zeros((1, 5), np.int64)], r"Input 2 has int64 values.*embeddings"),
            ([SERIES, torch.zeros(1, 5, dtype=torch.bool)], r"Input 2 has bool values"),
            ([SERIES, FACTS[0]], r"input 2 has the shape \(5,\)"),
            ([SERIES.repeat(2, 0), FACTS], r"input 1 has the shape \(2, 6, 3\)"),
            ([SERIES, FACTS * np.nan], r"Input 2 has 5 NaN"),
            ([SERIES], r"called with 1, of shapes \(N, 6, 3\).*facts"),
            ([FACTS, SERIES], r"called with 2, of shapes \(N, 5\), \(N, 6, 3\)"),
        ],
        ids=["integers", "booleans", "no batch axis", "two examples", "nan", "one missing", "swapped"],
    )
    def test_inputs(self, net: TwoInputs, inputs: list[Any], message: str) -> None:
        """Each with the input's number, its shape, and the way out."""
        with pytest.raises(saliency.BadImage, match=message):
            saliency.explain(net, inputs, "gradient", 1, progress=False)

    @pytest.mark.parametrize(
        ("baseline", "message"),
        [
            ([0.0], "each of the 2 inputs, got 1"),
            ([0.0, np.zeros(4)], r"input 2 must have the shape \(5,\), got \(4,\)"),
            ([np.zeros((3, 6, 3)), np.zeros((2, 5))], r"same number of baselines, got \[3, 2\]"),
            ("blur", "'blur' is a baseline of pictures"),
            (np.zeros((6, 3)), "each of the 2 inputs, got 1"),
        ],
        ids=["too few", "shape", "unequal", "name", "array"],
    )
    def test_baselines(self, net: TwoInputs, baseline: Any, message: str) -> None:
        """Too few, of another shape, unequally many, or of pictures."""
        with pytest.raises(saliency.SaliencyError, match=message):
            saliency.explain(net, BOTH, "integrated_gradients", 1, baseline=baseline, progress=False)

    def test_models(self) -> None:
        """A black box has no gradients, a preprocessing no picture, and an adapted model no inputs of its own."""
        with pytest.raises(saliency.Unsupported, match=r"only scores\. No other method takes such inputs"):
            saliency.explain(lambda a, b: np.asarray(b), BOTH, "gradient", 1)
        with pytest.raises(saliency.BadField, match="preprocess applies to pictures only"):
            saliency.explain(TwoInputs(), BOTH, "gradient", 1, preprocess=lambda x: x)
        with pytest.raises(saliency.Unsupported, match="Pass a function"):
            saliency.explain(saliency.adapt(nn.Flatten()), BOTH, "gradient", 1)

    def test_a_list_of_numbers_is_no_list_of_inputs(self) -> None:
        """A picture as nested lists is read as before."""
        nested = np.random.default_rng(0).uniform(size=(8, 8, 3)).tolist()

        assert saliency.explain(small_net(), nested, "gradient", 1).mask.shape == (8, 8, 3)
        assert not isinstance(nested, Inputs)
