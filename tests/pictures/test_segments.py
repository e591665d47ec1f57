from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import saliency
from saliency.pictures.segments import SEGMENTERS, count_of, exactly, labelled, split
from tests.nets import picture

PICTURE = picture(40, 33) / 255
LEFT = np.arange(33) < 10
HALVES = [np.broadcast_to(side, (40, 33)) for side in (LEFT, ~LEFT)]


@pytest.mark.parametrize("name", SEGMENTERS)
@pytest.mark.parametrize("count", [1, 2, 13, 40])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_named_segments_have_the_documented_number(name: str, count: int, channels: int) -> None:
    """Every named segmentation covers the picture with the number of segments of count_of, numbered from 0."""
    shown = np.concatenate([PICTURE] * 2, 2)[..., :channels] * 5 - 2
    labels = split(shown, name, count)

    assert labels.shape == (40, 33)
    assert np.array_equal(np.unique(labels), np.arange(count_of(name, count, (40, 33))))
    assert count_of(name, count, (40, 33)) == count or name == "grid"


@pytest.mark.parametrize("name", SEGMENTERS)
@pytest.mark.parametrize("shape", [(9, 7, 3), (1, 6, 1), (1, 1, 3)])
def test_a_picture_of_one_colour_is_cut_all_the_same(name: str, shape: tuple[int, ...]) -> None:
    """On a constant picture there are still as many segments as requested, or as pixels."""
    labels = split(np.full(shape, 0.4), name, 5)

    assert len(np.unique(labels)) == count_of(name, 5, shape[:2]) <= shape[0] * shape[1]


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 30))
def test_joining_and_cutting_give_the_very_count(seed: int, count: int) -> None:
    """From any labels, the result has exactly the requested number, and none is empty."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, random.integers(1, 40), (6, 5))
    found = exactly(labels, random.uniform(size=(6, 5, 3)), count)

    assert np.array_equal(np.unique(found), np.arange(count))


def test_joining_follows_colour() -> None:
    """The smallest segment joins the neighbour that looks like it."""
    labels = np.repeat([[0, 0, 0, 1, 2, 2, 2, 2]], 4, 0)
    shades = np.repeat([[0.1, 0.1, 0.1, 0.8, 0.9, 0.9, 0.9, 0.9]], 4, 0)[..., None]

    np.testing.assert_array_equal(exactly(labels, shades, 2), labels > 0)


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        (np.array([[5, 5, -2], [7, 5, -2]]), [[1, 1, 0], [2, 1, 0]]),
        (np.array([[True, True, False], [False, True, False]]), [[1, 1, 0], [0, 1, 0]]),
        ([np.array([[1, 0, 0], [1, 0, 0]], bool)], [[0, -1, -1], [0, -1, -1]]),
        (np.array([[[0, 1, 0]] * 2, [[0, 0, 0]] * 2, [[1, 0, 0]] * 2], bool), [[1, 0, -1]] * 2),
    ],
    ids=["any numbers", "two labels", "holes", "an empty mask"],
)
def test_segments_become_one_label_map(segments: Any, expected: Any) -> None:
    """Labels are renumbered; pixels in no mask are in no segment, and an empty mask is dropped."""
    np.testing.assert_array_equal(labelled(segments, (2, 3)), expected)
    assert count_of(segments, 0, (2, 3)) == np.max(expected) + 1


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([HALVES[0], HALVES[0]], r"Segments 0 and 1 overlap \(400 pixels"),
        ([HALVES[0][1:]], r"image's shape \(40, 33\), got one of shape \(39, 33\)"),
        (np.zeros((3, 3), int), r"image's shape \(40, 33\), got \(3, 3\)"),
        (np.zeros((40, 33)), "must contain integers, got float64"),
        ([], "None of the 0 segments"),
        ([np.zeros((40, 33), bool)], "None of the 1 segments"),
        (7, "got int"),
        (lambda shown: shown, r"got one of shape \(33, 3\)"),
    ],
)
def test_invalid_segments_are_refused(segments: Any, message: str) -> None:
    """Overlaps, other shapes, other types and nothing at all are refused with what was expected."""
    with pytest.raises(saliency.BadShape, match=message):
        labelled(split(PICTURE, segments, 4), (40, 33))


def test_a_misspelt_segmentation_is_refused() -> None:
    """The closest name is suggested, in every method that takes segments."""
    for method in (saliency.Lime, saliency.XRAI):
        with pytest.raises(saliency.UnknownName, match="Did you mean 'slic'"):
            method(segments="slik")
