from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import saliency
from saliency_widget.pictures.placement import Placement, find_placement


def ramps(height: int, width: int) -> np.ndarray:
    """Return a float picture whose values are the coordinates of its pixels."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([rows / height, columns / width, np.zeros_like(rows)], -1)


def placement_of(preprocess: Callable[[np.ndarray], np.ndarray], img: np.ndarray, shown: tuple[int, int]) -> Placement:
    """Return the placement of the model's view of an image."""
    read = saliency.read(img, preprocess)
    return find_placement(read.placement, read.fed.shape[1:3], read.shown.shape[:2], shown)


def test_a_model_that_sees_everything_fills_the_picture() -> None:
    """Without preprocessing the view is the picture, in the pixels that are shown."""
    placement = placement_of(lambda x: x, ramps(40, 60), (20, 30))

    assert placement.rectangle == pytest.approx((0, 0, 30, 20), abs=1e-4)
    assert placement.turn is None


def test_a_crop_is_placed_where_it_was_cut() -> None:
    """Rows 8–24 and columns 20–52 of a picture shown at half size are at (10, 4), 16 × 8 pixels large."""
    placement = placement_of(lambda x: x[8:24, 20:52], ramps(40, 60), (20, 30))

    assert placement.rectangle == pytest.approx((10, 4, 16, 8), abs=0.05)
    assert placement.turn is None


def test_a_resize_fills_the_picture() -> None:
    """A view reduced by averaging blocks covers the whole picture."""
    placement = placement_of(lambda x: x.reshape(20, 2, 30, 2, 3).mean((1, 3)), ramps(40, 60), (40, 60))

    assert placement.rectangle == pytest.approx((0, 0, 60, 40), abs=0.05)


def test_padding_sticks_out() -> None:
    """A view padded to a square begins above the picture."""
    placement = placement_of(lambda x: np.pad(x, ((10, 10), (0, 0), (0, 0))), ramps(40, 60), (40, 60))

    assert placement.rectangle == pytest.approx((0, -10, 60, 60), abs=0.05)


@pytest.mark.parametrize(
    "turn",
    [
        lambda x: x[:, ::-1],
        lambda x: x[::-1],
        lambda x: np.moveaxis(x, 0, 1),
        np.rot90,
        lambda x: np.rot90(x, 2)[4:, 6:],
    ],
    ids=["mirrored", "upside down", "transposed", "quarter turn", "half turn and crop"],
)
def test_a_turned_view_is_turned_back(turn: Callable[[np.ndarray], np.ndarray]) -> None:
    """A map is turned upright without resampling, and covers exactly its pixels."""
    img = ramps(40, 60)
    placement = placement_of(lambda x: np.ascontiguousarray(turn(x)), img, (40, 60))
    x, y, width, height = (round(edge) for edge in placement.rectangle)
    assert placement.turn is not None

    upright = placement.turn(np.ascontiguousarray(turn(img)[..., 0]), 0)

    assert upright.shape == (height, width)
    np.testing.assert_array_equal(upright, img[y : y + height, x : x + width, 0])


def test_a_view_that_leans_is_gathered() -> None:
    """Any other rotation gives a map of the whole picture: the nearest value, and the given one outside the view."""
    lean = np.deg2rad(30)
    matrix = np.array([[np.cos(lean), np.sin(lean), 5.0], [-np.sin(lean), np.cos(lean), 12.0]])

    placement = find_placement(matrix, (20, 20), (40, 40), (40, 40))

    assert placement.rectangle == (0, 0, 40, 40)
    assert placement.turn is not None
    ranks = np.arange(400, dtype=np.uint16).reshape(20, 20)
    upright = placement.turn(ranks, 65535)
    row, column = matrix @ (7, 11, 1)
    assert upright[round(row), round(column)] == ranks[7, 11]
    assert upright[39, 0] == 65535
