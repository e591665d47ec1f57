"""Where the numbers of a layer lie over the image: feature maps in either layout, and tokens in a row.

A transformer's layer is a row of tokens: perhaps a few that stand for no place (class, distillation, registers), then
one a patch, row by row. Which of them is found out from the image's shape and from the grids that the model itself has
made on the way. No framework is needed for that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from saliency.errors import Unsupported

MOST_EXTRA = 16
"""How many tokens may stand for no place."""

HALVINGS = 5
"""How often a hierarchical transformer may merge its patches after the last grid that was seen."""

LIKE = 0.2
"""By how much (the logarithm of) a map's proportions may differ from the image's."""


NO_MAPS = "No attention maps were found in the model: it has no softmax over products of its tokens, or computes it in "
"""Begins the message for a model that was expected to have attention maps."""

WINDOWS = (
    "The model attends within windows, or the number of tokens changes between its layers, as in Swin: no attention "
    "map covers the whole image. Use Grad-CAM or a related method, which read its layers."
)

NO_BLOCKS = "The model's blocks cannot be identified: they do not end in a sum of tokens, (N, T, K)."
"""Why the head cannot be evaluated after each block."""


class Grid(NamedTuple):
    """How one layer's output (N, …) lies over the image."""

    layout: str
    """"first" (N, K, h, w), "last" (N, h, w, K), "tokens" (N, T, K), or "tokens_first" (T, N, K)."""
    height: int
    width: int
    before: int = 0
    """Tokens without a place, before the patches'."""
    after: int = 0
    """Tokens without a place, behind the patches'."""

    @property
    def of_tokens(self) -> bool:
        """Whether it is made of a row of tokens."""
        return self.layout.startswith("tokens")

    @property
    def tokens(self) -> int:
        """How many tokens lie so, those without a place too."""
        return self.before + self.height * self.width + self.after

    def said(self) -> str:
        """The grid in words, for a note."""
        if not self.of_tokens:
            return f"{self.height}×{self.width}" + (", channels last" if self.layout == "last" else "")
        extra = [f"{n} {where}" for n, where in ((self.before, "leading"), (self.after, "trailing")) if n]
        noun = "token" if self.before + self.after == 1 else "tokens"
        return f"{self.height}×{self.width} patches" + (f", {' and '.join(extra)} {noun} skipped" if extra else "")


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


def over_image(shape: Sequence[int | None], image: tuple[int, int]) -> bool:
    """Whether (N, h, w, K) may be a grid over an image: smaller than it, of its proportions.

    Attention maps (N, heads, T, T) have four axes too.
    """
    if len(shape) != 4 or shape[1] is None or shape[2] is None:
        return False
    (height, width), (h, w) = image, (int(shape[1]), int(shape[2]))
    if h < 2 or w < 2 or h > height or w > width:
        return False
    expected = width * h / height
    return abs(w - expected) <= max(2.0, 0.25 * expected)


def tokens_of(maps: Sequence[Any], count: int) -> int:
    """How many tokens attend to each other in maps (N, heads, T, T) of `count` images.

    Raises:
        Unsupported: there are no maps, or they are of windows.
    """
    if not maps:
        raise Unsupported(f"{NO_MAPS}an operator of its own.")
    sizes = {int(each.shape[-1]) for each in maps}
    if len(sizes) > 1 or any(int(each.shape[0]) != count for each in maps):
        raise Unsupported(WINDOWS)
    return sizes.pop()


def tokens_on_grid(tokens: int, image: tuple[int, int], maps: Collection[tuple[int, int]]) -> Grid:
    """How so many tokens lie over an image; see :func:`token_grids`.

    Raises:
        Unsupported: they are no patches of it.
    """
    for grid in token_grids(tokens, image, maps):
        return grid
    raise Unsupported(f"The model attends between {tokens} tokens, which do not form a grid of patches of the image.")


def token_grid(
    shape: Sequence[int | None], image: tuple[int, int], maps: Collection[tuple[int, int]], attended: Collection[int]
) -> Grid | None:
    """How a layer's (N, T, K) lies over an image, as patches that attend to each other; None if it does not.

    Args:
        shape: of the layer.
        image: height and width.
        maps: grids that the model made on its way.
        attended: how many tokens attend to each other, wherever some do.
    """
    tokens = shape[1] if len(shape) == 3 else None
    if tokens is None or tokens not in attended:
        return None
    return next(iter(token_grids(tokens, image, maps)), None)


def patches(array: Any, grid: Grid | None, reshape: Callable[..., Any]) -> Any:
    """The patches (…, h, w, K) of tokens (…, T, K); the array itself where it has no such grid."""
    if grid is None:
        return array
    *before, tokens, channels = (int(n) for n in array.shape)
    rows = array[..., grid.before : tokens - grid.after, :]
    return reshape(rows, (*before, grid.height, grid.width, channels))


def _misfit(sides: tuple[int, ...], image: tuple[int, int]) -> float:
    """How far the proportions of a map are from the image's."""
    return abs(math.log(sides[0] / sides[1] * image[1] / image[0]))
