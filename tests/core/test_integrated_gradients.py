"""Quadratures, baselines and the tolerance of Integrated Gradients, by closed forms and by counting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import saliency
import saliency.demo
from saliency.core.integrated_gradients import FIRST, LIMIT, MOST, WITHIN
from saliency.core.method import run
from saliency.core.quadrature import RULES, nodes
from saliency.session.session import Session
from tests.nets import small_net

IMAGE = np.random.default_rng(11).uniform(size=(10, 8, 3)).astype(np.float32)

EXACT_DEGREE = {
    "pair": 1,
    "riemann_left": 0,
    "riemann_right": 0,
    "riemann_middle": 1,
    "trapezoid": 1,
    "gauss_legendre": 9,
}
"""Up to which degree a rule of five nodes integrates polynomials exactly."""


class Counting(torch.nn.Module):
    """A module that counts the images it is called with."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner, self.seen = inner, [0]

    def __deepcopy__(self, memo: Any) -> Counting:
        copied = Counting(self.inner)
        copied.seen = self.seen
        return copied

    def forward(self, x: torch.Tensor) -> Any:
        self.seen[0] += len(x)
        return self.inner(x)


@pytest.fixture(scope="module")
def net() -> Any:
    """In float64."""
    return small_net().double()


def explained(net: Any, **fields: Any) -> Any:
    """Of class 1."""
    return saliency.explain(net, IMAGE, "integrated_gradients", 1, progress=False, **fields)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("steps", [1, 2, 5, 40])
def test_weights_sum_to_one(rule: str, steps: int) -> None:
    """The nodes of every rule lie in order within [0, 1], and a constant is integrated exactly."""
    alphas, weights = nodes(steps, rule)

    assert len(alphas) == len(weights) == steps
    assert alphas.min() >= 0
    assert alphas.max() <= 1
    assert (np.diff(alphas) > 0).all()
    assert_allclose(weights.sum(), 1, rtol=1e-14)


@pytest.mark.parametrize("rule", RULES)
def test_rules_have_their_degree(rule: str) -> None:
    """A rule of five nodes is exact for polynomials of its degree, and for none of the next."""
    alphas, weights = nodes(5, rule)
    degree = EXACT_DEGREE[rule]

    assert_allclose(weights @ alphas**degree, 1 / (degree + 1), rtol=1e-13)
    assert abs(weights @ alphas ** (degree + 1) - 1 / (degree + 2)) > 1e-7


