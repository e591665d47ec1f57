"""Metrics of randomised weights, other classes and completeness, against loops written out."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

import saliency
from saliency.api.check import REPORTED
from saliency.metrics import MPRT, Attribution, CompletenessGap, EfficientMPRT, RandomLogit, SmoothMPRT
from saliency.metrics.efficient_mprt import entropy
from saliency.metrics.similarity import spearman
from saliency.metrics.verdict import CHANGED
from tests.adapters import same_net
from tests.frameworks import lazy
from tests.metrics.cases import GRADIENT, case_with, fed, gradient, mask_of, measured, picture
from tests.nets import black_box, small_net

onnxruntime = lazy("onnxruntime")

LAYERS = ["head", "block", "norm", "stem"]


def randomised(net: torch.nn.Module, layers: list[str], seed: int) -> torch.nn.Module:
    """Return a copy of a module with the values of each parameter of some layers permuted, one after another."""
    other = copy.deepcopy(net)
    for name, each in other.named_parameters():
        if name.split(".")[0] in layers:
            order = np.random.default_rng([seed, *name.encode()]).permutation(each.numel())
            each.data = each.data.flatten()[torch.tensor(order)].reshape(each.shape)
    return other


def ranked(one: np.ndarray, other: np.ndarray) -> float:
    """Return SciPy's Spearman correlation."""
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


def test_mprt_is_the_loop_over_layers() -> None:
    """Each layer of a small net is randomised after the next, three times; the curve is the mean by layer."""
    net = small_net()
    x = fed(net, picture())
    original = np.abs(gradient(net, x)).sum(2)
    expected = np.zeros(4)
    for draw, count in itertools.product(range(3), range(4)):
        other = gradient(randomised(net, LAYERS[: count + 1], draw), x)
        expected[count] += ranked(original, np.abs(other).sum(2)) / 3

    found = measured(MPRT(stages=0), net, picture(), GRADIENT)

    assert found.curves["similarity"].names == tuple(LAYERS)
    np.testing.assert_allclose(found.curves["similarity"].values, expected, atol=1e-6)
    assert found.value == pytest.approx(expected.mean(), abs=1e-6)
    assert found.images == 12
    assert found.band is None


def test_stages_are_points_of_the_whole_cascade() -> None:
    """Two stages of four layers are the second and the fourth point; the order from the input on is the reverse."""
    net = small_net()

    whole = measured(MPRT(stages=0, draws=1), net, picture(), GRADIENT).curves["similarity"]
    halves = measured(MPRT(stages=2, draws=1), net, picture(), GRADIENT).curves["similarity"]
    half = measured(MPRT(stages=1, depth=0.5, draws=1), net, picture(), GRADIENT).curves["similarity"]
    reverse = measured(MPRT(stages=0, draws=1, order="bottom_up"), net, picture(), GRADIENT).curves["similarity"]

    assert halves.at.tolist() == [2, 4]
    assert half.at.tolist() == [2]
    assert half.values[0] == halves.values[0]
    np.testing.assert_array_equal(halves.values, whole.values[[1, 3]])
    assert reverse.names == whole.names[::-1]
    assert reverse.values[-1] == pytest.approx(whole.values[-1], abs=1e-6)


def test_smooth_mprt_is_the_mean_over_noise() -> None:
    """Both the model's own map and those of its copies are means of gradients of the same noisy images."""
    net = small_net()
    x = fed(net, picture())
    noise = np.random.default_rng([0, 4]).normal(0, 0.1 * np.ptp(x), (4, *x.shape))
    noisy = (x + noise).astype(np.float32)

    def smoothed(model: torch.nn.Module) -> np.ndarray:
        return np.abs(np.mean([gradient(model, each) for each in noisy], 0)).sum(2)

    order = LAYERS[::-1]
    expected = [ranked(smoothed(net), smoothed(randomised(net, order[: count + 1], 0))) for count in range(4)]

    found = measured(SmoothMPRT(stages=0, draws=1, samples=4), net, picture(), GRADIENT)

    np.testing.assert_allclose(found.curves["similarity"].values, expected, atol=1e-6)
    assert found.images == 4 * 5


