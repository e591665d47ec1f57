"""Bring the mask, or the box, of an object from the picture to the model's input."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency import checks
from saliency.errors import BadShape
from saliency.pictures.picture import Picture


def truth_of(given: Any, picture: Picture) -> np.ndarray:
    """Return the pixels of an object at the resolution of the model's input, bool (H, W).

    Args:
        given: a mask (h, w) of True and False, of the picture's size or of that of the model's input; or a box (top,
            left, bottom, right) in pixels of the picture, half-open.
        picture: the picture, with the model's input.

    Raises:
        BadShape: the mask or the box does not fit the picture.
        BadField: the mask has other values than True and False, 0 and 1.
    """
    size, fed = picture.values.shape[:2], picture.fed.shape[1:3]
    if np.ndim(given) == 1 and len(given) == 4:
        return _placed(_filled(given, size), picture)
    mask = checks.selection(given, "masks")
    if mask.shape == size:
        return _placed(mask, picture)
    if mask.shape == fed:
        return mask
    raise BadShape(
        f"The mask of the object must have the picture's size {size} or that of the model's input {fed}, "
        f"got {mask.shape}."
    )


def _filled(box: Any, size: tuple[int, ...]) -> np.ndarray:
    """Return the pixels inside a box, bool (h, w)."""
    top, left, bottom, right = (checks.whole(each, "a box (top, left, bottom, right)") for each in box)
    if not (0 <= top < bottom <= size[0] and 0 <= left < right <= size[1]):
        raise BadShape(
            f"The box (top, left, bottom, right) = {(top, left, bottom, right)} does not fit the picture {size}: "
            "0 <= top < bottom <= height and 0 <= left < right <= width."
        )
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def _placed(mask: np.ndarray, picture: Picture) -> np.ndarray:
    """Return a mask of the picture at the resolution of the model's input; False beyond the picture's border."""
    turn, start = picture.placement[:, :2], picture.placement[:, 2:]
    fed = picture.fed.shape[1:3]
    # the picture's pixel nearest to the centre of each pixel of the input
    rows, columns = np.rint(turn @ np.indices(fed).reshape(2, -1) + start).astype(int)
    inside = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
    found = np.zeros(inside.shape, bool)
    found[inside] = mask[rows[inside], columns[inside]]
    return found.reshape(fed)
