"""IDGI and Integrated Decision Gradients on each path: beside literal versions, by axioms, and by counting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter

import saliency
from saliency.core.method import run
from saliency.core.paths import PORTION
from saliency.session.session import Session
from tests.nets import small_net, uneven

IMAGE = np.random.default_rng(41).uniform(size=(10, 8, 3)).astype(np.float32)
INNER: dict[str, saliency.Method] = {
    "line": saliency.IntegratedGradients(steps=9, baseline=0.2),
    "blur": saliency.BlurIG(steps=9, max_sigma=4),
    "guided": saliency.GuidedIG(steps=9, baseline=uneven(*IMAGE.shape), fraction=0.4, max_dist=0.3),
}


@pytest.fixture(scope="module")
def net() -> Any:
    """In float64."""
    return small_net().double()


def scores_and_gradients(net: Any, points: np.ndarray, target: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Scores (n,) and gradients (n, H, W, C)."""
    adapted: Any = saliency.adapt(net).at([target])
    answer = adapted.gradients(adapted.ops.asarray(points))
    return adapted.ops.tohost(answer.scores)[0], adapted.ops.tohost(answer.gradients)[0]


def mask(net: Any, method: saliency.Method, **options: Any) -> np.ndarray:
    """Of class 1."""
    return np.asarray(saliency.explain(net, IMAGE, method, 1, progress=False, **options).mask)


def line(alphas: np.ndarray) -> np.ndarray:
    """The straight path from 0.2."""
    return np.stack([0.2 + alpha * (IMAGE.astype(np.float64) - 0.2) for alpha in alphas])


def clearing(alphas: np.ndarray) -> np.ndarray:
    """The path of Blur IG."""
    image = IMAGE.astype(np.float64)
    sigmas = (1 - alphas) * 4
    return np.stack([gaussian_filter(image, [sigma, sigma, 0], mode="constant") for sigma in sigmas])


