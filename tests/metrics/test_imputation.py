from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import spsolve

from saliency.errors import BadImage, BadShape
from saliency.metrics import imputation
from saliency.metrics.imputation import impute

WEIGHTS = {(0, 1): 1 / 6, (1, 0): 1 / 6, (1, 1): 1 / 12, (1, -1): 1 / 12}


def exact(image: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """The system as a graph: each pair of neighbours adds its weight to the rows of both, solved by factorisation."""
    number = np.arange(keep.size).reshape(keep.shape)
    pairs, weights = [], []
    for (down, right), weight in WEIGHTS.items():
        height, width = keep.shape[0] - down, keep.shape[1] - abs(right)
        left, other = max(-right, 0), max(right, 0)
        here = number[:height, left : left + width].ravel()
        there = number[down : down + height, other : other + width].ravel()
        pairs.append(np.stack([here, there]))
        weights.append(np.full(here.size, weight))
    (here, there), values = np.concatenate(pairs, 1), np.concatenate(weights)
    rows, columns = np.concatenate([here, there]), np.concatenate([there, here])
    links = csr_matrix((np.tile(values, 2), (rows, columns)), shape=(keep.size, keep.size))
    system = diags(links @ np.ones(keep.size)).tocsr() - links
    kept, removed = np.flatnonzero(keep), np.flatnonzero(~keep)
    flat = image.reshape(keep.size, -1).astype(np.float64)
    right_side = -(system[removed][:, kept] @ flat[kept])
    flat[removed] = spsolve(system[removed][:, removed].tocsc(), right_side).reshape(right_side.shape)
    return np.asarray(flat.reshape(image.shape))


def assert_exact(image: np.ndarray, keep: np.ndarray) -> None:
    """Each removed pixel is within 1e-4 of its channel's kept range, each kept pixel is unchanged."""
    found = impute(image, keep)
    assert found.dtype == image.dtype
    assert (found[keep] == image[keep]).all()
    rounding = 4 * np.finfo(image.dtype).eps * np.abs(image[keep]).max() + 1e-9
    assert (np.abs(found - exact(image, keep)).max((0, 1)) <= 1e-4 * np.ptp(image[keep], axis=0) + rounding).all()


def without(shape: tuple[int, int], *holes: tuple[slice | int, slice | int]) -> np.ndarray:
    """All pixels kept except in holes."""
    keep = np.ones(shape, bool)
    for hole in holes:
        keep[hole] = False
    return keep


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """Uniform in [0, 1)."""
    return np.random.default_rng(seed).random(shape)


ROWS, COLUMNS = np.indices((64, 64))
DISC = np.hypot(ROWS - 30, COLUMNS - 33)
HOLES = {
    "interior": without((64, 64), (slice(10, 40), slice(20, 50))),
    "border": without((64, 64), (slice(0, 20), slice(20, 50))),
    "corner": without((64, 64), (slice(40, 64), slice(30, 64))),
    "several": without((64, 64), (slice(0, 9), slice(0, 9)), (slice(20, 37), slice(11, 60)), (50, 50)),
    "cells": np.kron(noise(8, 8) > 0.5, np.ones((8, 8))) > 0,
    "disc": DISC > 25,
    "ring": (DISC > 25) | (DISC < 12),
    "all but one": ~without((64, 64), (0, 63)),
    "all but two": ~without((64, 64), (0, 63), (40, 5)),
    "row": without((64, 64), (31, slice(None))),
    "column at the border": without((64, 64), (slice(None), 0)),
    "diagonal line": ROWS != COLUMNS,
    "kept diagonal line": ROWS == COLUMNS,
    "stripes": ROWS % 8 == 0,
    "checkerboard": (ROWS + COLUMNS) % 2 == 0,
    "coarse checkerboard": (ROWS // 4 + COLUMNS // 4) % 2 == 0,
    "rooms": (ROWS % 16 == 0) & (COLUMNS % 16 != 5) | (COLUMNS % 16 == 0) & (ROWS % 16 != 9),
    "pixels, 10 %": noise(64, 64) > 0.1,
    "pixels, 50 %": noise(64, 64) > 0.5,
    "pixels, 99 %": noise(64, 64) > 0.99,
}


@pytest.mark.parametrize("hole", HOLES)
def test_imputed_pixels_are_the_solution_of_the_system(hole: str) -> None:
    """For noise and for a smooth image, in float32, holes of every kind equal a sparse direct solution."""
    waves = np.sin(ROWS / 9)[..., None] * np.cos(COLUMNS[..., None] / [5.0, 11.0, 23.0])
    for image in (noise(64, 64, 3, seed=1), 255 * waves + 1000):
        assert_exact(image.astype(np.float32), HOLES[hole])


@pytest.mark.parametrize("shape", [(1, 2), (1, 9), (9, 1), (2, 2), (3, 5), (1, 200), (3, 300), (17, 33), (50, 77)])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_every_shape_is_solved(shape: tuple[int, int], channels: int) -> None:
    """Odd, narrow and non-square images with any number of channels equal a sparse direct solution."""
    image = noise(*shape, channels)
    for seed, share in itertools.product(range(3), (0.1, 0.5, 0.9)):
        keep = noise(*shape, seed=seed) > share
        keep.flat[seed % keep.size] = True
        if not keep.all():
            assert_exact(image, keep)
    ends = np.zeros(shape, bool)
    ends[0, 0] = ends[-1, -1] = True
    if not ends.all():
        assert_exact(image, ends)


def test_a_ramp_comes_back_in_the_interior_but_not_at_the_border() -> None:
    """A linear ramp solves the system where no neighbour is missing; renormalised weights bend it at the border."""
    ramp = np.stack([3.0 * COLUMNS, 2.0 * ROWS - COLUMNS], -1)
    np.testing.assert_allclose(impute(ramp, HOLES["interior"]), ramp, atol=0.02)
    assert np.abs(impute(ramp, without((64, 64), (slice(20, 30), slice(60, 64)))) - ramp).max() > 1


@pytest.mark.parametrize(
    ("offset", "weight"), [((-1, 0), 1 / 6), ((0, 1), 1 / 6), ((-1, -1), 1 / 12), ((1, 1), 1 / 12)]
)
def test_the_weights_are_the_paper_s(offset: tuple[int, int], weight: float) -> None:
    """A lone 1 above or beside a hole of one pixel gives 1/6, diagonally 1/12."""
    image = np.zeros((40, 40, 1))
    image[20 + offset[0], 20 + offset[1]] = 1
    assert impute(image, without((40, 40), (20, 20)))[20, 20, 0] == pytest.approx(weight, abs=1e-4)


def test_the_weights_are_renormalised_at_the_border() -> None:
    """At an edge, neighbours weigh 1/4 and 1/8 (2/3 of the weight is inside); in a corner, 2/5 and 1/5."""
    image = np.zeros((40, 40, 1))
    image[1, 20] = image[1, 0] = 1
    assert impute(image, without((40, 40), (0, 20)))[0, 20, 0] == pytest.approx(1 / 4, abs=1e-4)
    assert impute(image, without((40, 40), (0, 21)))[0, 21, 0] == pytest.approx(1 / 8, abs=1e-4)
    assert impute(image, without((40, 40), (0, 0)))[0, 0, 0] == pytest.approx(2 / 5, abs=1e-4)


def test_removed_values_do_not_matter() -> None:
    """NaN and huge values in removed pixels leave no trace."""
    image, keep = noise(64, 64, 3), HOLES["several"]
    spoilt = np.where(keep[..., None], image, np.nan)
    spoilt[50, 50] = 1e30
    assert (impute(spoilt, keep) == impute(image, keep)).all()


def test_all_and_none_removed() -> None:
    """All pixels removed: the mean per channel. None removed: the image. The given image is not changed."""
    image = noise(7, 5, 3)
    before = image.copy()
    np.testing.assert_allclose(impute(image, np.zeros((7, 5), bool)), np.full((7, 5, 3), image.mean((0, 1))))
    whole = impute(image, np.ones((7, 5), bool))
    assert (whole == image).all()
    assert not np.shares_memory(whole, image)
    assert (image == before).all()


def test_a_constant_channel_stays_constant() -> None:
    """A channel without range does not disturb the others, and one kept pixel fills the image."""
    image = noise(64, 64, 3).astype(np.float32)
    image[..., 1] = 0.3
    assert_exact(image, HOLES["disc"])
    assert (impute(image, HOLES["disc"])[..., 1] == np.float32(0.3)).all()
    np.testing.assert_allclose(impute(image, HOLES["all but one"]), np.broadcast_to(image[0, 63], image.shape))


def test_integers_are_imputed_as_floats() -> None:
    """An image of uint8 is imputed in float32."""
    image = (255 * noise(64, 64, 3)).astype(np.uint8)
    found = impute(image, HOLES["cells"])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact(image, HOLES["cells"]), atol=0.0255)


@pytest.mark.parametrize("kept", [1, 2, 20, 2000, 25_000])
def test_few_iterations_suffice(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 224×224, at most 12 iterations are taken however few pixels are kept."""
    monkeypatch.setattr(imputation, "LIMIT", 12)
    keep = np.zeros(224 * 224, bool)
    keep[np.random.default_rng(kept).permutation(keep.size)[:kept]] = True
    assert_exact(noise(224, 224, 1), keep.reshape(224, 224))


def test_a_smaller_tolerance_is_met() -> None:
    """The error is within the tolerance, and a larger tolerance leaves a larger error."""
    image, keep = noise(100, 60, 3), noise(100, 60, seed=1) > 0.9
    errors = [np.abs(impute(image, keep, tolerance) - exact(image, keep)).max() for tolerance in (1e-2, 1e-3, 1e-7)]
    assert errors[0] < 1e-2
    assert errors[1] < 1e-3
    assert errors[2] < 1e-7 < errors[0]


def test_bad_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes that do not fit, kept pixels that are not finite, and iterations that do not converge raise errors."""
    image, keep = noise(64, 64, 3), HOLES["disc"]
    with pytest.raises(BadShape, match=r"\(64, 64, 3\) and \(64, 63\)"):
        impute(image, keep[:, 1:])
    with pytest.raises(BadShape, match="image"):
        impute(image[..., 0], keep)
    spoilt = image.copy()
    spoilt[0, 0, 0] = np.inf
    with pytest.raises(BadImage, match="finite"):
        impute(spoilt, keep)
    monkeypatch.setattr(imputation, "LIMIT", 2)
    with pytest.raises(BadImage, match="did not converge"):
        impute(image, keep)
