"""Blur IG and Guided IG through the modern door, beside slow and literal versions of themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import saliency
from saliency.core.blur_ig import BlurPath
from saliency.core.method import run
from saliency.core.walk import smallest
from saliency.model.ops import NumpyOps
from saliency.session.session import Session
from tests.nets import small_net, uneven

IMAGE = np.random.default_rng(7).uniform(size=(11, 8, 3)).astype(np.float32)
START = uneven(*IMAGE.shape)


@pytest.fixture(scope="module")
def net() -> Any:
    """In float64."""
    return small_net().double()


def gradient(net: Any, image: np.ndarray, target: int = 1) -> np.ndarray:
    """The gradient at one image (H, W, C)."""
    adapted: Any = saliency.adapt(net).at([target])
    found: np.ndarray = adapted.ops.tohost(adapted.gradients(adapted.ops.asarray(image[None])).gradients)[0, 0]
    return found


def guided(net: Any, image: np.ndarray, start: np.ndarray, steps: int, fraction: float, max_dist: float) -> np.ndarray:
    """Guided IG of class 1, step by step as in PAIR's description."""
    x, total = start.copy(), np.zeros_like(image)
    whole = np.abs(image - start).sum()
    for t in range(steps):
        actual = gradient(net, x)
        g, alpha = np.abs(actual), (t + 1) / steps
        low, high = max(alpha - max_dist, 0), min(alpha + max_dist, 1)
        x_min, x_max = start + low * (image - start), start + high * (image - start)
        goal, gamma = whole * (1 - alpha), np.inf
        while gamma > 1:
            before = x.copy()
            late = (x - start) / (image - start) < low
            x[late] = x_min[late]
            now = np.abs(x - image).sum()
            if np.isclose(goal, now, rtol=1e-9, atol=1e-9):
                total += (x - before) * actual
                break
            g[x == x_max] = np.inf
            chosen = (g <= np.quantile(g, fraction, method="lower")) & np.isfinite(g)
            room = np.abs(x - x_max)[chosen].sum()
            gamma = (now - goal) / room if room > 0 else np.inf
            x[chosen] = x_max[chosen] if gamma > 1 else (x + gamma * (x_max - x))[chosen]
            total += (x - before) * actual
    return total


@pytest.mark.agreement
@pytest.mark.parametrize(("fraction", "max_dist"), [(0.25, 0.02), (0.5, 1.0), (0.1, 0.3), (1.0, 0.5)])
def test_guided_ig_is_its_algorithm(net: Any, fraction: float, max_dist: float) -> None:
    """Each step moves the values of smallest gradient, as far as they may, until the way of the step is gone."""
    method = saliency.GuidedIG(steps=9, baseline=START, fraction=fraction, max_dist=max_dist)
    found = saliency.explain(net, IMAGE, method, 1, progress=False).mask
    expected = guided(net, IMAGE.astype(np.float64), START.astype(np.float64), 9, fraction, max_dist)

    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


def test_targets_walk_apart(net: Any) -> None:
    """Many targets, images and baselines in lock-step are each what they are alone."""
    images = np.stack([IMAGE, IMAGE[::-1] * 0.5]).astype(np.float64)
    adapted = saliency.adapt(net)
    baselines = [START, 0.5 * IMAGE[::-1]]
    method = saliency.GuidedIG(steps=5, baseline=baselines)
    *_, together = run(method, Session(adapted.at([0, 2])), adapted.ops.asarray(images))

    for i, target in enumerate((0, 2)):
        for j in range(2):
            for_one = [
                list(
                    run(
                        method.but(baseline=base), Session(adapted.at([target])), adapted.ops.asarray(images[j : j + 1])
                    )
                )
                for base in baselines
            ]
            mean = (for_one[0][-1][0, 0] + for_one[1][-1][0, 0]) / 2
            np.testing.assert_allclose(together[i, j], mean, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("rank", [0, 3, 30_000, 120_000, 149_999])
@pytest.mark.parametrize("kind", ["random", "sorted", "constant", "mostly infinite"])
def test_the_sampled_rank_is_exact(kind: str, rank: int) -> None:
    """The value of any rank is found, also if the sample gives wrong bounds."""
    values = np.random.default_rng(0).uniform(size=150_000).astype(np.float32)
    if kind == "sorted":
        values.sort()
    elif kind == "constant":
        values[:] = 0.5
    elif kind == "mostly infinite":
        values[values > 0.2] = np.inf

    assert smallest(values, rank) == np.sort(values)[rank]


@pytest.mark.parametrize("shape", [(10, 8, 3), (11, 7, 1), (9, 12)], ids=str)
def test_blurs_are_scipys(shape: tuple[int, ...]) -> None:
    """Folded matrix products give the blur with zeros beyond the border, and its difference quotient."""
    image = np.random.default_rng(1).uniform(size=shape)
    sigmas = np.array([0.0, 0.1, 0.12, 0.9, 3.3, 50.0])
    path = BlurPath(NumpyOps(np.float64), image[None], sigmas, 0.01)
    points, everything = path[slice(0, 6)], slice(0, 6)

    for i, sigma in enumerate(sigmas):
        now, then = (gaussian_filter(image, [s, s, 0][: len(shape)], mode="constant") for s in (sigma, sigma + 0.01))
        np.testing.assert_allclose(points[i], now, atol=1e-14)
        np.testing.assert_allclose(path.speeds(0, everything)[i], (then - now) / 0.01, atol=1e-11)


def test_blurring_keeps_its_digits_in_float32() -> None:
    """In float32 the speed of the blur has five digits; a difference of two pictures over 0.01 has three."""
    image = np.random.default_rng(2).uniform(size=(24, 20, 3))
    sigmas = np.array([0.5, 2.0, 9.0])
    wide, narrow = (
        BlurPath(NumpyOps(kind), image[None].astype(kind), sigmas, 0.01) for kind in (np.float64, np.float32)
    )
    rows = slice(0, 3)
    _ = wide[rows], narrow[rows]
    exact = wide.speeds(0, rows)

    np.testing.assert_allclose(narrow.speeds(0, rows), exact, atol=2e-6 * np.abs(exact).max())


@pytest.mark.parametrize("sqrt", [False, True])
def test_blur_ig_is_its_formula(net: Any, sqrt: bool) -> None:
    """The mask is minus the sum over the steps of width, speed of the blur and gradient there."""
    image, steps, top = IMAGE.astype(np.float64), 6, 4.0
    sigmas = np.sqrt(np.arange(steps + 1) * top / steps) if sqrt else np.arange(steps + 1) * top / steps
    expected = np.zeros_like(image)
    for sigma, width in zip(sigmas, np.diff(sigmas), strict=False):
        now, then = (gaussian_filter(image, [s, s, 0], mode="constant") for s in (sigma, sigma + 0.01))
        expected -= width * (then - now) / 0.01 * gradient(net, now)
    found = saliency.explain(net, IMAGE, "blur_ig", 1, steps=steps, max_sigma=top, sqrt=sqrt, progress=False).mask

    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("method", [saliency.BlurIG(max_sigma=6), saliency.GuidedIG()], ids=repr)
def test_the_gap_closes_with_the_steps(net: Any, method: Any) -> None:
    """Both sum to f(image) - f(beginning of the path) as the steps grow."""
    few, many = (saliency.explain(net, IMAGE, method.but(steps=n), 1, progress=False).gap for n in (5, 80))

    assert abs(many) < 0.35 * abs(few)
