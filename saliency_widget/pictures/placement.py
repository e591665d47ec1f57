"""Where the model's view lies in the picture that is shown, and which way round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Size = tuple[int, int]


@dataclass(frozen=True)
class Place:
    """Where maps go."""

    rectangle: tuple[float, float, float, float]
    """x, y, width, height in pixels of the shown picture; may stick out."""
    turn: Callable[[np.ndarray, float], np.ndarray] | None
    """Brings a map upright, given what to put where the model saw nothing; None where maps are upright already."""

    def upright(self, shape: Size) -> np.ndarray | None:
        """For each pixel of an upright map which one of a map (h, w) it is, −1 for none; None where that is itself."""
        if self.turn is None:
            return None
        return self.turn(np.arange(shape[0] * shape[1]).reshape(shape), -1)


def find_place(placement: np.ndarray, fed: Size, picture: Size, shown: Size) -> Place:
    """Find where the model's view lies.

    Args:
        placement: (2, 3), from pixel centres of what the model is fed to those of the picture.
        fed: height and width of what the model is fed.
        picture: of the whole picture.
        shown: of the picture as it is shown, which may be smaller.
    """
    straight, crossed = placement, placement[:, [1, 0, 2]]
    if _is_straight(straight, fed):
        flips = _flips(straight)
        return Place(_rectangle(straight, fed, picture, shown), _Flipped(flips, False) if any(flips) else None)
    if _is_straight(crossed, fed[::-1]):
        return Place(_rectangle(crossed, fed[::-1], picture, shown), _Flipped(_flips(crossed), True))
    return Place((0.0, 0.0, float(shown[1]), float(shown[0])), _Gathered(placement, fed, picture, shown))


def _is_straight(placement: np.ndarray, fed: Size) -> bool:
    """Whether rows stay rows, to half a pixel over the whole width."""
    return bool(abs(placement[0, 1]) * fed[1] < 0.5 and abs(placement[1, 0]) * fed[0] < 0.5)


def _flips(placement: np.ndarray) -> tuple[bool, bool]:
    return bool(placement[0, 0] < 0), bool(placement[1, 1] < 0)


def _rectangle(placement: np.ndarray, fed: Size, picture: Size, shown: Size) -> tuple[float, float, float, float]:
    spans = []
    for axis in (0, 1):
        scale = shown[axis] / picture[axis]
        # a pixel's centre is half a pixel from its edges, in either grid
        ends = [(placement[axis, axis] * at + placement[axis, 2] + 0.5) * scale for at in (-0.5, fed[axis] - 0.5)]
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
    """Any other turn: each shown pixel takes the nearest value, so that ranks stay ranks."""

    def __init__(self, placement: np.ndarray, fed: Size, picture: Size, shown: Size) -> None:
        rows, columns = (
            (np.arange(small) + 0.5) * (large / small) - 0.5 for small, large in zip(shown, picture, strict=True)
        )
        grid = np.stack(np.meshgrid(rows, columns, indexing="ij"))
        back = np.linalg.inv(placement[:, :2])
        at = np.rint(np.tensordot(back, grid - placement[:, 2, None, None], 1)).astype(int)
        limits = np.array(fed)[:, None, None]
        self._inside = ((at >= 0) & (at < limits)).all(0)
        self._at = np.clip(at, 0, limits - 1)

    def __call__(self, values: np.ndarray, outside: float) -> np.ndarray:
        return np.where(self._inside, values[self._at[0], self._at[1]], values.dtype.type(outside))
