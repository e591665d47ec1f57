"""The smallest strength of corruptions, and their curves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import saliency
from saliency.attacks import CORRUPTIONS
from tests.nets import picture, small_net

GREY = np.full((8, 8, 3), 0.5)


def bright(images: np.ndarray) -> np.ndarray:
    """A model of two classes: 1 from a mean of 0.7."""
    mean = images.mean((1, 2, 3))
    return np.stack([0.7 - mean, mean - 0.7], 1) * 20


def test_the_crossing_is_found_to_the_tolerance() -> None:
    """Brightness changes the answer at 0.2, which bisection finds; the curve has the values around it."""
    found = saliency.attacks.minimal_strength(bright, GREY, "brightness", tolerance=1e-4)

    assert found.strength is not None
    assert found.strength == pytest.approx(0.2, abs=1e-4)
    assert found.strength - found.unchanged <= 1e-4
    np.testing.assert_array_equal(found.strengths, np.sort(found.strengths))
    np.testing.assert_allclose(found.values, 1 / (1 + np.exp(-40 * (0.2 - found.strengths).clip(-0.3))), atol=1e-5)
    assert found.reached.tolist() == (found.strengths >= found.strength).tolist()
    assert found.calls == len(found.strengths)


def test_a_first_change_is_found_where_the_answer_changes_back() -> None:
    """The answer need not be monotone in the strength: the first change is located, and the others are named."""

    def between(images: np.ndarray) -> np.ndarray:
        inside = np.abs(images.mean((1, 2, 3)) - 0.75) < 0.1
        return np.stack([1.0 - inside, 1.0 * inside], 1) * 4

    found = saliency.attacks.minimal_strength(between, GREY, "brightness", tolerance=1e-4)

    assert found.strength == pytest.approx(0.15, abs=1e-4)
    assert "first answer again" in str(found)


def test_no_change_is_a_result() -> None:
    """Where the answer never changes, there is a curve, and no strength."""
    found = saliency.attacks.minimal_strength(bright, GREY, "darkness")

    assert found.strength is None
    assert found.unchanged == 1
    assert str(found).startswith("darkness up to 1 of 0–1, subtracted does not change the answer '0'")


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_corruption_starts_at_the_picture(name: str) -> None:
    """At strength 0 a picture is unchanged; its shape and range are kept, and a larger strength changes it."""
    image = picture() / 255
    change, most, _ = CORRUPTIONS[name]

    np.testing.assert_allclose(change(image, 0.0), image, atol=1e-12)
    assert change(image, most).shape == image.shape
    assert np.abs(change(image, most / 2) - image).max() > 0.01
    found = saliency.attacks.minimal_strength(small_net(), picture(), name, points=5)
    assert (np.diff(found.strengths) > 0).all()
    assert found.strengths[0] == 0


def test_a_function_is_a_corruption() -> None:
    """A function of the picture in 0–1 and a strength; integers are rounded as the picture's type is."""
    seen = []

    def shift(image: np.ndarray, strength: float) -> np.ndarray:
        seen.append((image.min(), image.max()))
        return np.roll(image, round(strength), 1)

    found = saliency.attacks.minimal_strength(small_net(), picture(), shift, most=10, points=6)

    assert found.corruption == "shift"
    assert all(low >= 0 and high <= 1 for low, high in seen)


def test_the_curve_is_drawn() -> None:
    """The plot marks the strength at which the answer changes."""
    ax = saliency.attacks.minimal_strength(bright, GREY, "brightness").plot()
    legend = ax.get_legend()

    assert legend is not None
    assert any("changes at 0.2" in text.get_text() for text in legend.get_texts())


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"corruption": "blur"}, saliency.BadArgument, "blur has no effect"),
        ({"corruption": "fog"}, saliency.UnknownName, "jpeg"),
        ({"corruption": 3}, saliency.UnknownName, "jpeg"),
        ({"most": 0}, saliency.BadArgument, "no effect"),
        ({"points": 1}, saliency.BadField, "points"),
        ({"corruption": lambda image, _: image[:2]}, saliency.BadShape, "must return a picture"),
        ({"corruption": lambda image, _: image * np.nan}, saliency.BadField, "NaN"),
        ({"corruption": lambda image, _: 1 / 0}, saliency.BadArgument, "ZeroDivisionError"),
        ({"corruption": lambda image: image}, saliency.BadField, "picture, strength"),
        ({"target": 1}, saliency.BadTarget, "pass to=1"),
    ],
)
def test_bad_input_is_refused(given: dict[str, Any], error: type[Exception], words: str) -> None:
    """A corruption without effect, an unknown one, and functions that do not fit are named."""
    with pytest.raises(error, match=words):
        saliency.attacks.minimal_strength(**{"model": bright, "image": GREY, "corruption": "brightness", **given})
