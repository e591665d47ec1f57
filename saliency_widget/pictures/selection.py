"""Selections by hand: regions one by one, or a mask as run lengths."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

Picked = Mapping[str, Any]
"""`{}` if `keep` or `region` selects; `{"regions": [rank…]}`; or `{"shape": [h, w], "runs": [n…]}`."""

Brushed = Mapping[str, Any]
"""A region of a picture that is a concept: `{"name", "image" (index), "shape": [h, w], "runs": [n…]}`."""

MOST_BRUSHED = 24
"""Maximum number of brushed regions."""

NAME_LENGTH = 60
"""Maximum number of characters of a concept's name."""

MOST_PIXELS = 1 << 26
MOST_RUNS = 1 << 18


def checked(value: Any) -> dict[str, Any]:
    """Return the value as a :data:`Picked`.

    Raises:
        ValueError: it is not valid.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"expected an object, got {type(value).__name__}")
    names = set(value)
    if not names:
        return {}
    if names == {"regions"}:
        ranks = _wholes(value["regions"], "regions", math.inf)
        return {"regions": sorted(set(ranks))}
    if names != {"shape", "runs"}:
        raise ValueError("expected regions, or shape and runs")
    shape, runs = _wholes(value["shape"], "shape", MOST_PIXELS), _wholes(value["runs"], "runs", MOST_PIXELS)
    if len(shape) != 2 or 0 in shape or math.prod(shape) > MOST_PIXELS:
        raise ValueError("expected shape to be [h, w]")
    if len(runs) > MOST_RUNS or sum(runs) != math.prod(shape):
        raise ValueError("expected runs to cover the shape")
    return {"shape": shape, "runs": runs}


def checked_brushed(value: Any) -> list[dict[str, Any]]:
    """Return the value as a list of :data:`Brushed`.

    Raises:
        ValueError: it is not valid.
    """
    if not isinstance(value, list | tuple) or len(value) > MOST_BRUSHED:
        raise ValueError(f"expected a list of at most {MOST_BRUSHED} regions")
    found = []
    for each in value:
        if not isinstance(each, Mapping) or set(each) != {"name", "image", "shape", "runs"}:
            raise ValueError("expected regions with name, image, shape and runs")
        name, (image,) = each["name"], _wholes([each["image"]], "image", math.inf)
        if not isinstance(name, str) or not 1 <= len(name) <= NAME_LENGTH:
            raise ValueError(f"expected name to be text of 1 to {NAME_LENGTH} characters")
        found.append({"name": name, "image": image, **checked({"shape": each["shape"], "runs": each["runs"]})})
    return found


def of_mask(mask: np.ndarray) -> dict[str, Any]:
    """Return a bool mask (h, w) as run lengths, row by row; the first run is of pixels that are not selected."""
    flat = mask.ravel()
    ends = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]])
    runs = np.diff(ends).tolist()
    return {"shape": list(mask.shape), "runs": [0, *runs] if flat[0] else runs}


def mask_of(picked: Picked, ranks: np.ndarray | None, shape: Sequence[int]) -> np.ndarray | None:
    """Return the selected mask, bool (h, w); None if nothing is selected by hand that fits this result.

    Args:
        picked: regions, or a mask in the orientation of the shown picture.
        ranks: uint16 (h, w), rank of each pixel's region, if the result has regions.
        shape: shape of the result's maps.
    """
    if "regions" in picked:
        return None if ranks is None else np.isin(ranks, picked["regions"])
    if picked and list(picked["shape"]) == list(shape):
        flat = np.zeros(math.prod(shape), bool)
        ends = np.cumsum([0, *picked["runs"]])
        for i, (start, stop) in enumerate(pairwise(ends)):
            flat[start:stop] = i % 2
        return flat.reshape(tuple(shape))
    return None


def _wholes(value: Any, name: str, most: float) -> list[int]:
    if not isinstance(value, list | tuple) or not all(type(each) is int and 0 <= each <= most for each in value):
        raise ValueError(f"expected {name} to be a list of whole numbers")
    return list(value)
