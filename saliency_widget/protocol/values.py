"""Types and valid values of the traits that a user can change."""

from __future__ import annotations

import math
from typing import Any

import traitlets

import saliency
from saliency_widget.pictures.selection import checked, checked_brushed
from saliency_widget.protocol.summary import summary

COLORMAPS = ("inferno", "viridis", "magma", "cividis", "gray")
MODES = ("heat", "area")
SIGNS = ("auto", "absolute", "positive", "signed")
FILLS = ("blur", "mean", "grey", "noise", "black", "white")
KINDS = ("remove", "keep")
"""Kinds of a smallest change, see :func:`saliency.counterfactual`."""

CHANNEL_METHODS = ("input_x_gradient", "integrated_gradients", "deep_lift", "lrp")
"""Ids of the methods that rank the channels of a layer: those that take about a second."""

ENCODINGS = ("gif", "frames")
"""What a film is sent as: a GIF file, or one JPEG file for each frame."""

SCALES = ("own", "shared")
AXES = ("methods", "targets", "models", "images")
"""The axes of a grid."""

MOST_CELLS = 36
"""Maximum number of cells of a grid; the pictures of a larger one would be too small."""


class BadTrait(saliency.BadField, traitlets.TraitError):
    """A trait was set to an invalid value; it keeps its value."""


def _whole(name: str | None, value: Any, low: int) -> int:
    number = math.nan if isinstance(value, bool | str) else _float(value)
    if not (low <= number < 2**31 and number == math.floor(number)):
        raise BadTrait(f"{name} must be a whole number of at least {low}, got {summary(value)}.")
    return int(number)


class Number(traitlets.TraitType[float, float]):
    """Trait for a finite number from `low` to `high`."""

    def __init__(self, default: float, low: float, high: float) -> None:
        self.low, self.high = low, high
        super().__init__(default)
        self.tag(sync=True)

    def validate(self, obj: Any, value: Any) -> float:
        number = math.nan if isinstance(value, bool | str) else _float(value)
        if not self.low <= number <= self.high:
            raise BadTrait(f"{self.name} must be a number from {self.low} to {self.high}, got {summary(value)}.")
        return number


class Whole(traitlets.TraitType[int, int]):
    """Trait for a whole number of at least `low`."""

    def __init__(self, default: int, low: int) -> None:
        self.low = low
        super().__init__(default)
        self.tag(sync=True)

    def validate(self, obj: Any, value: Any) -> int:
        return _whole(self.name, value, self.low)


class Class(traitlets.TraitType[int, int | str]):
    """Trait for the index of a class, or -1 for none in particular; a label is replaced by its index."""

    def __init__(self, default: int) -> None:
        super().__init__(default)
        self.tag(sync=True)

    def validate(self, obj: Any, value: Any) -> int:
        return _whole(self.name, obj._class_index(self.name, value) if isinstance(value, str) else value, -1)


class Text(traitlets.TraitType[str, str]):
    """Trait for text."""

    def __init__(self) -> None:
        super().__init__("")
        self.tag(sync=True)

    def validate(self, obj: Any, value: Any) -> str:
        if not isinstance(value, str):
            raise BadTrait(f"{self.name} must be text, got {summary(value)}.")
        return value


class OneOf(traitlets.TraitType[str, str]):
    """Trait for one of several names."""

    def __init__(self, *names: str) -> None:
        self.names = names
        super().__init__(names[0])
        self.tag(sync=True)

    def validate(self, obj: Any, value: Any) -> str:
        if not isinstance(value, str) or value not in self.names:
            raise BadTrait(f"{self.name} must be one of {', '.join(self.names)}, got {summary(value)}.")
        return value


class Grid(traitlets.TraitType[dict[str, Any], dict[str, Any]]):
    """Trait for a grid: lists by the names of :data:`AXES`; empty for one picture."""

    def __init__(self) -> None:
        super().__init__({})
        self.tag(sync=True)

    def validate(self, obj: Any, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or not set(value) <= set(AXES):
            raise BadTrait(f"{self.name} must be a dict with lists for {', '.join(AXES)}, got {summary(value)}.")
        axes = {}
        for name, wanted in value.items():
            kind = str if name == "methods" else int
            if not isinstance(wanted, list | tuple) or not all(
                isinstance(each, kind) and not isinstance(each, bool) for each in wanted
            ):
                kinds = "ids" if kind is str else "indices"
                raise BadTrait(f"{self.name}[{name!r}] must be a list of {kinds}, got {summary(wanted)}.")
            axes[name] = list(dict.fromkeys(wanted))
        if (cells := math.prod(max(len(each), 1) for each in axes.values())) > MOST_CELLS:
            raise BadTrait(f"{self.name} would have {cells} cells; at most {MOST_CELLS} can be shown.")
        return axes


class Flag(traitlets.TraitType[bool, bool]):
    """Trait for True or False."""

    def __init__(self, default: bool) -> None:
        super().__init__(default)
        self.tag(sync=True)

    def validate(self, obj: Any, value: Any) -> bool:
        if not isinstance(value, bool):
            raise BadTrait(f"{self.name} must be True or False, got {summary(value)}.")
        return value


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


class BrushedTrait(traitlets.TraitType[Any, Any]):
    """Trait for the brushed regions that are concepts, see :data:`saliency_widget.pictures.selection.Brushed`."""

    def __init__(self) -> None:
        super().__init__([])
        self.tag(sync=True)

    def validate(self, obj: Any, value: Any) -> list[dict[str, Any]]:
        try:
            return checked_brushed(value)
        except ValueError as reason:
            raise BadTrait(f"{self.name}: {reason}.") from None


class PickedTrait(traitlets.TraitType[Any, Any]):
    """Trait for a selection by hand, see :data:`saliency_widget.pictures.selection.Picked`."""

    def __init__(self) -> None:
        super().__init__({})
        self.tag(sync=True)

    def validate(self, obj: Any, value: Any) -> dict[str, Any]:
        try:
            return checked(value)
        except ValueError as reason:
            raise BadTrait(f"{self.name}: {reason}.") from None
