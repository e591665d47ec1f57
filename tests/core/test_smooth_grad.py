from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import saliency
from saliency.core import smooth_grad
from saliency.core.method import Method, run
from saliency.session.session import Session
from tests.nets import small_net

IMAGE = np.random.default_rng(5).uniform(size=(12, 10, 3)).astype(np.float32)
FAMILY: tuple[type[saliency.SmoothGrad], ...] = (saliency.SmoothGrad, saliency.SmoothGradSquared, saliency.VarGrad)


@pytest.fixture(scope="module")
def net() -> Any:
    """In float64, so that sums in another order are the same."""
    return small_net().double()


def mask(net: Any, method: Method, **options: Any) -> np.ndarray:
    """The mask of class 1."""
    return np.asarray(saliency.explain(net, IMAGE, method, 1, progress=False, **options).mask, np.float64)


def noisy_masks(net: Any, inner: Method, samples: int, spread: float, seed: int) -> np.ndarray:
    """The masks of the noisy copies, one after the other, as the formula has it."""
    stdev = spread * np.ptp(IMAGE)
    draws = [np.random.default_rng([seed, i]).standard_normal(IMAGE.shape, np.float32) for i in range(samples)]
    copies = [IMAGE.astype(np.float64) + stdev * draw for draw in draws]
    adapted = saliency.adapt(net).at([1])
    found = []
    for copy in copies:
        *_, one = run(inner, Session(adapted), adapted.ops.asarray(copy[None]))
        found.append(adapted.ops.tohost(one)[0, 0])
    return np.stack(found)


@pytest.mark.parametrize("inner", [saliency.GradientSaliency(), saliency.IntegratedGradients(steps=3)], ids=repr)
def test_the_family_are_statistics_of_the_same_masks(net: Any, inner: Method) -> None:
    """Mean, mean square and variance of the masks of one stream of noisy copies, also beyond one portion of them."""
    samples = smooth_grad.TOGETHER + 5
    masks = noisy_masks(net, inner, samples, 0.2, 3)

    for cls, expected in zip(FAMILY, (masks.mean(0), (masks**2).mean(0), masks.var(0)), strict=True):
        found = mask(net, cls(inner, samples=samples, spread=0.2, seed=3))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


def test_a_small_variance_beside_a_large_mean_survives() -> None:
    """Masks about 10000 that vary by 0.01 have their variance to three digits in float32, merged or not."""
    values = (1e4 + np.random.default_rng(0).normal(0, 0.01, (1, 40, 5, 4, 1))).astype(np.float32)
    session: Any = Session(saliency.adapt(lambda images: images.sum((1, 2, 3))[:, None]).at([0]))
    whole = smooth_grad.Moments.of(values, session)
    merged = smooth_grad.Moments.of(values[:, :7], session) | smooth_grad.Moments.of(values[:, 7:], session)
    expected = values.astype(np.float64).var(1, keepdims=True)

    # float32 steps by 0.001 at 10000, so that is how near the mean can be
    np.testing.assert_allclose(whole.variance, expected, rtol=0.05)
    np.testing.assert_allclose(merged.variance, expected, rtol=0.05)
    assert (merged.variance > 0).all()


@pytest.mark.parametrize("cls", FAMILY)
def test_images_do_not_mix(cls: type[saliency.SmoothGrad], net: Any) -> None:
    """Of two images together each has its own statistic, also where a portion holds copies of both."""
    adapted = saliency.adapt(net).at([0, 2])
    images = adapted.ops.asarray(np.stack([IMAGE, IMAGE[::-1] * 0.5]))
    method = cls(samples=20)
    *_, together = run(method, Session(adapted), images)

    for i in range(2):
        *_, alone = run(method, Session(adapted), images[i : i + 1])
        np.testing.assert_allclose(together[:, i : i + 1], alone, rtol=1e-9, atol=1e-15)


def test_smoothed_regions_belong_to_no_image(net: Any) -> None:
    """XRAI's regions of noisy copies are not handed out as the image's."""
    assert saliency.explain(net, IMAGE, saliency.SmoothGrad(saliency.XRAI(steps=2), samples=2)).regions is None
