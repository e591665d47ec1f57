"""Where the numbers of a layer lie over the image: feature maps in either layout, and tokens in a row.

A transformer's layer is a row of tokens: perhaps a few that stand for no place (class, distillation, registers), then
one a patch, row by row. Which of them is found out from the image's shape and from the grids that the model itself has
made on the way. No framework is needed for that.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import NamedTuple

MOST_EXTRA = 16
"""How many tokens may stand for no place."""

HALVINGS = 5
"""How often a hierarchical transformer may merge its patches after the last grid that was seen."""

LIKE = 0.2
"""By how much (the logarithm of) a map's proportions may differ from the image's."""


class Grid(NamedTuple):
    """How one layer's output (N, …) lies over the image."""

    layout: str
    """"first" (N, K, h, w), "last" (N, h, w, K) or "tokens" (N, T, K)."""
    height: int
    width: int
    before: int = 0
    """Tokens without a place, before the patches'."""
    after: int = 0
    """Tokens without a place, behind the patches'."""

    def said(self) -> str:
        """The grid in words, for a note."""
        if self.layout != "tokens":
            return f"{self.height}×{self.width}" + (", channels last" if self.layout == "last" else "")
        extra = [f"{n} {where}" for n, where in ((self.before, "before"), (self.after, "behind")) if n]
        return f"{self.height}×{self.width} patches" + (f", {' and '.join(extra)} left out" if extra else "")


def map_grid(
    shape: tuple[int, int, int], image: tuple[int, int], *, first: bool = False, last: bool = False
) -> Grid | None:
    """How a map (N, *shape) lies over an image.

    Args:
        shape: without the axis of images.
        image: its height and width.
        first: whether it is known to be (K, h, w).
        last: whether it is known to be (h, w, K).

    Returns:
        None where neither reading has a grid.
    """
    readings = {"first": shape[1:], "last": shape[:2]}
    if first or last:
        readings = {"first": shape[1:]} if first else {"last": shape[:2]}
    fit = {name: _misfit(sides, image) for name, sides in readings.items() if min(sides) > 1}
    if not fit:
        return None
    best = min(fit, key=lambda name: fit[name])
    if best == "last" and not last and fit[best] > LIKE:
        if "first" not in fit:
            return None
        best = "first"
    return Grid(best, *readings[best])


def token_grids(tokens: int, image: tuple[int, int], maps: Collection[tuple[int, int]] = ()) -> list[Grid]:
    """The grids that so many tokens may have, the likeliest first; those before the patches taken to be the extra ones.

    Args:
        tokens: how many there are.
        image: height and width.
        maps: grids (h, w) that the model made earlier on its way: that of its patches, say.
    """
    known = {(-(-h // 2**k), -(-w // 2**k)) for h, w in maps for k in range(HALVINGS)}
    known |= {(h // 2**k, w // 2**k) for h, w in maps for k in range(HALVINGS)}
    square = {(image[0] // patch, image[1] // patch) for patch in range(1, max(image) // 2 + 1)}
    found: list[Grid] = []
    for sizes in (known, square - known):
        fitting = [(tokens - h * w, h, w) for h, w in sizes if min(h, w) > 1 and 0 <= tokens - h * w <= MOST_EXTRA]
        found += [Grid("tokens", h, w, extra) for extra, h, w in sorted(fitting)]
    return found


def _misfit(sides: tuple[int, ...], image: tuple[int, int]) -> float:
    """How far the proportions of a map are from the image's."""
    return abs(math.log(sides[0] / sides[1] * image[1] / image[0]))