@pytest.mark.parametrize("rule", RULES)
def test_a_mask_is_its_formula(net: Any, rule: str) -> None:
    """The way from the baseline times the weighted sum of the gradients at the nodes, one after the other."""
    adapted: Any = saliency.adapt(net).at([1])
    image = IMAGE.astype(np.float64)
    expected = np.zeros_like(image)
    for alpha, weight in zip(*nodes(7, rule), strict=True):
        point = adapted.ops.asarray((0.25 + alpha * (image - 0.25))[None])
        expected += weight * adapted.ops.tohost(adapted.gradients(point).gradients)[0, 0] * (image - 0.25)
    found = explained(net, quadrature=rule, steps=7, baseline=0.25)

    assert_allclose(found.mask, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    assert found.images == 7


def test_a_cubic_needs_two_nodes_of_gauss_and_legendre() -> None:
    """For a gradient of degree three along the path, two steps give the exact integral."""
    quartic = saliency.adapt(lambda x: (x**4).sum((1, 2, 3))[:, None], framework="torch")
    found = saliency.explain(
        quartic, IMAGE, "integrated_gradients", 0, quadrature="gauss_legendre", steps=2, baseline=0.0, progress=False
    )

    assert_allclose(found.mask, IMAGE**4, rtol=1e-4, atol=1e-6)


def test_several_baselines_are_averaged_however_they_are_given(net: Any) -> None:
    """A list, an array with one axis more, and the mean of each alone are the same; so is their cost."""
    several = np.random.default_rng(3).uniform(size=(3, *IMAGE.shape)).astype(np.float32)
    each = [explained(net, baseline=one, steps=6) for one in several]
    mean = np.mean([one.mask for one in each], axis=0)
    listed, stacked = explained(net, baseline=list(several), steps=6), explained(net, baseline=several, steps=6)

    for found in (listed, stacked):
        assert_allclose(found.mask, mean, rtol=1e-5, atol=1e-7)
        assert_allclose(found.gap, np.mean([one.gap for one in each]), rtol=1e-4, atol=1e-7)
        assert found.images == 18
    method = saliency.IntegratedGradients(steps=6, baseline=several)
    assert method.cost((1, *IMAGE.shape)) == method.but(baseline=list(several)).cost((1, *IMAGE.shape)) == 18


class TestTolerance:
    """Nodes are added until the gap is small enough."""

    @pytest.mark.parametrize("tolerance", [0.3, 0.05, 0.01, 0.002])
    def test_the_gap_is_within(self, net: Any, tolerance: float) -> None:
        """The reported gap is at most the requested share of the difference."""
        found = explained(net, tolerance=tolerance)

        assert found.gap_share <= tolerance * (1 + 1e-4)
        assert FIRST <= found.images < MOST * 25

    def test_it_is_a_trapezoid_of_the_evaluated_steps(self, net: Any) -> None:
        """The mask equals the trapezoid rule over all evaluated steps, each evaluated once."""
        adapted: Any = saliency.adapt(net).at([1])
        batches: list[np.ndarray] = []

        class Spy(type(adapted)):  # type: ignore[misc]
            def gradients(self, images: Any) -> Any:
                batches.append(self.ops.tohost(images))
                return super().gradients(images)

        adapted.__class__ = Spy
        method = saliency.IntegratedGradients(tolerance=0.005, baseline=0.0)
        *_, mask = run(method, Session(adapted), adapted.ops.asarray(IMAGE[None]))
        points = np.concatenate(batches)
        alphas = points.mean((1, 2, 3)) / IMAGE.mean(dtype=np.float64)
        order = np.argsort(alphas)
        gradients = adapted.ops.tohost(adapted.gradients(adapted.ops.asarray(points)).gradients)[0]
        expected = np.trapezoid(gradients[order], alphas[order], axis=0) * IMAGE

        assert (np.diff(alphas[order]) > 1e-6).all()
        assert_allclose(adapted.ops.tohost(mask)[0, 0], expected, rtol=1e-6, atol=1e-9)

    def test_a_line_needs_no_more_than_the_first_nodes(self) -> None:
        """A linear score is exact at once."""
        linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(240, 2))
        counted = Counting(linear).eval()
        saliency.explain(counted, IMAGE, "integrated_gradients", 1, tolerance=1e-4, progress=False)

        # the first nodes; the image and the baseline for the report; the probes for batch axis and targets
        assert counted.seen[0] <= FIRST + 4

    def test_it_stops_at_the_maximum_with_a_note(self) -> None:
        """A score with a jump that no gradient sees: at most 16 nodes for each of `steps`, and a note."""
        jump = saliency.adapt(
            lambda x: (torch.floor(3 * x).sum((1, 2, 3)) + x.sum((1, 2, 3)))[:, None], framework="torch"
        )
        found = saliency.explain(jump, IMAGE, "integrated_gradients", 0, tolerance=0.01, steps=2, progress=False)

        assert found.images <= MOST * 2
        assert abs(found.gap) > 0.01 * abs(found.score - found.baseline_score)
        assert any("the gaps along the path sum to" in note and "at 32 steps" in note for note in found.notes)
        assert any("completeness error" in note and "try steps=8" in note for note in found.notes)

    def test_targets_and_images_are_what_they_are_alone(self, net: Any) -> None:
        """Each target of each image has the nodes that it needs, and no others."""
        adapted = saliency.adapt(net)
        images = adapted.ops.asarray(np.stack([IMAGE, IMAGE[::-1] * 0.5, np.zeros_like(IMAGE)]))
        method = saliency.IntegratedGradients(tolerance=0.01, baseline=["black", 0.7])
        *_, together = run(method, Session(adapted.at([0, 2])), images)

        for i, target in enumerate((0, 2)):
            for j in range(3):
                *_, alone = run(method, Session(adapted.at([target])), images[j : j + 1])
                assert_allclose(together[i, j], alone[0, 0], rtol=1e-9, atol=1e-13)

    @pytest.mark.parametrize("batch_size", [1, 3, 64])
    def test_the_batch_size_changes_nothing(self, net: Any, batch_size: int) -> None:
        """However the nodes are batched, they are the same."""
        auto = explained(net, tolerance=0.01)
        found = explained(net, tolerance=0.01, batch_size=batch_size)

        assert found.images == auto.images
        assert_allclose(found.mask, auto.mask, rtol=1e-5, atol=1e-8)

    def test_partial_masks_come_and_converge(self, net: Any) -> None:
        """The masks on the way come nearer to the last one."""
        adapted = saliency.adapt(net).at([1])
        session = Session(adapted, streaming=True, batch_size=2)
        masks = [
            adapted.ops.tohost(each)
            for each in run(saliency.IntegratedGradients(tolerance=0.002), session, adapted.ops.asarray(IMAGE[None]))
        ]
        away = [np.abs(each - masks[-1]).sum() for each in masks]

        assert len(masks) >= 5
        assert away[0] > away[len(away) // 2] > away[-1] == 0

    def test_smoothed(self, net: Any) -> None:
        """SmoothGrad hands many copies at once; each is refined for itself."""
        method = saliency.SmoothGrad(saliency.IntegratedGradients(tolerance=0.02), samples=11)
        found = saliency.explain(net, IMAGE, method, 1, progress=False)

        assert np.isfinite(found.mask).all()
        assert found.images >= 11 * FIRST

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"tolerance": 0}, "above 0"),
            ({"tolerance": float("nan")}, "finite number"),
            ({"tolerance": "tight"}, "must be a number"),
            ({"tolerance": 0.1, "quadrature": "gauss_legendre"}, "the trapezoid rule allows"),
            ({"steps": 0}, "1 to 10000"),
            ({"steps": 2.5}, "whole number"),
            ({"quadrature": "simpson"}, "'simpson'"),
        ],
        ids=str,
    )
    def test_invalid_fields_are_refused(self, fields: dict[str, Any], message: str) -> None:
        """Wrong tolerances, and rules whose nodes cannot be reused."""
        with pytest.raises(saliency.SaliencyError, match=message):
            saliency.IntegratedGradients(**fields)


