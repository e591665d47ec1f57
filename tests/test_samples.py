import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saliency.ops import NumpyOps
from saliency.samples import Noisy, Originals, Patches, Samples, StraightPath, evenly, spans

OPS = NumpyOps(np.float64)
IMAGES = np.random.default_rng(0).uniform(size=(3, 5, 4, 2))
KINDS: dict[str, Samples[np.ndarray]] = {
    "originals": Originals(OPS, IMAGES),
    "straight path": StraightPath(OPS, IMAGES[::-1], IMAGES, np.linspace(0, 1, 7)),
    "path from one baseline": StraightPath(OPS, IMAGES[:1] * 0, IMAGES, np.linspace(0, 1, 7)),
    "noisy": Noisy(OPS, IMAGES, np.array([0.1, 0.2, 0.3]), 4, seed=3),
    "patches": Patches(OPS, IMAGES, [(0, 2, 0, 2), (1, 4, 2, 4), (4, 5, 3, 4)], IMAGES * 0 + 0.5),
}


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_cutting_does_not_matter(kind: str, data: st.DataObject) -> None:
    """The same rows are the same copies, however the whole is cut."""
    samples = KINDS[kind]
    cuts = data.draw(st.lists(st.integers(1, len(samples) - 1), unique=True).map(sorted))
    edges = [0, *cuts, len(samples)]
    parts = [samples[slice(a, b)] for a, b in itertools.pairwise(edges)]

    np.testing.assert_array_equal(np.concatenate(parts), samples[slice(0, len(samples))])


def test_straight_path_is_its_formula() -> None:
    """Copy i of image b is baseline + alpha_i * (image - baseline)."""
    alphas = np.array([0.0, 0.3, 1.0])
    path = StraightPath(OPS, IMAGES[::-1], IMAGES, alphas)
    expected = [base + a * (image - base) for base, image in zip(IMAGES[::-1], IMAGES, strict=True) for a in alphas]

    np.testing.assert_allclose(path[slice(0, 9)], np.stack(expected), rtol=1e-14)


def test_noise_belongs_to_its_index() -> None:
    """Copy i has the noise of default_rng([seed, i]), in every image and whatever stands beside it."""
    noisy = Noisy(OPS, IMAGES, np.array([0.1, 0.2, 0.3]), 4, seed=3)
    draw = np.random.default_rng([3, 2]).standard_normal((5, 4, 2), np.float32).astype(np.float64)

    for image, stdev in enumerate((0.1, 0.2, 0.3)):
        np.testing.assert_allclose(noisy[slice(4 * image + 2, 4 * image + 3)][0], IMAGES[image] + stdev * draw)


def test_patches_show_the_cover_inside_the_window_only() -> None:
    """A patch has the cover's own pixels inside its window, and the image's everywhere else."""
    covers = IMAGES[::-1]
    patch = Patches(OPS, IMAGES, [(1, 4, 2, 4)], covers)[slice(0, 1)][0]
    expected = IMAGES[0].copy()
    expected[1:4, 2:4] = covers[0][1:4, 2:4]

    np.testing.assert_array_equal(patch, expected)


def test_patches_work_without_a_channel_axis() -> None:
    """Images (B, H, W) are covered like those with channels."""
    patch = Patches(OPS, IMAGES[..., 0], [(0, 1, 0, 4)], np.ones((1, 5, 4)))[slice(0, 1)][0]

    assert (patch[0] == 1).all()
    np.testing.assert_array_equal(patch[1:], IMAGES[0, 1:, :, 0])


@given(st.integers(1, 9), st.integers(0, 40), st.integers(1, 40))
def test_spans_cover_their_rows_once(each: int, start: int, length: int) -> None:
    """The spans of a run of rows are those rows, in order."""
    rows = slice(start, start + length)
    found = [image * each + i for image, which in spans(rows, each) for i in range(which.start, which.stop)]

    assert found == list(range(rows.start, rows.stop))


@given(st.integers(1, 200))
def test_evenly_is_a_permutation(count: int) -> None:
    """Every node is walked exactly once."""
    assert sorted(evenly(count)) == list(range(count))


@pytest.mark.parametrize("count", [16, 25, 100])
def test_evenly_is_fair_from_the_start(count: int) -> None:
    """A quarter of the walk already has its mean near the middle, and no wide gap."""
    beginning = np.sort(evenly(count)[: max(4, count // 4)]) / (count - 1)

    assert abs(beginning.mean() - 0.5) < 0.15
    assert np.diff(beginning).max() < 0.35