def test_efficient_mprt_is_the_rise_of_the_entropy() -> None:
    """One map for each draw, of the model with all weights randomised; histograms of absolute values."""
    net = small_net()
    x = fed(net, picture())

    def by_hand(values: np.ndarray) -> float:
        low, high = values.min(), values.max()
        counts = [0] * 100
        for each in values.ravel():
            counts[min(int((each - low) / (high - low) * 100), 99)] += 1
        return -sum(n / values.size * np.log(n / values.size) for n in counts if n)

    before = by_hand(np.abs(gradient(net, x)).sum(2))
    rises = [by_hand(np.abs(gradient(randomised(net, LAYERS, draw), x)).sum(2)) / before - 1 for draw in range(3)]

    found = measured(EfficientMPRT(), net, picture(), GRADIENT)

    assert found.value == pytest.approx(np.mean(rises), abs=2e-3)  # of values at the edges of bins
    assert found.details["entropy"] == pytest.approx(before, abs=2e-3)
    assert found.images == 3


def test_entropy_of_a_histogram() -> None:
    """It is 0 of a constant, ln n of n equal bins, and does not change with the scale of the values."""
    values = np.arange(100.0).reshape(10, 10)

    assert entropy(np.ones((3, 3)), 100) == 0
    assert entropy(values, 100) == pytest.approx(np.log(100))
    assert entropy(7 * values, 20) == pytest.approx(np.log(20))


def test_a_map_that_ignores_the_weights() -> None:
    """A method that only shows the image is not changed by the weights: all correlations are 1, and the rise is 0."""
    net = small_net()
    case, edges = case_with(net, picture(), GRADIENT), fed(net, picture()).sum(2)
    case.runner = lambda images, targets=None, model=None: np.broadcast_to(
        edges.astype(np.float32), (1, len(images), *edges.shape)
    )

    assert MPRT(stages=2)(case, Attribution(edges)).value == pytest.approx(1)
    assert SmoothMPRT(stages=2, samples=2)(case, Attribution(edges)).value == pytest.approx(1)
    assert EfficientMPRT()(case, Attribution(edges)).value == pytest.approx(0, abs=1e-6)


def test_the_user_s_weights_are_unchanged() -> None:
    """After all metrics of randomisation, every tensor of the model has the same bits."""
    net = small_net()
    before = {name: each.clone() for name, each in net.state_dict().items()}

    for metric in (MPRT(draws=1), EfficientMPRT(draws=1)):
        measured(metric, net, picture(), GRADIENT)

    assert all(torch.equal(each, before[name]) for name, each in net.state_dict().items())


@pytest.mark.needs("onnx", "onnxruntime")
def test_a_black_box_whose_weights_can_be_copied() -> None:
    """A session of ONNX and Occlusion: nodes are randomised from the scores back."""
    method = saliency.Occlusion(size=8, stride=8)

    found = measured(MPRT(stages=0, draws=1), same_net.onnx(same_net.weights()), picture(), method)

    assert found.curves["similarity"].names == ("scores", "block", "norm", "stem")
    assert np.isfinite(found.value)


@pytest.mark.parametrize("name", ["cat", pytest.param("coffee", marks=pytest.mark.long)])
def test_guided_backprop_shows_the_image(name: str) -> None:
    """With the upper half of a trained network shuffled, its map hardly changes, others do, and the verdict says so."""
    model: Any = saliency.demo.model("imagenet")
    before = {key: each.clone() for key, each in model.state_dict().items()}
    metric, image = REPORTED["mprt"], saliency.demo.image(name)

    found = {
        method: measured(metric, model, image, method, None).value
        for method in ("guided_backprop", "gradient", "grad_cam")
    }
    contrast = measured(RandomLogit(), model, image, "guided_backprop", None).value

    assert found["guided_backprop"] > 0.65 > CHANGED > 0.4 > max(found["gradient"], found["grad_cam"])
    assert contrast < 0.02
    assert all(torch.equal(each, before[key]) for key, each in model.state_dict().items())