class TestDefault:
    """Without steps, quadrature or tolerance, steps are added where the score is curved."""

    def test_gaps_that_cancel_do_not_end_it(self) -> None:
        """A score with two bends whose gaps cancel at 17 steps: the sum is right there, the parts are not."""

        def bends(x: Any) -> Any:
            # one pixel counts from early in the ninth of 16 intervals on, the other from as early in the 13th
            first, second = x[..., 0], x[..., 1]
            return (9 * first + 100 * torch.relu(first - 0.505) - 100 * torch.relu(second - 0.755)).sum((1, 2))[:, None]

        model = saliency.adapt(bends, framework="torch")
        ones = np.ones((1, 2, 1), np.float32)
        found = saliency.explain(model, ones, "integrated_gradients", 0, baseline=0.0, progress=False)
        coarse = saliency.explain(
            model, ones, "integrated_gradients", 0, baseline=0.0, steps=17, quadrature="trapezoid", progress=False
        )

        exact = np.array([9 + 100 * 0.495, -100 * 0.245])
        assert abs(coarse.gap) < 1e-4
        assert np.abs(coarse.mask.ravel() - exact).min() > 2.5
        assert found.images > 17
        assert np.abs(found.mask.ravel() - exact).max() < 0.05 * found.score

    def test_the_absolute_gaps_are_within_the_default_tolerance(self, net: Any) -> None:
        """The nodes that were visited leave gaps whose sizes sum to a tenth of the difference, or are the most."""
        adapted: Any = saliency.adapt(net).at([1])
        visited: list[np.ndarray] = []

        class Spy(type(adapted)):  # type: ignore[misc]
            def gradients(self, images: Any) -> Any:
                visited.append(self.ops.tohost(images))
                return super().gradients(images)

        adapted.__class__ = Spy
        list(run(saliency.IntegratedGradients(baseline=0.0), Session(adapted), adapted.ops.asarray(IMAGE[None])))
        points = np.concatenate(visited)
        alphas = points.mean((1, 2, 3)) / IMAGE.mean(dtype=np.float64)
        points = points[np.argsort(alphas)]
        answer = adapted.gradients(adapted.ops.asarray(points))
        slopes = (adapted.ops.tohost(answer.gradients)[0] * IMAGE).sum((1, 2, 3))
        scores = adapted.ops.tohost(answer.scores)[0]
        gaps = np.diff(np.sort(alphas)) * (slopes[1:] + slopes[:-1]) / 2 - np.diff(scores)

        assert FIRST <= len(points) <= LIMIT
        assert np.abs(gaps).sum() <= WITHIN * abs(scores[-1] - scores[0]) or len(points) == LIMIT

    @pytest.mark.parametrize("batch_size", [1, 5, 64])
    def test_neither_batches_nor_partial_results_change_it(self, net: Any, batch_size: int) -> None:
        """The mask, and how many images it cost, are the same however the nodes are batched."""
        auto = explained(net)
        found = explained(net, batch_size=batch_size, partial=lambda _: None)

        assert found.images == auto.images
        assert_allclose(found.mask, auto.mask, rtol=1e-5, atol=1e-8)

    def test_inside_another_method_the_steps_are_fixed(self) -> None:
        """SmoothGrad, IDGI, IDG and XRAI know their cost beforehand; a tolerance that was given is kept."""
        ig = saliency.IntegratedGradients()

        assert repr(saliency.SmoothGrad(ig)) == "SmoothGrad(method=IntegratedGradients(steps=25))"
        assert saliency.SmoothGrad(ig, samples=4).cost((1, 8, 8, 3)) == 100
        assert saliency.XRAI(base_attribution=ig).cost((1, 8, 8, 3)) == 25
        assert repr(saliency.IDGI()) == "IDGI()"
        assert saliency.IDGI(ig).key() == saliency.IDGI().key() == saliency.IDGI(ig.but(steps=25)).key()
        assert saliency.IntegratedDecisionGradients(ig).steps == 25
        assert repr(saliency.VarGrad(ig.but(tolerance=0.1)).method) == "IntegratedGradients(tolerance=0.1)"
        assert ig.key() != ig.but(steps=25).key()

    def test_a_number_of_steps_is_pair_s_rule(self, net: Any) -> None:
        """With steps alone, or the rule alone, it is what it was: 25 nodes of equal weight, both ends among them."""
        rule = explained(net, quadrature="pair")
        steps = explained(net, steps=25)

        assert rule.images == steps.images == 25
        assert_allclose(rule.mask, steps.mask, rtol=0, atol=0)

    def test_its_cost_is_what_is_known_beforehand(self, net: Any) -> None:
        """The cost is that of the first steps, and progress counts those in that are added."""
        method = saliency.IntegratedGradients(baseline=["black", "white"])
        reported: list[tuple[int, int]] = []
        found = saliency.explain(
            saliency.adapt(net), IMAGE, method, 1, progress=lambda done, total: reported.append((done, total))
        )

        assert method.cost((1, *IMAGE.shape)) == 2 * FIRST
        assert method.beyond
        assert not method.but(steps=9).beyond
        assert reported[0][1] == 2 * FIRST
        assert reported[-1] == (found.images, found.images)

    @pytest.mark.parametrize("name", ["cat", "coffee"])
    def test_on_a_trained_network(self, name: str) -> None:
        """On a photograph 25 steps of PAIR's rule lose most of the difference and say so; the default loses little."""
        model: Any = saliency.demo.model("imagenet")
        picture = saliency.demo.image(name)
        found = saliency.explain(
            model, picture, "integrated_gradients", preprocess=model.preprocess, labels=model.labels, progress=False
        )

        assert found.gap_share < 0.05
        assert found.images <= LIMIT
        assert not any("completeness" in note for note in found.notes)
        if name == "cat":
            fixed = saliency.explain(
                model, picture, "integrated_gradients", steps=25, preprocess=model.preprocess, progress=False
            )
            assert fixed.gap_share > 0.5
            (note,) = (note for note in fixed.notes if "completeness error" in note)
            assert note.endswith("omit steps and quadrature, so that steps are added where the score is curved")


