from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import saliency
from saliency.model.ops import NumpyOps
from saliency.session.masks import RandomGrids
from tests.nets import black_box, near, picture, small_net

HEIGHT, WIDTH, CELLS = 10, 8, 3
IMAGE = picture(HEIGHT, WIDTH).astype(np.float32) / 255
WEIGHTS = np.random.default_rng(0).normal(size=IMAGE.shape)
OFFSET = 2.0


def linear(images: np.ndarray) -> np.ndarray:
    """A linear score with an offset, (N, 1)."""
    return (images * WEIGHTS).sum((1, 2, 3))[:, None] + OFFSET


def products(probability: float) -> np.ndarray:
    """E[M(a) M(b)] of every two pixels, over all offsets and grids, (H * W, H * W): cells are independent."""
    masks = RandomGrids(NumpyOps(np.float64), (HEIGHT, WIDTH), CELLS, probability, seed=0)
    total = np.zeros((HEIGHT * WIDTH, HEIGHT * WIDTH))
    down, across = masks.steps
    for top in range(down):
        for left in range(across):
            rows, columns = masks._down[top : top + HEIGHT], masks._across[left : left + WIDTH]
            share = np.einsum("ai,bj->abij", rows, columns).reshape(HEIGHT * WIDTH, -1)
            total += share @ share.T
    return probability**2 + probability * (1 - probability) * total / (down * across)


def explained(**fields: Any) -> saliency.Explanation:
    """RISE of the linear score."""
    method = saliency.Rise(**{"samples": 3000, "cells": CELLS, **fields})
    found: saliency.Explanation = saliency.explain(linear, IMAGE, method, framework="numpy", progress=False)
    return found


@pytest.mark.parametrize("probability", [0.5, 0.3])
@pytest.mark.parametrize("cover", [0.0, 0.4])
def test_rise_comes_to_its_expectation(probability: float, cover: float) -> None:
    """For a linear score, E[f(x ⊙ M) M] / p has a closed form, and the map agrees with it within its errors."""
    effect = (WEIGHTS * (IMAGE - cover)).sum(2).ravel()
    empty = float(linear(np.full((1, *IMAGE.shape), cover))[0, 0])
    plain = products(probability) @ effect / probability + empty
    mean = probability * effect.sum() + empty
    for centred, expected in ((False, plain), (True, plain - mean)):
        found = explained(probability=probability, centred=centred, baseline=cover)
        assert found.standard_error is not None
        away = (found.mask - expected.reshape(HEIGHT, WIDTH)) / found.standard_error

        # neighbours share their masks, so the whole map may lie to one side
        assert np.abs(away).max() < 4.5
        assert (away**2).mean() ** 0.5 < 2.0


def test_standard_errors_of_rise_are_honest() -> None:
    """Two standard errors about the map hold the expectation in about 95 of 100 pixels and runs."""
    effect = (WEIGHTS * IMAGE).sum(2).ravel()
    expected = (products(0.5) @ effect / 0.5 - 0.5 * effect.sum()).reshape(HEIGHT, WIDTH)
    held = []
    for seed in range(60):
        found = explained(samples=300, seed=seed)
        assert found.standard_error is not None
        held.append(np.abs(found.mask - expected) <= 1.96 * found.standard_error)

    assert 0.90 <= np.mean(held) <= 0.985


def test_centred_rise_is_the_paper_s_less_a_constant() -> None:
    """Centring changes no order: with ever more masks the two maps differ by the mean score alone."""
    plain, centred = (explained(centred=flag, samples=20_000).mask for flag in (False, True))
    difference = plain - centred

    assert np.std(difference) < 0.1 * np.std(centred)
    assert difference.mean() == pytest.approx(linear(IMAGE[None] / 2)[0, 0], rel=0.05)


def test_rise_is_its_sum() -> None:
    """Not centred, the map is the sum of the masks times the scores of the masked images, divided by N p."""
    net = black_box(small_net())
    found = saliency.explain(
        net, IMAGE, saliency.Rise(samples=9, cells=4, probability=0.7, centred=False), 1, progress=False
    )
    masks = RandomGrids(NumpyOps(np.float64), (HEIGHT, WIDTH), 4, 0.7, seed=0)(slice(0, 9))
    scores = net((masks[..., None] * IMAGE).astype(np.float32))[:, 1]

    near(found.mask, (scores[:, None, None] * masks).mean(0) / 0.7, 1e-5)


def test_covers_are_taken_in_turn() -> None:
    """Of two baselines every second mask has the second."""
    seen: list[np.ndarray] = []

    def noted(images: np.ndarray) -> np.ndarray:
        seen.extend(images)
        return linear(images)

    method = saliency.Rise(samples=4, cells=1, probability=0.01, baseline=[0.25, 0.75])
    saliency.explain(noted, IMAGE, method, framework="numpy", progress=False)
    hidden = [float(image.flat[0]) for image in seen if np.ptp(image) == 0]

    assert hidden == [0.25, 0.75, 0.25, 0.75]
