import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import resize

from saliency.model.ops import NumpyOps
from saliency.session.masks import FeatureMasks, Masked, RandomGrids
from saliency.session.samples import Noisy, Originals, Patches, Samples, StraightPath, evenly, spans

OPS = NumpyOps(np.float64)
IMAGES = np.random.default_rng(0).uniform(size=(3, 5, 4, 2))
LABELS = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 2, -1], [3, 3, 2, -1], [3, 3, 3, -1]])
COALITIONS = np.random.default_rng(1).random((6, 4)) < 0.5
KINDS: dict[str, Samples[np.ndarray]] = {
    "originals": Originals(OPS, IMAGES),
    "straight path": StraightPath(OPS, IMAGES[::-1], IMAGES, np.linspace(0, 1, 7)),
    "path from one baseline": StraightPath(OPS, IMAGES[:1] * 0, IMAGES, np.linspace(0, 1, 7)),
    "noisy": Noisy(OPS, IMAGES, np.array([0.1, 0.2, 0.3]), 4, seed=3),
    "features": Masked(OPS, IMAGES, [IMAGES * 0], FeatureMasks(OPS, LABELS, COALITIONS), 6),
    "features, two covers": Masked(OPS, IMAGES, [IMAGES * 0, IMAGES[::-1]], FeatureMasks(OPS, LABELS, COALITIONS), 6),
    "random grids": Masked(OPS, IMAGES, [IMAGES[:1] * 0 + 0.3], RandomGrids(OPS, (5, 4), 3, 0.5, seed=1), 9),
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


def test_absent_features_show_the_cover_and_others_the_image() -> None:
    """To the bit, a pixel is the cover's where its feature is absent, else the image's, as where it is in none."""
    covers = [IMAGES[::-1] + 0.1, IMAGES * 0 - 1]
    rows = Masked(OPS, IMAGES, covers, FeatureMasks(OPS, LABELS, COALITIONS), 6)[slice(0, 18)]

    for image, index in itertools.product(range(3), range(6)):
        present = np.append(COALITIONS[index], True)[LABELS][..., None]
        expected = np.where(present, IMAGES[image], covers[index % 2][image])
        np.testing.assert_array_equal(rows[6 * image + index], expected)


@pytest.mark.parametrize("shape", [(28, 28), (30, 19), (4, 50)])
def test_random_grids_are_rise_s(shape: tuple[int, int]) -> None:
    """A mask is its small grid, enlarged by scikit-image to a cell more than the image, and cut at its offset."""
    masks = RandomGrids(OPS, shape, 6, 0.4, seed=2)
    found = masks(slice(3, 5), channels=2)

    for row, index in zip(found, (3, 4), strict=True):
        grid, top, left = masks.draw(index)
        cell = [-(-length // 6) for length in shape]
        large = resize(grid, [7 * length for length in cell], order=1, mode="reflect", anti_aliasing=False)
        cut = large[top : top + shape[0], left : left + shape[1]]
        np.testing.assert_allclose(row, np.repeat(cut, 2, axis=1), atol=1e-12)
        assert 0 <= top < cell[0]
        assert 0 <= left < cell[1]


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
