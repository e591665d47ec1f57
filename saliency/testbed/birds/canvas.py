"""Draws shapes with smooth outlines, and records which layer each pixel shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""Points of an outline or a line, (n, 2): x to the right, y down."""

Colour = tuple[float, float, float]
"""RGB in 0–1."""

_SCANLINES = 4  # a row of pixels; coverage along a scanline is exact
_DARK = 0.42  # the brightness of contours, of that of their shapes


class Shape(NamedTuple):
    """An area with a colour."""

    outline: Points
    """A closed curve."""
    colour: Colour
    shade: float = 0.25
    """How much lighter its top is than its bottom, as a share of the colour."""
    contour: float = 0.022
    """Width of the darker line around it, in the units of the outline; 0 for none."""


class Placement(NamedTuple):
    """Maps points to pixels: scaled, turned clockwise, mirrored and moved."""

    x: float
    y: float
    scale: float
    turn: float = 0.0
    """In radians."""
    mirrored: bool = False

    def __call__(self, points: Points) -> Points:
        """Map points (n, 2)."""
        cos, sin = np.cos(self.turn) * self.scale, np.sin(self.turn) * self.scale
        x, y = points[:, 0] * cos - points[:, 1] * sin, points[:, 0] * sin + points[:, 1] * cos
        return np.stack([self.x + (-x if self.mirrored else x), self.y + y], 1)


def curve(points: Sequence[tuple[float, float]], *, closed: bool = True, steps: int = 6) -> Points:
    """Return a smooth curve through points (Catmull–Rom); a point that is given twice is a corner.

    Args:
        points: at least two; those of a closed curve are not repeated at its end.
        closed: whether the last point is connected with the first.
        steps: number of points from one to the next.
    """
    knots = np.array(points, np.float64)
    if closed:
        before, after, end = np.roll(knots, 1, 0), np.roll(knots, -1, 0), np.roll(knots, -2, 0)
    else:
        padded = np.concatenate([knots[:1], knots, knots[-1:]])
        before, knots, after, end = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (each[:, None] for each in (before, knots, after, end))
    moved = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    found = moved.reshape(-1, 2)
    return found if closed else np.concatenate([found, after[-1:]])


def disc(x: float, y: float, width: float, height: float | None = None, turn: float = 0.0) -> Points:
    """Return an ellipse around a point, from its radii."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    around = np.stack([width * np.cos(angles), (width if height is None else height) * np.sin(angles)], 1)
    return Placement(x, y, 1.0, turn)(around)


def ribbon(line: Points, widths: Sequence[float]) -> Points:
    """Return the outline of a line with rounded ends whose width changes along it.

    Args:
        line: (n, 2).
        widths: at equal distances along the line, at least two.
    """
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)[:, None]
    across = np.stack([-along[:, 1], along[:, 0]], 1)
    half = np.interp(np.linspace(0, 1, len(line)), np.linspace(0, 1, len(widths)), widths)[:, None] / 2
    end, start = line[-1:] + along[-1:] * half[-1:] * 0.8, line[:1] - along[:1] * half[:1] * 0.8
    return np.concatenate([line + across * half, end, (line - across * half)[::-1], start])


def _grown(outline: Points, by: float) -> Points:
    """Return an outline moved outwards; inwards where `by` is negative."""
    after, before = np.roll(outline, -1, 0), np.roll(outline, 1, 0)
    area = np.sum(outline[:, 0] * after[:, 1] - after[:, 0] * outline[:, 1])
    along = after - before
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)[:, None]
    return outline + np.sign(area) * by * np.stack([along[:, 1], -along[:, 0]], 1)


def with_contours(shapes: Iterable[Shape]) -> list[Shape]:
    """Return shapes whose contours are shapes of their own, painted before them."""
    found = []
    for shape in shapes:
        if shape.contour:
            red, green, blue = shape.colour
            outer = _grown(shape.outline, shape.contour / 2)
            found.append(Shape(outer, (_DARK * red, _DARK * green, _DARK * blue), 0.0, 0.0))
            found.append(shape._replace(outline=_grown(shape.outline, -shape.contour / 2), contour=0.0))
        else:
            found.append(shape)
    return found


class Layer(NamedTuple):
    """Shapes without contours that are painted one after another, and where."""

    shapes: Sequence[Shape]
    placement: Placement


class Area(NamedTuple):
    """The pixels that one shape covers."""

    layer: int
    """Index of the shape's layer."""
    rows: slice
    columns: slice
    alpha: NDArray[np.float64]
    """How much of each pixel is covered, (rows, columns, 1) in 0–1."""
    colours: NDArray[np.float64]
    """Of each row, (rows, 1, 3) in 0–1."""


