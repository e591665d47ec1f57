"""Maps of many pictures on one coarse grid, and features of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from saliency import checks
from saliency.core.cam import stretch
from saliency.errors import BadField, BadShape, brief
from saliency.results.explanation import Explanation

FEATURES = "shape", "place"

GRID = 16
"""Height and width of the grid."""


def pooled(mask: np.ndarray, sign: str = "absolute", grid: int = GRID) -> np.ndarray:
    """Return the share of a map in each cell of a grid, (grid, grid) float32; zero for an empty map.

    Args:
        mask: (H, W) or (H, W, C).
        sign: "absolute" takes absolute values, "positive" and "signed" positive ones, of the sum over channels.
        grid: number of rows and columns.
    """
    values = np.abs(mask) if sign == "absolute" else mask
    plane = values.sum(2) if values.ndim == 3 else values
    down, across = (stretch(side, grid) for side in plane.shape)
    coarse = np.maximum(down @ np.maximum(plane, 0) @ across.T, 0)
    total = float(coarse.sum())
    return np.asarray(coarse / total if total > 0 else coarse, np.float32)


def spectrum(maps: np.ndarray) -> np.ndarray:
    """Return the amplitudes of the Fourier transform of maps (N, g, g): their shape, wherever it is; (N, D)."""
    padded = np.pad(maps, [(0, 0), (0, maps.shape[1]), (0, maps.shape[2])])
    amplitudes = np.abs(np.fft.rfft2(padded))
    half = maps.shape[1]
    return np.asarray(amplitudes[:, :half, :half].reshape(len(maps), -1)[:, 1:], np.float32)


def unit(features: np.ndarray) -> np.ndarray:
    """Return features (N, D) with each row of length 1, float32; a row of zeros stays so."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.where(lengths > 0, lengths, 1), np.float32)


def described(maps: np.ndarray, features: str) -> np.ndarray:
    """Return features (N, D) of maps (N, g, g): "shape", wherever it is, or "place"; each row of length 1."""
    checks.choice(features, "features", FEATURES)
    return unit(spectrum(maps) if features == "shape" else maps.reshape(len(maps), -1))


def given_maps(masks: Iterable[Any]) -> np.ndarray:
    """Return the maps (N, g, g) of explanations or arrays (H, W) or (H, W, C)."""
    found = []
    for each in masks:
        mask = each.mask if isinstance(each, Explanation) else checks.array(each, "A mask")
        if mask.ndim not in (2, 3) or not mask.size:
            raise BadShape(f"Each mask must be (H, W) or (H, W, C), got {brief(mask)}.")
        found.append(pooled(mask, each.sign if isinstance(each, Explanation) else "absolute"))
    if not found:
        raise BadField("There are no masks.")
    return np.stack(found)


def place_of(maps: Sequence[np.ndarray] | np.ndarray) -> str:
    """Return where maps (N, g, g) have most of their mass: "a corner", "the border", "a small spot", or "".

    A corner is a quarter of each side, the border an eighth of each side; a spot has half of the mass in a twentieth of
    the picture. Each is named if it holds for the median map.
    """
    side = np.shape(maps)[1]
    quarter, eighth = side // 4, side // 8
    corners, borders, spots = [], [], []
    for each in maps:
        ends = slice(None, quarter), slice(-quarter, None)
        corners.append(max(float(each[rows, columns].sum()) for rows in ends for columns in ends))
        borders.append(1 - float(each[eighth:-eighth, eighth:-eighth].sum()))
        falling = np.sort(each, axis=None)[::-1].cumsum()
        spots.append(float((np.searchsorted(falling, 0.5 * falling[-1]) + 1) / each.size))
    if np.median(corners) >= 0.5:
        return "a corner"
    if np.median(borders) >= 0.75:
        return "the border"
    return "a small spot" if np.median(spots) <= 0.05 else ""
