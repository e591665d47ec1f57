from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import saliency
from saliency.core.method import Method, parameter


@dataclass(eq=False, repr=False)
class Made(Method):
    """A method with one field of each sort."""

    steps: int = parameter(5, "whole number", low=1, high=9)
    spread: float = parameter(0.5, "number", low=0)
    kind: str = parameter("a", "choice", choices=("a", "b"))
    free: Any = parameter(None, "anything")


def test_repr_shows_what_was_changed() -> None:
    """A method reads as it would be written, defaults left out, arrays by their shape."""
    assert repr(Made()) == "Made()"
    assert repr(Made(steps=7, kind="b", free=np.zeros((2, 3)))) == "Made(steps=7, kind='b', free=array(2, 3))"
    smooth = saliency.SmoothGrad(saliency.IntegratedGradients(steps=3))
    assert repr(smooth) == "SmoothGrad(method=IntegratedGradients(steps=3))"


def test_keys_are_equal_exactly_when_the_fields_are() -> None:
    """The digest sees every field, also arrays, lists and methods inside."""
    different = [
        Made(),
        Made(steps=6),
        Made(free=np.zeros(3)),
        Made(free=np.zeros(3, np.float32)),
        Made(free=np.ones(3)),
        Made(free=["black", "white"]),
        Made(free=["black"]),
        Made(free=saliency.GradCam()),
        Made(free=saliency.GradCam(layer="x")),
        saliency.GradCam(),
    ]

    assert len({each.key() for each in different}) == len(different)
    assert Made(free=np.ones(3)).key() == Made(free=np.ones(3)).key()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "Made.steps must be 1 to 9, got 0"),
        ({"steps": 10}, "Made.steps must be 1 to 9, got 10"),
        ({"steps": 2.5}, "whole number, got 2.5"),
        ({"steps": "3"}, "must be a number, 1 to 9, got '3'"),
        ({"steps": True}, "must be a number, 1 to 9, got True"),
        ({"steps": float("nan")}, "Made.steps must be"),
        ({"spread": -1}, "at least 0, got -1"),
        ({"spread": float("nan")}, "at least 0, got nan"),
    ],
    ids=str,
)
def test_invalid_values_are_refused(wrong: dict[str, Any], message: str) -> None:
    """The error for a wrong value of a field gives the allowed values."""
    with pytest.raises(saliency.BadField, match=message):
        Made(**wrong)


def test_an_unknown_choice_or_field_is_refused() -> None:
    """The nearest names are offered."""
    with pytest.raises(saliency.UnknownName, match=r"Made\.kind.*'c'"):
        Made(kind="c")
    with pytest.raises(saliency.UnknownName, match="Did you mean 'steps'"):
        Made().but(step=3)


def test_but_leaves_the_original() -> None:
    """A changed copy is a copy."""
    method = Made()

    assert method.but(steps=7).steps == 7
    assert method.steps == 5


def test_attributes_may_be_patched() -> None:
    """PAIR's classes take attributes, and people set them."""
    method = saliency.IntegratedGradients()
    method.mine = 3  # type: ignore[attr-defined]

    assert method.mine == 3  # type: ignore[attr-defined]
