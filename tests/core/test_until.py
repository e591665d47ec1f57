"""Stopping at a requested standard error, and masks whose cells are not correlated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import saliency
from saliency.core.kernel_shap import KernelShap
from saliency.core.shapley_sampling import ShapleySampling
from saliency.model.ops import NumpyOps
from saliency.session.masks import OrthogonalGrids, RandomGrids
from tests.core.games import random_worth, shapley
from tests.nets import black_box, picture, small_net

IMAGE = picture(24, 20).astype(np.float32) / 255
OPS = NumpyOps(np.float64)
SEGMENTS = np.arange(24)[:, None] // 8 * 3 + np.arange(20) // 7
METHODS = {
    "rise": saliency.Rise(samples=2000, cells=3),
    "kernel_shap": KernelShap(samples=400, segments=SEGMENTS),
    "shapley_sampling": ShapleySampling(samples=400, segments=SEGMENTS),
}
LOOSE = {"rise": 0.3, "kernel_shap": 0.05, "shapley_sampling": 0.05}
"""Shares that are reached with few samples."""


def interacting(images: np.ndarray) -> np.ndarray:
    """Two scores with interactions of neighbouring parts, (N, 2)."""
    parts = np.asarray(images, np.float64).reshape(len(images), 6, 4, 20, 3).mean((2, 3, 4))
    waves = np.sin(9 * parts[:, 0] * parts[:, 3] + 4 * parts[:, 5])
    return np.stack([parts.sum(1) + waves, parts[:, 2] ** 3 + parts[:, 5] * waves], 1)


def explained(method: Any, target: Any = 0, **options: Any) -> Any:
    """Return the explanation of an interacting score."""
    given = {"framework": "numpy", "progress": False, **options}
    return saliency.explain(interacting, IMAGE, method, target, **given)


@pytest.mark.parametrize("name", METHODS)
def test_sampling_stops_at_the_requested_error(name: str) -> None:
    """The largest standard error is within the share, with fewer images, and a note gives both; without it, all run."""
    full, until = explained(METHODS[name]), LOOSE[name]
    found = explained(METHODS[name].but(until=until))
    rise = abs(
        float(
            np.diff(
                interacting(np.stack([IMAGE, 0 * IMAGE if name == "rise" else IMAGE * 0 + IMAGE.mean((0, 1))])), axis=0
            )[0, 0]
        )
    )

    assert found.images < 0.6 * full.images
    assert found.standard_error.max() <= until * rise * 1.001
    (note,) = (each for each in found.notes if "standard error" in each)
    assert note.startswith("stopped after")
    assert not any("standard error" in each for each in full.notes)


@pytest.mark.parametrize("name", METHODS)
def test_an_unreached_error_is_noted(name: str) -> None:
    """With too few samples all are used, the mask is that without the limit, and a note names the way out."""
    fewer = METHODS[name].but(samples=40)
    found = explained(fewer.but(until=1e-6))

    np.testing.assert_allclose(found.mask, explained(fewer).mask, rtol=1e-5, atol=1e-7)
    assert any(each.startswith("until=1e-06 was not reached") and "raise samples" in each for each in found.notes)


@pytest.mark.parametrize("name", METHODS)
def test_stopping_depends_on_nothing_else(name: str) -> None:
    """A mask is the same for every batch size, with other targets, with partial results and in a batch of pictures."""
    method = METHODS[name].but(until=LOOSE[name])
    found = explained(method)
    for size in (3, 50):
        again = explained(method, batch_size=size)
        assert again.images == found.images
        np.testing.assert_allclose(again.mask, found.mask, rtol=1e-5, atol=1e-7)
    partials: list[Any] = []
    streamed = explained(method, partial=partials.append)
    both = explained(method, [0, 1])

    assert partials
    for other in (streamed, both[0]):
        np.testing.assert_allclose(other.mask, found.mask, rtol=1e-5, atol=1e-7)
    assert [note for note in both[0].notes if "stopped" in note] == [note for note in found.notes if "stopped" in note]
    pair = np.stack([IMAGE, IMAGE[::-1]])
    of_pair = list(saliency.explain_each(interacting, pair, method, 0, framework="numpy", progress=False))
    np.testing.assert_allclose(of_pair[0].mask, found.mask, rtol=1e-5, atol=1e-7)


def test_progress_ends_at_the_images_evaluated() -> None:
    """Images that are not evaluated are subtracted from the total."""
    for name, method in METHODS.items():
        seen: list[tuple[int, int]] = []
        found = explained(method.but(until=LOOSE[name]), progress=lambda *at, seen=seen: seen.append(at))
        assert seen[-1][0] == found.images
        assert seen[0][1] >= seen[-1][0]


@pytest.mark.parametrize("value", [-0.1, 1.5, "2 %", True])
@pytest.mark.parametrize("cls", [saliency.Rise, KernelShap, ShapleySampling])
def test_invalid_shares_are_refused(cls: Any, value: Any) -> None:
    """A share is a number from 0 to 1."""
    with pytest.raises(saliency.SaliencyError, match="until"):
        cls(until=value)


@pytest.mark.parametrize("cells", [1, 3, 7, 8])
def test_cells_of_a_block_are_not_correlated(cells: int) -> None:
    """In a block every cell is visible in half of the masks, every two in a quarter, every three in an eighth."""
    masks = OrthogonalGrids(OPS, (16, 16), cells, seed=5)
    for first in (0, masks.block):
        grids = np.array([masks.draw(i)[0].ravel() for i in range(first, first + masks.block)])
        signs = 2 * grids - 1
        assert not signs.sum(0).any()
        np.testing.assert_array_equal(signs.T @ signs, masks.block * np.eye(cells**2))
        threes = np.einsum("ni,nj->nij", signs, signs[:, :9]).reshape(len(signs), -1).T @ signs
        # a cell with itself and another is that other alone
        assert not threes.any()


def test_orthogonal_masks_are_reproducible_and_uniform() -> None:
    """A mask depends on the seed and its number alone; each cell is visible in half of the first masks of all seeds."""
    one, again = (OrthogonalGrids(OPS, (9, 9), 3, seed=7) for _ in range(2))
    np.testing.assert_array_equal(one(slice(40, 45)), np.concatenate([again(slice(i, i + 1)) for i in range(40, 45)]))
    firsts = np.array([OrthogonalGrids(OPS, (9, 9), 3, seed).draw(3)[0] for seed in range(400)])
    assert np.abs(firsts.mean(0) - 0.5).max() < 4 * 0.5 / 400**0.5


def deviation(method: saliency.Rise, seeds: int) -> tuple[float, np.ndarray]:
    """Return the mean variance over seeds of the map of a network, and its mean."""
    net = black_box(small_net())
    maps = [saliency.explain(net, IMAGE, method.but(seed=seed), 1, progress=False).mask for seed in range(seeds)]
    return float(np.var(maps, 0, ddof=1).mean()), np.mean(maps, 0)


def test_orthogonal_masks_halve_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """At equal images the variance of RISE is at most half that of independent masks, and the mean is the same."""
    method = saliency.Rise(samples=128, cells=5)
    orthogonal, mean = deviation(method, 16)
    monkeypatch.setattr(
        saliency.Rise, "_masks", lambda self, ops, shape: RandomGrids(ops, shape, self.cells, 0.5, self.seed)
    )
    independent, expected = deviation(method, 16)

    assert orthogonal < 0.5 * independent
    spread = ((orthogonal + independent) / 16) ** 0.5
    assert np.abs(mean - expected).mean() < 2 * spread


@pytest.mark.parametrize("cls", [KernelShap, ShapleySampling])
def test_stopped_estimates_are_shapley_values(cls: Any) -> None:
    """Over seeds, estimates that stopped early agree with the exact values within their spread."""
    players = 6
    worth, exact = random_worth(players, 3), shapley(random_worth(players, 3), players)
    labels = np.repeat(np.arange(players), 4)[None].repeat(4, 0)

    def score(images: np.ndarray) -> np.ndarray:
        return worth((images[:, 0, ::4, 0] > 0.5).astype(float))[:, None]

    fields = {"segments": labels, "baseline": 0.0, "samples": 5000, "until": 0.2}
    found = np.array(
        [
            saliency.explain(
                score, np.ones((4, 24, 3), np.float32), cls(seed=seed, **fields), 0, framework="numpy", progress=False
            ).mask[0, ::4]
            for seed in range(12)
        ]
    )
    away = found.mean(0) - exact

    assert np.abs(away).max() < 4 * np.maximum(found.std(0, ddof=1) / 12**0.5, 1e-6).max()