def _and(x: float, y: float) -> tuple[float, float]:
    """relu(x + y - 1): the slope is one on the last 1 - 1 / (x + y) of the way."""
    share = max(0.0, 1 - 1 / (x + y))
    return x * share, y * share


def _or(x: float, y: float) -> tuple[float, float]:
    """1 - relu(1 - x - y): the slope is one on the first 1 / (x + y) of the way."""
    share = min(1.0, 1 / (x + y))
    return x * share, y * share


CLOSED: dict[str, tuple[Any, Any]] = {
    # x, y from 0: the score, and Integrated Gradients as the integral gives it
    "sum": (lambda x, y: x + 2 * y, lambda x, y: (x, 2 * y)),
    "product": (lambda x, y: x * y, lambda x, y: (x * y / 2, x * y / 2)),
    "AND": (lambda x, y: torch.relu(x + y - 1), _and),
    "OR": (lambda x, y: 1 - torch.relu(1 - x - y), _or),
    "XOR": (
        lambda x, y: torch.relu(x + y) - 2 * torch.relu(x + y - 1),
        lambda x, y: tuple(a - 2 * b for a, b in zip((x, y), _and(x, y), strict=True)),
    ),
    "saturation": (lambda x, y: 1 - torch.relu(1 - 4 * x) + 0 * y, lambda x, y: (min(4 * x, 1), 0)),
}


@pytest.mark.parametrize("name", CLOSED)
@settings(max_examples=12)
@given(x=st.floats(0.05, 1.5), y=st.floats(0.05, 1.5))
def test_little_gates_have_their_exact_answer(name: str, x: float, y: float) -> None:
    """Sum, product, AND, OR, XOR and saturation from (0, 0): the integral, worked out by hand."""
    score, exact = CLOSED[name]
    model = saliency.adapt(lambda z: score(z[:, 0, 0, 0], z[:, 0, 0, 1])[:, None], framework="torch")
    image = np.array([[[x], [y]]], np.float32)
    mask = saliency.explain(
        model,
        image,
        "integrated_gradients",
        0,
        baseline=0.0,
        steps=1000,
        quadrature="riemann_middle",
        batch_size=1000,
        progress=False,
    ).mask

    assert_allclose(mask[0, :, 0], exact(x, y), atol=1e-2)
