"""The grid of a layer's output on the image: feature maps in either layout, and rows of tokens.

A transformer's layer is a row of tokens: perhaps a few without a position (class, distillation, registers), then one
per patch, row by row. The grid is derived from the image's shape and from the grids of the model's earlier feature
maps. No framework is imported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from saliency.errors import Unsupported
from saliency.model.names import capitalized

MOST_EXTRA = 16
"""Largest number of tokens without a position."""

HALVINGS = 5
"""How often a hierarchical transformer may merge its patches after the last known grid."""

LIKE = 0.2
"""Largest difference between the logarithms of a map's and the image's aspect ratio."""


def no_maps(name: str, where: str) -> Unsupported:
    """Return the error for a model in which no attention maps were found; `where` completes the reason."""
    return Unsupported(
        f"No attention maps were found in {name}: it has no softmax over products of its tokens, or "
        f"computes it in {where}."
    )


def windows(name: str) -> Unsupported:
    """Return the error for a model whose attention maps do not cover the image."""
    return Unsupported(
        f"{capitalized(name)} attends within windows, or the number of tokens changes between its layers, as in Swin: "
        "no attention map covers the whole image. Use Grad-CAM or a related method, which read its layers."
    )


def no_blocks(name: str) -> Unsupported:
    """Return the error for a model whose head cannot be evaluated after each block."""
    return Unsupported(f"The blocks of {name} cannot be identified: they do not end in a sum of tokens, (N, T, K).")


def no_patches(name: str, tokens: int) -> Unsupported:
    """Return the error for tokens that do not cover the image."""
    return Unsupported(
        f"{capitalized(name)} attends between {tokens} tokens, which do not form a grid of patches of the image."
    )


class Grid(NamedTuple):
    """The grid of a layer's output (N, …) on the image."""

    layout: str
    """"first" (N, K, h, w), "last" (N, h, w, K), "tokens" (N, T, K), or "tokens_first" (T, N, K)."""
    height: int
    width: int
    before: int = 0
    """Tokens without a position before the patches."""
    after: int = 0
    """Tokens without a position after the patches."""

    @property
    def of_tokens(self) -> bool:
        """Whether the output is a row of tokens."""
        return self.layout.startswith("tokens")

    @property
    def tokens(self) -> int:
        """Number of tokens, including those without a position."""
        return self.before + self.height * self.width + self.after

    def described(self) -> str:
        """Describe the grid for a note."""
        if not self.of_tokens:
            return f"{self.height}×{self.width}" + (", channels last" if self.layout == "last" else "")
        extra = [f"{n} {where}" for n, where in ((self.before, "leading"), (self.after, "trailing")) if n]
        noun = "token" if self.before + self.after == 1 else "tokens"
        return f"{self.height}×{self.width} patches" + (f", {' and '.join(extra)} {noun} skipped" if extra else "")


def map_grid(
    shape: tuple[int, int, int], image: tuple[int, int], *, first: bool = False, last: bool = False
) -> Grid | None:
    """Return the grid of a map (N, *shape) on an image.

    Args:
        shape: without the batch axis.
        image: its height and width.
        first: whether the layout is known to be (K, h, w).
        last: whether the layout is known to be (h, w, K).

    Returns:
        None if neither layout has a grid.
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
    """Return the possible grids of a number of tokens, the likeliest first; extra tokens precede the patches.

    Args:
        tokens: their number.
        image: height and width.
        maps: grids (h, w) of the model's earlier feature maps, such as its patches.
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
    """Return whether (N, h, w, K) may be a grid on an image: smaller, with the same aspect ratio.

    Attention maps (N, heads, T, T) have four axes too.
    """
    if len(shape) != 4 or shape[1] is None or shape[2] is None:
        return False
    (height, width), (h, w) = image, (int(shape[1]), int(shape[2]))
    if h < 2 or w < 2 or h > height or w > width:
        return False
    expected = width * h / height
    return abs(w - expected) <= max(2.0, 0.25 * expected)


def tokens_of(maps: Sequence[Any], count: int, name: str) -> int:
    """Return the number of tokens T in attention maps (N, heads, T, T) of `count` images; `name` is the model's.

    Raises:
        Unsupported: there are no maps, or they cover windows only.
    """
    if not maps:
        raise no_maps(name, "an operator of its own")
    sizes = {int(each.shape[-1]) for each in maps}
    if len(sizes) > 1 or any(int(each.shape[0]) != count for each in maps):
        raise windows(name)
    return sizes.pop()


def tokens_on_grid(tokens: int, image: tuple[int, int], maps: Collection[tuple[int, int]], name: str) -> Grid:
    """Return the likeliest grid of a number of tokens on an image; see :func:`token_grids`.

    Raises:
        Unsupported: they do not form patches of it.
    """
    for grid in token_grids(tokens, image, maps):
        return grid
    raise no_patches(name, tokens)


def token_grid(
    shape: Sequence[int | None], image: tuple[int, int], maps: Collection[tuple[int, int]], attended: Collection[int]
) -> Grid | None:
    """Return the grid of a layer's tokens (N, T, K), if they attend to each other as patches; else None.

    Args:
        shape: of the layer.
        image: height and width.
        maps: grids of the model's earlier feature maps.
        attended: the token counts of all attention maps.
    """
    tokens = shape[1] if len(shape) == 3 else None
    if tokens is None or tokens not in attended:
        return None
    return next(iter(token_grids(tokens, image, maps)), None)


def patches(array: Any, grid: Grid | None, reshape: Callable[..., Any]) -> Any:
    """Return the patches (…, h, w, K) of tokens (…, T, K); the array itself without a grid."""
    if grid is None:
        return array
    *before, tokens, channels = (int(n) for n in array.shape)
    rows = array[..., grid.before : tokens - grid.after, :]
    return reshape(rows, (*before, grid.height, grid.width, channels))


def _misfit(sides: tuple[int, ...], image: tuple[int, int]) -> float:
    """Return the difference between the logarithms of a map's and the image's aspect ratio."""
    return abs(math.log(sides[0] / sides[1] * image[1] / image[0]))
