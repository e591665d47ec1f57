from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

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
