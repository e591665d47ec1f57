"""Expected Gradients, and the gradient times the image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import saliency
from saliency.core.method import run
from saliency.session.session import Session
from tests.nets import small_net

IMAGE = np.random.default_rng(12).uniform(size=(9, 7, 3)).astype(np.float32)
SET = np.random.default_rng(13).uniform(size=(4, *IMAGE.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def net() -> Any:
    """In float64."""
    return small_net().double()


def gradient(net: Any, point: np.ndarray) -> np.ndarray:
    """Of class 1, at one point."""
    adapted: Any = saliency.adapt(net).at([1])
    found: np.ndarray = adapted.ops.tohost(adapted.gradients(adapted.ops.asarray(point[None])).gradients)[0, 0]
    return found


@pytest.mark.parametrize("spread", [0.0, 0.2])
def test_it_is_the_mean_over_its_draws(net: Any, spread: float) -> None:
    """Sample i draws a baseline, an alpha and noise from the seed and i, in the documented order."""
    total = np.zeros(IMAGE.shape)
    for i in range(6):
        draw = np.random.default_rng([5, i])
        baseline, alpha = SET[draw.integers(4)].astype(np.float64), draw.uniform()
        end = IMAGE.astype(np.float64)
        if spread:
            end = end + spread * np.ptp(IMAGE) * draw.standard_normal(IMAGE.shape, np.float32)
        total += (end - baseline) * gradient(net, baseline + alpha * (end - baseline))
    method = saliency.ExpectedGradients(samples=6, baseline=SET, spread=spread, seed=5)
    found = saliency.explain(net, IMAGE, method, 1, progress=False)

    assert_allclose(found.mask, total / 6, rtol=1e-5, atol=1e-6 * np.abs(total).max())
    assert found.images == 6


def test_the_gap_closes_with_the_samples(net: Any) -> None:
    """It sums to f(image) less the mean of f over the set, the nearer the more samples."""
    few, many = (
        np.mean(
            [
                saliency.explain(
                    net, IMAGE, "expected_gradients", 1, baseline=SET, samples=n, seed=seed, progress=False
                ).gap
                ** 2
                for seed in range(3)
            ]
        )
        ** 0.5
        for n in (6, 300)
    )

    assert many < few / 3


def test_one_baseline_is_integrated_gradients_in_the_mean(net: Any) -> None:
    """From a single baseline it tends to Integrated Gradients."""
    exact = saliency.explain(net, IMAGE, "integrated_gradients", 1, steps=200, quadrature="riemann_middle").mask
    drawn = saliency.explain(net, IMAGE, "expected_gradients", 1, baseline="black", samples=400, progress=False).mask

    assert np.corrcoef(exact.ravel(), drawn.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("batch_size", [1, 5, 40])
def test_draws_belong_to_their_index(net: Any, batch_size: int) -> None:
    """An image's mask depends neither on the batch size nor on the other images."""
    adapted = saliency.adapt(net).at([0, 1])
    images = adapted.ops.asarray(np.stack([IMAGE, IMAGE[::-1] * 0.5]))
    method = saliency.ExpectedGradients(samples=12, spread=0.1)
    *_, together = run(method, Session(adapted, batch_size=batch_size), images)
    *_, alone = run(method, Session(adapted), images[1:])

    assert_allclose(together[:, 1:], alone, rtol=1e-9, atol=1e-14)


def test_partial_masks_are_fair(net: Any) -> None:
    """Partial results are means of the draws so far."""
    adapted = saliency.adapt(net).at([1])
    session = Session(adapted, streaming=True, batch_size=4)
    masks = list(run(saliency.ExpectedGradients(samples=40), session, adapted.ops.asarray(IMAGE[None])))
    *_, first = run(saliency.ExpectedGradients(samples=4), Session(adapted), adapted.ops.asarray(IMAGE[None]))

    assert len(masks) == 10
    assert_allclose(masks[0], first, rtol=1e-9, atol=1e-14)


def test_input_x_gradient_is_that(net: Any) -> None:
    """One model call; the mask is the model's input times its gradient."""
    found = saliency.explain(net, IMAGE, "input_x_gradient", 1, progress=False)

    assert_allclose(found.mask, IMAGE * gradient(net, IMAGE.astype(np.float64)), rtol=1e-5, atol=1e-9)
    assert found.images == found.calls == 1
    assert found.gap is None