def test_what_cannot_be_randomised_has_a_reason() -> None:
    """A plain function has no weights, a mask without a method cannot be computed again, a zero one has no entropy."""
    net, mask = small_net(), Attribution(np.random.default_rng(0).normal(size=(24, 20)))
    of_function = case_with(black_box(net), picture(), saliency.Occlusion(size=8))
    without_method = case_with(net, picture(), GRADIENT)
    without_method.runner = None

    for metric in (MPRT(), SmoothMPRT(), EfficientMPRT()):
        assert "weights that can be copied and changed" in metric(of_function, mask).reason
        assert metric(without_method, mask).reason == "needs the method that created the mask"
        assert np.isnan(metric(of_function, mask).value)
    assert "needs the method" in RandomLogit()(without_method, mask).reason


def test_class_contrast_is_one_minus_the_correlation() -> None:
    """With the next class in score, and with random classes, of gradients pooled as the method shows them."""
    net = small_net()
    x = fed(net, picture())
    with torch.no_grad():
        scores = net(torch.tensor(x).movedim(-1, 0)[None].float())[0].numpy()
    target = int(scores.argmax())
    runner_up = int(np.argsort(-scores)[1])
    own = np.abs(gradient(net, x, target)).sum(2)

    found = measured(RandomLogit(), net, picture(), GRADIENT, target)
    others = measured(RandomLogit(against="random", classes=3), net, picture(), GRADIENT, target)

    assert list(found.details) == [f"class {runner_up}"]
    assert found.value == pytest.approx(1 - ranked(own, np.abs(gradient(net, x, runner_up)).sum(2)), abs=1e-6)
    expected = [1 - ranked(own, np.abs(gradient(net, x, i)).sum(2)) for i in range(4) if i != target]
    assert others.value == pytest.approx(np.mean(expected), abs=1e-6)


def test_a_map_for_no_class_has_no_contrast() -> None:
    """Eigen-CAM does not read the class: exactly 0."""
    assert measured(RandomLogit(), small_net(), picture(), saliency.EigenCam()).value == pytest.approx(0, abs=1e-12)


def test_class_contrast_needs_classes() -> None:
    """A callable target and a model of one value have no other class; two classes of one output are negatives."""
    net = small_net()
    one = torch.nn.Sequential(net, torch.nn.Linear(4, 1)).eval()
    two = torch.nn.Sequential(one, torch.nn.Sigmoid()).eval()

    def difference(outputs: Any) -> Any:
        return outputs[:, 0] - outputs[:, 1]

    assert "no class" in measured(RandomLogit(), net, picture(), GRADIENT, difference).reason
    for model in (one, two):
        assert "one output" in measured(RandomLogit(), model, picture(), GRADIENT, 0).reason


def test_completeness_is_that_of_the_explanation() -> None:
    """Of Integrated Gradients it is `gap_share`; of gradients, which promise none, NaN with the reason."""
    net, method = small_net(), saliency.IntegratedGradients(steps=3)
    exp = saliency.explain(net, picture(), method, 1, progress=False)

    found = CompletenessGap()(case_with(net, picture(), method), Attribution.of(exp))
    none = measured(CompletenessGap(), net, picture(), GRADIENT)

    assert found.value == pytest.approx(exp.gap_share)
    assert found.value > 0
    assert found.images == 0
    assert np.isnan(none.value)
    assert "does not claim" in none.reason


def test_spearman_is_scipy_s() -> None:
    """With and without ties; 0 with a constant map, and the same for any growing function of the values."""
    draw = np.random.default_rng(0)
    one, other = draw.normal(size=(9, 7)), draw.integers(0, 4, (9, 7))

    assert spearman(one, other) == pytest.approx(ranked(one, other))
    assert spearman(2 * one + 1, np.exp(other)) == pytest.approx(ranked(one, other))
    assert spearman(one, -one) == pytest.approx(-1)
    assert spearman(one, np.ones((9, 7))) == 0
    assert mask_of(small_net(), picture(), GRADIENT).pooled().shape == (24, 20)