@pytest.mark.parametrize(("inner", "path"), [("line", line), ("blur", clearing)])
def test_idgi_is_its_formula(net: Any, inner: str, path: Callable[[np.ndarray], np.ndarray]) -> None:
    """Each rise of the score, times the gradient's squares as shares of their sum."""
    scores, gradients = scores_and_gradients(net, path(np.linspace(0, 1, 9)))
    expected = sum((scores[j + 1] - scores[j]) * gradients[j] ** 2 / (gradients[j] ** 2).sum() for j in range(8))

    assert_allclose(mask(net, saliency.IDGI(INNER[inner])), expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize(("inner", "path"), [("line", line), ("blur", clearing)])
def test_decision_gradients_are_their_formula(net: Any, inner: str, path: Callable[[np.ndarray], np.ndarray]) -> None:
    """Each gradient, times the step, times the slope of the score over the step."""
    points = path(np.linspace(0, 1, 9))
    scores, gradients = scores_and_gradients(net, points)
    expected = sum((scores[j + 1] - scores[j]) * 8 * gradients[j] * (points[j + 1] - points[j]) for j in range(8))
    found = mask(net, saliency.IntegratedDecisionGradients(INNER[inner], adaptive=False))

    assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.agreement
def test_the_guided_path_is_guided_ig_s(net: Any) -> None:
    """Gradients times steps along the path that is read are Guided IG's own mask."""
    adapted: Any = saliency.adapt(net).at([0, 1])
    images = adapted.ops.asarray(np.stack([IMAGE, IMAGE[::-1] * 0.5]))
    method = saliency.GuidedIG(steps=8, baseline=[uneven(*IMAGE.shape), 0.5 * IMAGE[::-1]], fraction=0.4, max_dist=0.3)
    paths = method.paths(images, Session(adapted), 9)
    *_, expected = run(method, Session(adapted), images)
    found = np.zeros(expected.shape)
    for path in paths:
        assert path.target is not None
        ways = adapted.ops.tohost(path.ways(np.linspace(0, 1, 9)))
        gathered = sum(adapted.ops.tohost(met.gradient)[0] * way for met, way in zip(path.met, ways, strict=True))
        found[path.target, path.image] += gathered / 2

    assert len(paths) == 8
    assert_allclose(found, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("cls", [saliency.IDGI, saliency.IntegratedDecisionGradients])
def test_every_step_is_evaluated_once(net: Any, cls: Any, inner: str, adaptive: bool) -> None:
    """As many images as nodes, no two of them alike, however the nodes are placed."""
    adapted: Any = saliency.adapt(net).at([1])
    seen: list[np.ndarray] = []

    class Spy(type(adapted)):  # type: ignore[misc]
        def gradients(self, images: Any) -> Any:
            seen.append(self.ops.tohost(images))
            return super().gradients(images)

    adapted.__class__ = Spy
    session: Session[Any] = Session(adapted)
    method = cls(INNER[inner], adaptive=adaptive)
    list(run(method, session, adapted.ops.asarray(IMAGE[None])))
    points = np.concatenate(seen)

    assert session.images == len(points) == 9 == method.cost((1, *IMAGE.shape))
    assert len(np.unique(points.round(7), axis=0)) == 9


@settings(max_examples=8)
@given(seed=st.integers(0, 1000), steps=st.integers(2, 12), inner=st.sampled_from(list(INNER)), adaptive=st.booleans())
def test_idgi_is_complete_with_any_number_of_steps(seed: int, steps: int, inner: str, adaptive: bool) -> None:
    """The mask sums to f(image) - f(beginning of the path), of random nets, on each path."""
    net = small_net(seed=seed).double()
    found = saliency.explain(
        net, IMAGE, saliency.IDGI(INNER[inner].but(steps=steps), adaptive=adaptive), 2, progress=False
    )

    assert abs(found.gap) <= 1e-5 * (abs(found.score) + abs(found.baseline_score or 0))


def test_adaptive_nodes_go_where_the_score_changes() -> None:
    """Of a score that only rises on the last tenth of the way, most of the nodes that are added lie there."""
    import torch

    def late(x: Any) -> Any:
        return torch.relu(x.mean((1, 2, 3)) - 0.9)[:, None].repeat(1, 2) + 0.01 * x.mean((1, 2, 3))[:, None]

    adapted: Any = saliency.adapt(late, framework="torch").at([1])
    white = adapted.ops.asarray(np.ones((1, 4, 4, 3)))
    seen: list[float] = []
    call = adapted.gradients

    def spy(images: Any) -> Any:
        seen.extend(images.mean((1, 2, 3)).tolist())
        return call(images)

    adapted.gradients = spy
    method = saliency.IDGI(saliency.IntegratedGradients(steps=20, baseline=0.0), adaptive=True)
    list(run(method, Session(adapted), white))

    assert len(seen) == 20
    assert sum(each > 0.88 for each in seen[10:]) >= 7


def test_a_flat_beginning_is_detected_at_the_end_of_the_step() -> None:
    """A gradient that is zero at the start of a step but not at its end keeps the sum complete."""
    import torch

    def hinge(x: Any) -> Any:
        return torch.relu(x.mean((1, 2, 3)) - 0.5)[:, None].repeat(1, 2)

    model = saliency.adapt(hinge, framework="torch")
    method = saliency.IDGI(saliency.IntegratedGradients(steps=4, baseline=0.0))
    found = saliency.explain(model, np.ones((4, 4, 3), np.float32), method, 1, progress=False)

    assert found.score == pytest.approx(0.5)
    assert found.gap == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("cls", [saliency.IDGI, saliency.IntegratedDecisionGradients])
def test_many_images_and_targets_are_each_what_they_are_alone(net: Any, cls: Any, inner: str) -> None:
    """Beyond one portion of images, and where nodes are sought for each target."""
    adapted = saliency.adapt(net)
    images = adapted.ops.asarray(np.stack([IMAGE * share for share in np.linspace(0.3, 1, PORTION + 2)]))
    method = cls(INNER[inner].but(steps=5), adaptive=True)
    *_, together = run(method, Session(adapted.at([0, 2]), batch_size=7), images)

    assert together.shape[:2] == (2, PORTION + 2)
    for i, target in enumerate((0, 2)):
        for j in (0, PORTION + 1):
            *_, alone = run(method, Session(adapted.at([target])), images[j : j + 1])
            assert_allclose(together[i, j], alone[0, 0], rtol=1e-6, atol=1e-9)


def test_partial_masks_are_complete_too(net: Any) -> None:
    """IDGI of the nodes so far sums to the same difference."""
    adapted = saliency.adapt(net).at([1])
    session = Session(adapted, streaming=True, batch_size=4)
    images = adapted.ops.asarray(IMAGE[None])
    masks = list(run(saliency.IDGI(saliency.IntegratedGradients(steps=32)), session, images))
    sums = [float(adapted.ops.tohost(each).sum()) for each in masks]

    assert len(masks) >= 8
    assert_allclose(sums, sums[-1], rtol=1e-6)


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        (saliency.GradientSaliency(), "GradientSaliency has none"),
        (saliency.IntegratedGradients(tolerance=0.1), "omit tolerance of"),
        (saliency.IntegratedGradients(quadrature="trapezoid"), "omit quadrature of"),
    ],
    ids=repr,
)
def test_a_method_without_a_path_is_refused(inner: saliency.Method, message: str) -> None:
    """Methods without paths, and fields that would not be read."""
    with pytest.raises(saliency.BadField, match=message):
        saliency.IDGI(inner)
