from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from skimage.transform import resize

from saliency.pictures.resize import shrunk


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(61, 40, 3), (33, 90, 1), (120, 47, 4), (45, 45, 2), (20, 70, 3)], ids=str)
def test_shrinking_is_skimages(shape: tuple[int, ...], dtype: Any) -> None:
    """Every bit is skimage's: more or fewer channels, odd sizes, one side even growing."""
    picture = np.random.default_rng(1).uniform(-1, 1, shape).astype(dtype)
    picture[5:12, 5:20] = 1  # what is flat must stay as flat: Felzenszwalb sorts its differences

    expected = resize(picture, (32, 33), order=3, mode="constant", preserve_range=True, anti_aliasing=True)
    found = shrunk(picture, 32, 33)

    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_shrinking_without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without threads the picture is the same."""
    picture = np.random.default_rng(2).uniform(-1, 1, (50, 40, 3))
    expected = shrunk(picture, 20, 20)
    monkeypatch.setattr(sys, "platform", "emscripten")

    np.testing.assert_array_equal(shrunk(picture, 20, 20), expected)