def areas(layers: Sequence[Layer], size: int) -> list[Area]:
    """Return the pixels of all shapes, in order.

    Args:
        layers: from the back to the front.
        size: height and width of the picture.
    """
    shapes = [(i, shape) for i, layer in enumerate(layers) for shape in layer.shapes]
    if not shapes:
        return []
    points = [
        layer.placement(np.concatenate([each.outline for each in layer.shapes])) for layer in layers if layer.shapes
    ]
    found = []
    placed = _coverage(np.concatenate(points), [len(shape.outline) for _, shape in shapes], size)
    for (layer, shape), (top, bottom, rows, columns, alpha) in zip(shapes, placed, strict=True):
        if alpha.size:
            down = (np.arange(rows.start, rows.stop) + 0.5 - top) / (bottom - top)
            light = 1 + shape.shade * (0.5 - down[:, None, None])
            colours = np.minimum(np.array(shape.colour) * light, 1)
            found.append(Area(layer, rows, columns, alpha[:, :, None], colours))
    return found


def painted(ground: NDArray[np.float64], painting: Iterable[Area]) -> NDArray[np.float64]:
    """Paint areas on a picture (H, H, 3); return the result."""
    pixels = ground.copy()
    for _, rows, columns, alpha, colours in painting:
        part = pixels[rows, columns]
        part += alpha * (colours - part)
    return pixels


def owners(painting: Iterable[Area], layers: int, size: int) -> NDArray[np.intp]:
    """Return the layer from which most of each pixel's colour comes, (H, H); -1 is the ground."""
    shares = np.zeros((layers + 1, size, size))
    shares[0] = 1
    for layer, rows, columns, alpha, _ in painting:
        part = shares[: layer + 2, rows, columns]
        part *= 1 - alpha[..., 0]
        part[-1] += alpha[..., 0]
    return shares.argmax(0) - 1


def _coverage(
    points: Points, lengths: Sequence[int], size: int
) -> list[tuple[float, float, slice, slice, NDArray[np.float64]]]:
    """Return for each outline its top and bottom, and how much of each pixel it covers (nonzero winding).

    All edges of all outlines are intersected with all scanlines at once.

    Args:
        points: of all outlines, one after another, in pixels.
        lengths: number of points of each outline.
        size: height and width of the picture.

    Returns:
        tops, bottoms, rows, columns, and the coverage (rows, columns) in 0–1; empty outside of the picture.
    """
    starts = np.cumsum([0, *lengths[:-1]])
    after = np.arange(1, len(points) + 1)
    after[starts + np.array(lengths) - 1] = starts
    least, most = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
    low, high = np.clip(np.floor(least), 0, size).astype(int), np.clip(np.ceil(most), 0, size).astype(int)
    (widths, heights), (left, top) = (high - low).T, low.T
    # each scanline has a cell for each of its columns, and two for what is to the right of them
    cells = heights * _SCANLINES * (widths + 2)
    first = np.cumsum(cells) - cells

    which = np.repeat(np.arange(len(lengths)), lengths)
    x, y = points.T
    dx, dy = x[after] - x, y[after] - y
    # scanlines, from the top of the outline's rows, between the ends of each edge
    ends = np.stack([y, y[after]]) - top[which]
    lines = np.clip(np.ceil(ends * _SCANLINES - 0.5), 0, heights[which] * _SCANLINES).astype(int)
    begin, count = lines.min(0), np.abs(lines[1] - lines[0])
    edge = np.repeat(np.arange(len(points)), count)
    line = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count - begin, count)
    shape = which[edge]
    at = x[edge] + ((line + 0.5) / _SCANLINES + top[shape] - y[edge]) * (dx[edge] / dy[edge]) - left[shape]
    at = np.clip(at, 0, widths[shape])
    column = at.astype(int)
    inside, sign = at - column, np.sign(dy[edge])
    cell = first[shape] + line * (widths[shape] + 2) + column
    total = int(cells.sum())
    steps = np.bincount(cell, sign * (1 - inside), total) + np.bincount(cell + 1, sign * inside, total)
    # the steps of a scanline sum to zero, so one running sum serves all of them
    covered = np.minimum(np.abs(np.cumsum(steps)), 1)

    found = []
    for i, (width, height) in enumerate(zip(widths.tolist(), heights.tolist(), strict=True)):
        part = covered[first[i] : first[i] + cells[i]].reshape(height, _SCANLINES, width + 2)
        rows, columns = slice(int(top[i]), int(top[i]) + height), slice(int(left[i]), int(left[i]) + width)
        found.append((float(least[i, 1]), float(most[i, 1]), rows, columns, part[:, :, :width].mean(1)))
    return found
