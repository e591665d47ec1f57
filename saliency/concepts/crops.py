"""A concept from a region of a picture: crops around it, and crops of the rest to compare it with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from saliency import checks
from saliency.errors import BadField, BadImage, BadShape
from saliency.pictures.arrays import Values, from_array
from saliency.pictures.picture import Decoded, decoded
from saliency.pictures.preprocessing import in_type

SMALLEST = 16
"""Smallest side of a crop in pixels."""

SCALES = 0.8, 1.25
"""Sides of crops, as multiples of the region's."""

OVERLAP = 0.2
"""Largest share of a crop of the rest that a region's bounding box may cover."""

TRIES = 100
"""Maximum number of random places for each crop."""


class Box(NamedTuple):
    """A square around a region, or in a picture."""

    centre: np.ndarray
    """Row and column."""
    side: float

    def share_in(self, other: Box) -> float:
        """Return the share of this square that another covers."""
        ends = [np.stack([each.centre - each.side / 2, each.centre + each.side / 2]) for each in (self, other)]
        common = np.minimum(*[each[1] for each in ends]) - np.maximum(*[each[0] for each in ends])
        return float(np.prod(np.maximum(common, 0)) / self.side**2)


def crops(picture: Any, mask: Any, count: int = 30, seed: int = 0, size: int | None = None) -> list[Any]:
    """Return square crops around a region of a picture, which differ in place and scale: images of a concept.

    All crops are of one picture, so that the concept may include its light and background: prefer the same region of
    several pictures, ``[*crops(a, of_a), *crops(b, of_b)]``.

    Args:
        picture: see :func:`saliency.explain`.
        mask: the region, bool (H, W), such as ``exp.top(10)`` or a selection.
        count: number of crops.
        seed: seed of the places and scales.
        size: side of the crops in pixels; by default that of the region, and at least 16.

    Returns:
        `count` crops of one size, of the type of the picture: arrays (size, size, 3), tensors, or PIL images for files.

    Raises:
        BadShape: the mask has another size than the picture.
        BadField: the mask is empty.
    """
    count, seed = checks.whole(count, "count", 1), checks.whole(seed, "seed", 0)
    values = _read(picture)
    region = _region(mask, values.array.shape[:2])
    wide = max(SMALLEST, round(region.side)) if size is None else checks.whole(size, "size", 1)
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        side = region.side * random.uniform(*SCALES)
        centre = region.centre + random.uniform(-0.15, 0.15, 2) * region.side
        found.append(_cut(values, Box(centre, side), wide))
    return found


def crops_outside(picture: Any, masks: Any, count: int = 200, seed: int = 0, size: int | None = None) -> list[Any]:
    """Return square crops of the rest of a picture, as large as those of its regions: what regions are compared with.

    They serve as random images for :class:`TCAV` where there are no others. They overlap, and share the light of the
    picture; images of other pictures are better.

    Args:
        picture: see :func:`saliency.explain`.
        masks: a region, bool (H, W), or a list of regions.
        count: number of crops.
        seed: seed of the places and scales.
        size: side of the crops in pixels; by default that of the largest region, and at least 16.

    Returns:
        `count` crops of one size, as of :func:`crops`.

    Raises:
        BadShape: a mask has another size than the picture.
        BadField: a mask is empty.
        BadImage: the rest of the picture has no room for crops of that size.
    """
    count, seed = checks.whole(count, "count", 1), checks.whole(seed, "seed", 0)
    values = _read(picture)
    sides = values.array.shape[:2]
    regions = [_region(each, sides) for each in (masks if isinstance(masks, list | tuple) else [masks])]
    wide = max(SMALLEST, *(round(each.side) for each in regions)) if size is None else checks.whole(size, "size", 1)
    places = _places(regions, sides, np.random.default_rng(seed))
    found = [_cut(values, box, wide) for box, _ in zip(places, range(count), strict=False)]
    if len(found) < count:
        raise BadImage(
            "The rest of the picture has no room for crops as large as the regions: choose smaller regions, or pass "
            "random images of other pictures."
        )
    return found


def _places(regions: list[Box], sides: tuple[int, ...], random: np.random.Generator) -> Iterator[Box]:
    """Yield squares of the regions' sizes in the rest of the picture; they end where none is found."""
    while True:
        for _ in range(TRIES):
            side = min(regions[random.integers(len(regions))].side * random.uniform(*SCALES), *sides)
            box = Box(side / 2 - 0.5 + random.uniform(0, 1, 2) * (np.array(sides) - side), side)
            if all(box.share_in(each) <= OVERLAP for each in regions):
                yield box
                break
        else:
            return


def _read(picture: Any) -> Values:
    found = decoded(picture)
    return found.values if isinstance(found, Decoded) else from_array(found, [])


def _region(mask: Any, sides: tuple[int, ...]) -> Box:
    """Return the square around a mask."""
    there = checks.selection(mask, "mask")
    if there.shape != sides:
        raise BadShape(f"mask must have the picture's size {sides}, got {there.shape}.")
    if not there.any():
        raise BadField("mask selects no pixels: pass a region.")
    rows, columns = np.nonzero(there)
    side = max(2.0, float(np.ptp(rows)) + 1, float(np.ptp(columns)) + 1)
    return Box(np.array([rows.min() + rows.max(), columns.min() + columns.max()]) / 2, side)


def _cut(values: Values, box: Box, size: int) -> Any:
    """Return a square of a picture, resized, in the type of the picture."""
    from scipy import ndimage

    step = box.side / size
    start = box.centre - (size - 1) / 2 * step
    planes = [
        ndimage.affine_transform(plane, [step, step], start, (size, size), order=1, mode="nearest")
        for plane in np.moveaxis(values.array.astype(np.float32), -1, 0)
    ]
    return values.rebuild(in_type(np.stack(planes, -1), values))
