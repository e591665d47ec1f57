from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.ndimage

import saliency
from tests.nets import black_box, picture, small_net

IMAGE = picture(22, 19).astype(np.float32) / 255
FUNCTION = black_box(small_net())


def oracle(size: tuple[int, int], stride: tuple[int, int], value: Any, reduce: str) -> np.ndarray:
    """The drop of each window, laid on each of its pixels, one window after the other."""
    total, count = np.zeros((22, 19)), np.zeros((22, 19))
    whole = FUNCTION(IMAGE[None])[0, 1]
    rows, columns = (
        range(0, length - s + 1, t) if reduce == "sum" else range(0, length - s + t, t)
        for length, s, t in zip((22, 19), size, stride, strict=True)
    )
    for row in rows:
        for column in columns:
            window = np.s_[row : row + size[0], column : column + size[1]]
            shown = IMAGE.copy()
            shown[window] = value
            total[window] += whole - FUNCTION(shown[None])[0, 1]
            count[window] += 1
    return total if reduce == "sum" else total / count


@pytest.mark.parametrize("reduce", ["mean", "sum"])
@pytest.mark.parametrize(
    ("size", "stride", "value"),
    [((6, 6), (4, 4), 0.0), ((5, 8), (3, 7), 0.5), ((22, 3), (1, 2), (0.1, 0.9, 0.4)), ((1, 1), (1, 1), 1.0)],
    ids=str,
)
def test_occlusion_is_its_formula(size: Any, stride: Any, value: Any, reduce: str) -> None:
    """Any window, stride and colour give each pixel the mean, or the sum, of the drops of the windows over it."""
    method = saliency.Occlusion(size=size, stride=stride, value=value, reduce=reduce)
    found = saliency.explain(FUNCTION, IMAGE, method, 1, progress=False)

    np.testing.assert_allclose(found.mask, oracle(size, stride, value, reduce), atol=2e-5)
    assert found.images == method.cost((1, 22, 19, 3))


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_a_share_of_the_windows_is_evaluated_and_the_others_are_interpolated(share: float) -> None:
    """Every second window, then those of the largest interpolated drop, against windows evaluated one by one."""
    method = saliency.Occlusion(size=5, stride=2, share=share)
    found = saliency.explain(FUNCTION, IMAGE, method, 1, progress=False)
    starts = [range(0, length - 5 + 2, 2) for length in (22, 19)]
    whole = FUNCTION(IMAGE[None])[0, 1]
    true = np.zeros(tuple(map(len, starts)))
    for (i, row), (j, column) in itertools.product(*map(enumerate, starts)):
        shown = IMAGE.copy()
        shown[row : row + 5, column : column + 5] = 0
        true[i, j] = whole - FUNCTION(shown[None])[0, 1]
    coarse = true[::2, ::2]
    last = [n - 1 for n in coarse.shape]
    at = np.minimum(np.indices(true.shape) / 2, np.reshape(last, (2, 1, 1)))
    drops = scipy.ndimage.map_coordinates(coarse, at, order=1)
    left = [each for each in itertools.product(*map(range, true.shape)) if each[0] % 2 or each[1] % 2]
    fine = max(0, round(share * true.size) - coarse.size)
    for each in sorted(left, key=lambda each: -drops[each])[:fine]:
        drops[each] = true[each]
    total, count = np.zeros((22, 19)), np.zeros((22, 19))
    for (i, row), (j, column) in itertools.product(*map(enumerate, starts)):
        total[row : row + 5, column : column + 5] += drops[i, j]
        count[row : row + 5, column : column + 5] += 1

    np.testing.assert_allclose(found.mask, total / count, atol=2e-5)
    assert found.images == method.cost((1, 22, 19, 3)) == 1 + coarse.size + fine


def test_a_share_of_the_windows_is_chosen_for_each_picture_of_a_batch() -> None:
    """Two pictures and two covers in one call give the masks of each picture alone, streamed or not."""
    images = [IMAGE, IMAGE[::-1].copy()]
    method = saliency.Occlusion(size=5, stride=2, share=0.5, value=["black", "blur"])
    together = list(saliency.explain_each(FUNCTION, images, method, 1))
    for found, image in zip(together, images, strict=True):
        seen: list[Any] = []
        alone = saliency.explain(FUNCTION, image, method, 1, progress=False, batch_size=16, partial=seen.append)
        np.testing.assert_allclose(found.mask, alone.mask, atol=2e-6)
        assert len(seen) > 2


def test_a_cover_may_be_a_picture() -> None:
    """Covered by a blurred picture, windows show what is beneath them, blurred."""
    cover = IMAGE[::-1].copy()
    found = saliency.explain(FUNCTION, IMAGE, "occlusion", 1, size=7, stride=5, value=cover, progress=False).mask
    top = IMAGE.copy()
    top[:7, :7] = cover[:7, :7]
    drop = FUNCTION(IMAGE[None])[0, 1] - FUNCTION(top[None])[0, 1]

    # only the first window covers the first pixel
    assert found[0, 0] == pytest.approx(drop, abs=1e-5)


@pytest.mark.parametrize("reduce", ["mean", "sum"])
@pytest.mark.parametrize(("size", "stride"), [((6, 5, 1), (4, 5)), ((22, 19, 2), (9, 9, 1)), ((4, 7, 3), 4)], ids=str)
def test_windows_may_have_channels(size: Any, stride: Any, reduce: str) -> None:
    """Windows of some channels give each value of the image its own drops; stride along channels is their width."""
    method = saliency.Occlusion(size=size, stride=stride, reduce=reduce)
    found = saliency.explain(FUNCTION, IMAGE, method, 1, progress=False)
    steps = [*(stride if isinstance(stride, tuple) else (stride, stride))]
    steps += [size[2]] if len(steps) == 2 else []
    total, count = np.zeros(IMAGE.shape), np.zeros(IMAGE.shape)
    starts = [
        range(0, n - s + (1 if reduce == "sum" else t), t) for n, s, t in zip(IMAGE.shape, size, steps, strict=True)
    ]
    whole = FUNCTION(IMAGE[None])[0, 1]
    for at in itertools.product(*starts):
        window = tuple(slice(first, first + s) for first, s in zip(at, size, strict=True))
        shown = IMAGE.copy()
        shown[window] = 0
        total[window] += whole - FUNCTION(shown[None])[0, 1]
        count[window] += 1

    np.testing.assert_allclose(found.mask, total if reduce == "sum" else total / count, atol=2e-5)
    assert found.images == method.cost((1, *IMAGE.shape))


def test_several_covers_are_averaged() -> None:
    """Of a list of names, numbers in arrays or pictures the mask is the mean of the masks of each."""
    covers = ["black", "mean", np.array([0.1, 0.9, 0.4])]
    method = saliency.Occlusion(size=9, stride=6, value=covers)
    both = saliency.explain(FUNCTION, IMAGE, method, 1, progress=False)
    each = [saliency.explain(FUNCTION, IMAGE, method.but(value=value), 1, progress=False).mask for value in covers]

    np.testing.assert_allclose(both.mask, np.mean(each, 0), atol=1e-5)
    assert both.images == method.cost((1, *IMAGE.shape))


@pytest.mark.parametrize("fields", [{"size": (3, 3, 1, 1)}, {"stride": (2,)}])
def test_windows_of_other_ranks_are_refused(fields: Any) -> None:
    """A window is a number, or has two or three sides."""
    with pytest.raises(saliency.BadField, match="height, width"):
        saliency.Occlusion(**fields)
