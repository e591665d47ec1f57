"""Placement of the model's view in the shown picture: crop, scale and orientation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

import saliency

Size = tuple[int, int]


@dataclass(frozen=True)
class Placement:
    """Placement of a map in the shown picture."""

    rectangle: tuple[float, float, float, float]
    """x, y, width, height in pixels of the shown picture; may extend beyond it."""
    turn: Callable[[np.ndarray, float], np.ndarray] | None
    """Turns a map upright, given the value of pixels outside the model's view; None if maps are upright."""

    def upright(self, shape: Size) -> np.ndarray | None:
        """Return for each pixel of an upright map its flat index in a map (h, w), or −1; None if maps are upright."""
        if self.turn is None:
            return None
        return self.turn(np.arange(shape[0] * shape[1]).reshape(shape), -1)


class Placing:
    """The placement of a model's view in a shown picture, found when it is first needed.

    Finding it may call the preprocessing of a large picture.

    Args:
        picture: the picture as it was read for the model.
        shown: height and width of the picture as it is shown, which may be smaller.
    """

    def __init__(self, picture: saliency.Picture, shown: Size) -> None:
        self._picture, self.shown = picture, shown

    @cached_property
    def placement(self) -> Placement:
        """The placement."""
        picture = self._picture
        return find_placement(picture.placement, picture.fed.shape[1:3], picture.values.shape[:2], self.shown)


def find_placement(matrix: np.ndarray, fed: Size, picture: Size, shown: Size) -> Placement:
    """Return the placement of the model's view.

    Args:
        matrix: (2, 3), from the pixel centres of the model's input to those of the picture.
        fed: height and width of the model's input.
        picture: height and width of the whole picture.
        shown: height and width of the picture as it is shown, which may be smaller.
    """
    straight, crossed = matrix, matrix[:, [1, 0, 2]]
    if _is_straight(straight, fed):
        flips = _flips(straight)
        return Placement(_rectangle(straight, fed, picture, shown), _Flipped(flips, False) if any(flips) else None)
    if _is_straight(crossed, fed[::-1]):
        return Placement(_rectangle(crossed, fed[::-1], picture, shown), _Flipped(_flips(crossed), True))
    return Placement((0.0, 0.0, float(shown[1]), float(shown[0])), _Gathered(matrix, fed, picture, shown))


def _is_straight(matrix: np.ndarray, fed: Size) -> bool:
    """Return whether rows stay rows, to half a pixel over the whole width."""
    return bool(abs(matrix[0, 1]) * fed[1] < 0.5 and abs(matrix[1, 0]) * fed[0] < 0.5)


def _flips(matrix: np.ndarray) -> tuple[bool, bool]:
    return bool(matrix[0, 0] < 0), bool(matrix[1, 1] < 0)


def _rectangle(matrix: np.ndarray, fed: Size, picture: Size, shown: Size) -> tuple[float, float, float, float]:
    spans = []
    for axis in (0, 1):
        scale = shown[axis] / picture[axis]
        # a pixel's centre is half a pixel from its edges, in either grid
        ends = [(matrix[axis, axis] * at + matrix[axis, 2] + 0.5) * scale for at in (-0.5, fed[axis] - 0.5)]
        spans.append((min(ends), abs(ends[1] - ends[0])))
    (y, height), (x, width) = spans
    return float(x), float(y), float(width), float(height)


@dataclass(frozen=True)
class _Flipped:
    flips: tuple[bool, bool]
    transposed: bool

    def __call__(self, values: np.ndarray, outside: float) -> np.ndarray:
        upright = values.T if self.transposed else values
        down, across = (slice(None, None, -1 if flip else 1) for flip in self.flips)
        return np.ascontiguousarray(upright[down, across])


class _Gathered:
    """Any other rotation: each shown pixel takes the nearest value, so that ranks stay whole numbers."""

    def __init__(self, matrix: np.ndarray, fed: Size, picture: Size, shown: Size) -> None:
        rows, columns = (
            (np.arange(small) + 0.5) * (large / small) - 0.5 for small, large in zip(shown, picture, strict=True)
        )
        grid = np.stack(np.meshgrid(rows, columns, indexing="ij"))
        back = np.linalg.inv(matrix[:, :2])
        at = np.rint(np.tensordot(back, grid - matrix[:, 2, None, None], 1)).astype(int)
        limits = np.array(fed)[:, None, None]
        self._inside = ((at >= 0) & (at < limits)).all(0)
        self._at = np.clip(at, 0, limits - 1)

    def __call__(self, values: np.ndarray, outside: float) -> np.ndarray:
        return np.where(self._inside, values[self._at[0], self._at[1]], values.dtype.type(outside))
