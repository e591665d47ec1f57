"""A concept from a region of a picture: crops around it."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency import checks
from saliency.errors import BadField, BadShape
from saliency.pictures.picture import read


def crops(picture: Any, mask: Any, count: int = 30, seed: int = 0) -> list[np.ndarray]:
    """Return square crops around a region of a picture, which differ in place and scale: images of a concept.

    All crops are of one picture, so that the concept may include its light and background: prefer the same region of
    several pictures, ``[*crops(a, of_a), *crops(b, of_b)]``.

    Args:
        picture: see :func:`saliency.explain`.
        mask: the region, bool (H, W), such as ``exp.top(10)`` or a selection.
        count: number of crops.
        seed: seed of the places and scales.

    Returns:
        `count` arrays of one size in the type of the picture, (side, side, 3).

    Raises:
        BadShape: the mask has another size than the picture.
        BadField: the mask is empty.
    """
    count, seed = checks.whole(count, "count", 1), checks.whole(seed, "seed", 0)
    pixels = read(picture).values
    there = checks.selection(mask, "mask")
    if there.shape != pixels.shape[:2]:
        raise BadShape(f"mask must have the picture's size {pixels.shape[:2]}, got {there.shape}.")
    if not there.any():
        raise BadField("mask selects no pixels: pass a region.")
    from scipy import ndimage

    rows, columns = np.nonzero(there)
    side = max(2.0, float(np.ptp(rows)) + 1, float(np.ptp(columns)) + 1)
    centre = np.array([rows.min() + rows.max(), columns.min() + columns.max()]) / 2
    size = max(16, round(side))
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        wide = side * random.uniform(0.8, 1.25)
        middle = centre + random.uniform(-0.15, 0.15, 2) * side
        step = wide / size
        start = middle - (size - 1) / 2 * step
        planes = [
            ndimage.affine_transform(plane, [step, step], start, (size, size), order=1, mode="nearest")
            for plane in np.moveaxis(pixels.astype(np.float32), -1, 0)
        ]
        cut = np.stack(planes, -1)
        found.append(np.rint(cut).astype(pixels.dtype) if pixels.dtype.kind in "iu" else cut)
    return found
