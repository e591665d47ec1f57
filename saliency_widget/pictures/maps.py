"""Maps of an explanation, their percentiles, and the pixels that are kept or coloured. In step with js/src/core/."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

import saliency

NO_REGION = 65535
"""The rank of a pixel outside all regions."""

QUANTILES = np.arange(1001) / 10
"""Percentiles of a table."""


class Maps(NamedTuple):
    """Arrays of one result that the browser receives, each (h, w) or (1001,)."""

    values: np.ndarray
    """float32: sum of the mask over channels."""
    values_table: np.ndarray
    """Percentiles 0, 0.1, … 100 of `values`."""
    magnitude: np.ndarray | None
    """float32: sum of absolute values over channels; None if it equals `values`."""
    magnitude_table: np.ndarray | None
    step: np.ndarray | None
    """uint16: rank of the pixel's region."""

    @property
    def strength(self) -> np.ndarray:
        """The magnitude; `values` if that equals it."""
        return self.values if self.magnitude is None else self.magnitude

    @property
    def strength_table(self) -> np.ndarray:
        """Percentiles of the magnitude."""
        return self.values_table if self.magnitude_table is None else self.magnitude_table


WHITE, COLD = (255, 255, 255), (143, 208, 255)
Level = tuple[float, tuple[int, int, int]]
"""A value whose contour is drawn, and its colour."""

GRAIN = 75
"""Number of smoothing windows across a map when its contours are drawn."""


class Field(NamedTuple):
    """Values to colour, values to compare with a percentile and their table, and the ends of the colour scale."""

    values: np.ndarray
    strength: np.ndarray
    table: np.ndarray
    low: float
    high: float


def maps_of(explanation: saliency.Explanation) -> Maps:
    """Return the maps of an explanation, in the orientation of the model's input."""
    mask = explanation.mask
    values = mask.sum(2) if mask.ndim == 3 else mask
    magnitude = np.abs(mask).sum(2) if mask.ndim == 3 else np.abs(mask)
    return tabled(values, magnitude, None if explanation.regions is None else explanation.regions.ranks)


def tabled(values: np.ndarray, magnitude: np.ndarray, step: np.ndarray | None) -> Maps:
    """Return maps with their tables."""
    values, magnitude = (np.ascontiguousarray(each, "<f4") for each in (values, magnitude))
    step = None if step is None else np.ascontiguousarray(step, "<u2")
    if np.array_equal(values, magnitude):
        return Maps(values, table_of(values), None, None, step)
    return Maps(values, table_of(values), magnitude, table_of(magnitude), step)


def table_of(values: np.ndarray, method: Literal["linear", "higher"] = "linear") -> np.ndarray:
    """Return the percentiles 0, 0.1, … 100 as float32, interpolated by NumPy's `method`."""
    return np.percentile(values, QUANTILES, method=method).astype("<f4")


def field_of(maps: Maps, sign: str) -> Field:
    """Return what a heat map shows, for a sign other than "auto"."""
    if sign == "signed":
        reach = _top(maps.strength_table) or 1.0
        return Field(maps.values, maps.strength, maps.strength_table, -reach, reach)
    absolute = sign == "absolute"
    values = maps.strength if absolute else maps.values
    table = maps.strength_table if absolute else maps.values_table
    low, top = max(0.0, float(table[0])), _top(table)
    return Field(values, values, table, low, top if top > low else low + 1)


def cut(table: np.ndarray, percentile: float) -> float:
    """Return the value at a percentile of a table."""
    return float(table[int(np.clip(percentile, 0, 100) * 10 + 0.5)])


def region_count(regions: Sequence[saliency.Region], region: int, keep: float) -> int:
    """Return how many regions are kept: `region`, or the number whose area is nearest to the share `keep` (0–100)."""
    if region > 0:
        return min(region, len(regions))
    if keep <= 0 or not regions:
        return 0
    return int(np.argmin([abs(each.cumulative - keep / 100) for each in regions])) + 1


def kept(maps: Maps, sign: str, keep: float, count: int | None) -> np.ndarray:
    """Return the pixels that the area view keeps, bool (h, w).

    Args:
        maps: maps of the result.
        sign: the sign shown, not "auto".
        keep: share of the pixels, 0–100.
        count: number of regions, if the result has regions.
    """
    if maps.step is not None and count is not None:
        return maps.step < count
    # of signed values the largest are kept, not those of the largest magnitude
    field = field_of(maps, "positive" if sign == "signed" else sign)
    return field.strength >= np.float32(cut(field.table, 100 - keep))


def levels(low: float, high: float) -> list[Level]:
    """Return the values whose contours are drawn: quarters of the colour scale, on both sides of zero if signed."""
    if low < 0:
        return [(share * high, COLD if share < 0 else WHITE) for share in (-0.75, -0.5, -0.25, 0.25, 0.5, 0.75)]
    return [(low + share * (high - low), WHITE) for share in (0.25, 0.5, 0.75)]


def blurred(values: np.ndarray) -> np.ndarray:
    """Return a smoothed map, (h, w), without the noise that contours would outline."""
    from scipy.ndimage import uniform_filter

    size = 2 * int(max(values.shape) / GRAIN + 0.5) + 1
    sums = uniform_filter(values.astype(np.float64), size, mode="constant")
    # at the edges, means of the pixels inside the map
    return np.asarray(sums / uniform_filter(np.ones(values.shape), size, mode="constant"))


def _top(table: np.ndarray) -> float:
    """Return the 99th percentile; the maximum if the percentile is the low end, as in a map that is mostly zero."""
    top = float(table[990])
    return top if top > max(0.0, float(table[0])) else float(table[1000])
