"""The bird's body, and the shapes of its exchangeable parts.

Coordinates are those of a bird that looks to the right: x to the right, y down, in units of about its body's height.
The shapes of a part are around the point where it is attached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from saliency.testbed.birds.canvas import Colour, Placement, Points, Shape, curve, disc, ribbon, with_contours

ORANGE: Colour = (0.95, 0.55, 0.12)
CRIMSON: Colour = (0.82, 0.16, 0.22)
YELLOW: Colour = (0.97, 0.82, 0.20)
TEAL: Colour = (0.10, 0.58, 0.58)
BLUE: Colour = (0.20, 0.38, 0.80)
VIOLET: Colour = (0.52, 0.30, 0.66)
GREEN: Colour = (0.36, 0.64, 0.22)
BROWN: Colour = (0.52, 0.34, 0.20)
PINK: Colour = (0.94, 0.52, 0.62)
SLATE: Colour = (0.34, 0.38, 0.46)
WHITE: Colour = (0.98, 0.97, 0.94)
BLACK: Colour = (0.08, 0.07, 0.10)
BODY: Colour = (0.80, 0.74, 0.66)

PALETTE = (ORANGE, CRIMSON, YELLOW, TEAL, BLUE, VIOLET, GREEN, BROWN, PINK, SLATE)
"""The colours of parts, from which those of other objects are drawn too: no colour gives a part away."""


class Kind(NamedTuple):
    """A kind of part."""

    name: str
    x: float
    """Where it is attached to the body."""
    y: float
    swing: float
    """How far it may be turned around that point, in radians."""
    variants: tuple[Callable[[], Iterator[Shape]], ...]

    def shapes(self, variant: int) -> list[Shape]:
        """Return the shapes of a variant, in the order in which they are painted."""
        return _shapes(self.variants[variant])


@cache
def _shapes(variant: Callable[[], Iterator[Shape]]) -> list[Shape]:
    return with_contours(variant())


@cache
def body_shapes() -> list[Shape]:
    """Return the shapes of the body with its head, that all birds share."""
    return with_contours(body())


def line(shape: Points, width: float, colour: Colour) -> Shape:
    """Return a line without a contour."""
    return Shape(ribbon(shape, (width, width)), colour, 0.0, 0.0)


def darker(colour: Colour, by: float = 0.6) -> Colour:
    """Return a darker colour; a lighter one where `by` exceeds 1."""
    red, green, blue = (min(each * by, 1.0) for each in colour)
    return red, green, blue


def body() -> Iterator[Shape]:
    """The body with its head, that all birds share."""
    outline = [(0.37, -0.68), (0.58, -0.60), (0.67, -0.40), (0.62, -0.18), (0.55, -0.02), (0.55, 0.20), (0.38, 0.45)]
    outline += [(0.06, 0.56), (-0.27, 0.48), (-0.52, 0.26), (-0.56, 0.06), (-0.34, -0.08), (-0.10, -0.17)]
    outline += [(0.05, -0.32), (0.13, -0.55)]
    yield Shape(curve(outline), BODY, 0.35, 0.03)
    belly = [(0.50, -0.02), (0.48, 0.22), (0.32, 0.41), (0.06, 0.50), (-0.14, 0.46), (0.10, 0.34), (0.28, 0.12)]
    yield Shape(curve([*belly, (0.38, -0.06)]), darker(BODY, 1.2), 0.1, 0.0)
    for x, y in ((0.36, 0.12), (0.26, 0.26), (0.40, 0.27), (0.10, 0.40)):
        yield line(curve([(x - 0.05, y), (x, y + 0.03), (x + 0.05, y)], closed=False), 0.022, darker(BODY, 0.85))


def beak_cone() -> Iterator[Shape]:
    """A short, thick beak of a seed eater."""
    yield Shape(curve([(-0.05, 0.02), (-0.05, 0.02), (0.21, 0.09), (0.05, 0.17), (-0.06, 0.14)]), darker(ORANGE, 0.8))
    upper = [(-0.08, -0.12), (0.08, -0.10), (0.22, 0.0), (0.30, 0.09), (0.30, 0.09), (0.10, 0.07), (-0.05, 0.06)]
    yield Shape(curve(upper), ORANGE)
    yield Shape(disc(0.05, -0.03, 0.025, 0.016), darker(ORANGE, 0.4), 0, 0)


def beak_spear() -> Iterator[Shape]:
    """A long, straight beak of a stork."""
    yield Shape(curve([(-0.06, 0.03), (-0.06, 0.03), (0.62, 0.09), (0.62, 0.09), (0.06, 0.11)]), darker(CRIMSON, 0.75))
    yield Shape(curve([(-0.08, -0.09), (0.10, -0.06), (0.64, 0.07), (0.64, 0.07), (0.1, 0.06), (-0.06, 0.05)]), CRIMSON)
    yield line(curve([(0.02, -0.04), (0.3, 0.01)], closed=False), 0.018, darker(CRIMSON, 1.5))


def beak_hook() -> Iterator[Shape]:
    """A hooked beak of a parrot."""
    yield Shape(curve([(-0.02, 0.06), (0.10, 0.07), (0.10, 0.18), (0.0, 0.19), (-0.06, 0.12)]), darker(SLATE, 0.8))
    upper = [(-0.08, -0.16), (0.10, -0.17), (0.26, -0.04), (0.29, 0.14), (0.24, 0.27), (0.24, 0.27), (0.17, 0.12)]
    yield Shape(curve([*upper, (0.04, 0.07), (-0.06, 0.06)]), SLATE, 0.5)
    yield Shape(curve([(-0.09, -0.17), (-0.01, -0.18), (0.03, -0.08), (0.0, 0.02), (-0.08, 0.02)]), YELLOW, 0.1)


def beak_spoon() -> Iterator[Shape]:
    """A flat beak with a wide tip, of a spoonbill."""
    lower = [(-0.06, 0.04), (0.20, 0.08), (0.40, 0.08), (0.46, 0.16), (0.34, 0.20), (0.18, 0.14), (-0.04, 0.13)]
    yield Shape(curve(lower), darker(YELLOW, 0.75))
    upper = [(-0.08, -0.10), (0.12, -0.02), (0.32, -0.03), (0.47, 0.02), (0.50, 0.11), (0.40, 0.13), (0.20, 0.08)]
    yield Shape(curve([*upper, (-0.04, 0.06)]), YELLOW)
    yield Shape(disc(0.42, 0.055, 0.05, 0.03), darker(YELLOW, 0.6), 0, 0)


def eye_round() -> Iterator[Shape]:
    """A white eye with a large pupil."""
    yield Shape(disc(0, 0, 0.13), WHITE, 0.1, 0.025)
    yield Shape(disc(0.025, 0.01, 0.078), BLACK, 0, 0)
    yield Shape(disc(0.0, -0.03, 0.028), WHITE, 0, 0)


def eye_owl() -> Iterator[Shape]:
    """A large orange eye in a crimson ring, with a small pupil."""
    yield Shape(disc(0, 0, 0.185), CRIMSON, 0.2, 0.025)
    yield Shape(disc(0, 0, 0.125), YELLOW, 0.2, 0)
    yield Shape(disc(0.01, 0, 0.058), BLACK, 0, 0)
    yield Shape(disc(-0.02, -0.035, 0.024), WHITE, 0, 0)


def eye_sleepy() -> Iterator[Shape]:
    """A teal eye below a heavy blue lid."""
    yield Shape(disc(0, 0.01, 0.15, 0.13), (0.55, 0.93, 0.86), 0.1, 0.025)
    yield Shape(disc(0.03, 0.05, 0.06), BLACK, 0, 0)
    lid = [(-0.19, 0.02), (-0.19, 0.02), (-0.14, -0.12), (0.0, -0.17), (0.14, -0.12), (0.19, 0.0), (0.19, 0.0)]
    yield Shape(curve([*lid, (0.0, 0.03)]), BLUE, 0.3, 0.025)


def _legs(width: float, length: float, colour: Colour, knee: float = 0.0) -> Iterator[tuple[float, float, list[Shape]]]:
    """Yield, for the far and the near leg, where it ends, and its shapes."""
    for x, tint in ((0.16, 0.8), (-0.10, 1.0)):
        shape = curve([(x, -0.06), (x - knee, length * 0.45), (x, length)], closed=False)
        shapes = [Shape(ribbon(shape, (width * 1.1, width * 0.9)), darker(colour, tint))]
        if knee:
            shapes.append(Shape(disc(x - knee, length * 0.45, width * 0.8), darker(colour, tint), 0.2, 0.0))
        yield x, length, shapes


def foot_toes() -> Iterator[Shape]:
    """Thin legs with three spread toes."""
    for x, y, shapes in _legs(0.075, 0.27, GREEN):
        yield from shapes
        for tip in ((0.20, 0.06), (0.12, 0.12), (-0.14, 0.08)):
            toe = curve([(x, y), (x + tip[0] * 0.6, y + tip[1] * 0.3), (x + tip[0], y + tip[1])], closed=False)
            yield Shape(ribbon(toe, (0.07, 0.06, 0.03)), GREEN)


def foot_webbed() -> Iterator[Shape]:
    """Short legs with webbed feet."""
    for x, y, shapes in _legs(0.10, 0.17, ORANGE):
        yield from shapes
        web = [(x - 0.07, y - 0.04), (x + 0.06, y - 0.04), (x + 0.30, y + 0.11), (x + 0.30, y + 0.11)]
        web += [(x + 0.20, y + 0.11), (x + 0.12, y + 0.17), (x + 0.12, y + 0.17), (x + 0.03, y + 0.12)]
        yield Shape(curve([*web, (x - 0.10, y + 0.14), (x - 0.10, y + 0.14)]), ORANGE)
        for dx, dy in ((0.22, 0.09), (0.09, 0.12)):
            yield line(np.array([(x, y), (x + dx, y + dy)]), 0.022, darker(ORANGE, 0.65))


def foot_stilts() -> Iterator[Shape]:
    """Very long legs with knees, of a wader."""
    for x, y, shapes in _legs(0.055, 0.47, PINK, knee=0.10):
        yield from shapes
        for tip in ((0.17, 0.03), (0.10, 0.08)):
            yield Shape(ribbon(np.array([(x - 0.02, y), (x + tip[0], y + tip[1])]), (0.055, 0.035)), PINK)


def foot_boots() -> Iterator[Shape]:
    """Stout, feathered legs with dark claws."""
    for x, tint in ((0.17, 0.8), (-0.13, 1.0)):
        for dx in (-0.06, 0.02, 0.10):
            claw = curve([(x + dx, 0.20), (x + dx + 0.06, 0.26), (x + dx + 0.07, 0.33)], closed=False)
            yield Shape(ribbon(claw, (0.06, 0.05, 0.02)), BLACK, 0, 0)
        boot = [(x - 0.15, -0.12), (x + 0.15, -0.12), (x + 0.16, 0.06), (x + 0.14, 0.23), (x + 0.14, 0.23)]
        boot += [(x + 0.06, 0.18), (x + 0.01, 0.26), (x + 0.01, 0.26), (x - 0.06, 0.18), (x - 0.12, 0.23)]
        yield Shape(curve([*boot, (x - 0.12, 0.23), (x - 0.16, 0.06)]), darker(VIOLET, tint))


def tail_fan() -> Iterator[Shape]:
    """A fan of round feathers with eyespots."""
    for turn in (1.05, -0.62, 0.70, -0.22, 0.24):
        at = Placement(0, 0, 1.0, turn)
        feather = [(0.05, -0.05), (-0.25, -0.10), (-0.52, -0.12), (-0.60, 0.0), (-0.52, 0.12), (-0.25, 0.10)]
        yield Shape(at(curve([*feather, (0.05, 0.05)])), TEAL)
        yield Shape(at(disc(-0.48, 0, 0.075, 0.065)), YELLOW, 0, 0)
        yield Shape(at(disc(-0.48, 0, 0.04)), BLUE, 0, 0)


def tail_fork() -> Iterator[Shape]:
    """A long, forked tail of a swallow."""
    for x, y, tint in ((-0.62, -0.34, 0.8), (-0.70, 0.30, 1.0)):
        prong = [(0.10, -0.09), (0.10, 0.09), (x * 0.5, y * 0.42 + 0.09), (x, y), (x, y), (x * 0.5, y * 0.42 - 0.09)]
        yield Shape(curve(prong), darker(BLUE, tint))
        yield line(np.array([(0.0, 0.0), (x * 0.7, y * 0.65)]), 0.02, darker(BLUE, 0.55))


def tail_plume() -> Iterator[Shape]:
    """A long quill that curls upwards and ends in a tuft."""
    quill = curve([(0.08, 0.02), (-0.20, 0.06), (-0.42, -0.10), (-0.46, -0.38)], closed=False)
    yield Shape(ribbon(quill, (0.13, 0.10, 0.06)), CRIMSON)
    drop = [(-0.46, -0.28), (-0.58, -0.40), (-0.58, -0.58), (-0.44, -0.72), (-0.44, -0.72), (-0.34, -0.56)]
    yield Shape(curve([*drop, (-0.36, -0.38)]), CRIMSON)
    yield Shape(disc(-0.465, -0.50, 0.055, 0.085), PINK, 0, 0)


def tail_tuft() -> Iterator[Shape]:
    """A fluffy ball."""
    angles = np.linspace(0, 2 * np.pi, 9, endpoint=False)
    for radius, tint in ((0.145, 0.82), (0.07, 1.0)):
        for angle in angles:
            x, y = -0.20 + radius * np.cos(angle), 0.02 + radius * np.sin(angle)
            yield Shape(disc(float(x), float(y), 0.095), darker(PINK, tint), 0.3, 0.018)
    yield Shape(disc(-0.20, 0.02, 0.10), PINK, 0.2, 0.0)


def tail_sickles() -> Iterator[Shape]:
    """Long feathers that hang over in an arc, of a cock."""
    for end, colour in (((-0.66, 0.52), SLATE), ((-0.74, 0.26), GREEN), ((-0.52, 0.62), GREEN), ((-0.36, 0.56), SLATE)):
        x, y = end
        arc = curve([(0.08, 0.03), (x * 0.45, -0.30 + 0.3 * y), (x * 0.92, y * 0.15), (x, y)], closed=False)
        yield Shape(ribbon(arc, (0.12, 0.17, 0.15, 0.04)), colour)


def wing_scallops() -> Iterator[Shape]:
    """A round, folded wing with three rows of scales."""
    outline = [(0.24, -0.10), (0.30, 0.06), (0.20, 0.22), (-0.02, 0.28), (-0.26, 0.22), (-0.42, 0.08), (-0.30, -0.06)]
    yield Shape(curve([*outline, (0.0, -0.16)]), BLUE, 0.2, 0.028)
    for x, y in ((-0.26, 0.08), (-0.12, 0.16), (0.04, 0.19), (-0.14, 0.02), (0.02, 0.08), (0.16, 0.11), (0.12, -0.01)):
        scale = curve(
            [(x - 0.08, y - 0.05), (x - 0.05, y + 0.03), (x + 0.05, y + 0.03), (x + 0.08, y - 0.05)], closed=False
        )
        yield line(scale, 0.026, darker(BLUE, 1.75))


def wing_swept() -> Iterator[Shape]:
    """A long, pointed wing, folded beyond the back."""
    for y, tint in ((0.13, 0.7), (0.06, 0.85)):
        primary = [(0.10, -0.02), (0.06, 0.16), (-0.40, y + 0.06), (-0.86 + y, y), (-0.86 + y, y), (-0.40, y - 0.10)]
        yield Shape(curve(primary), darker(BROWN, tint))
    cover = [(0.28, -0.02), (0.22, 0.12), (0.04, 0.19), (-0.18, 0.13), (-0.42, 0.02), (-0.42, 0.02), (-0.16, -0.13)]
    yield Shape(curve([*cover, (0.12, -0.15)]), BROWN)
    for x in (-0.20, -0.04, 0.12):
        yield line(np.array([(x - 0.05, -0.07), (x + 0.02, 0.09)]), 0.035, darker(YELLOW, 0.9))


def wing_raised() -> Iterator[Shape]:
    """A wing stretched upwards, with separate feathers."""
    for turn, length in ((-0.62, 0.62), (-0.34, 0.72), (-0.06, 0.76), (0.22, 0.70)):
        at = Placement(-0.02, 0.04, 1.0, turn)
        feather = [(-0.10, -0.05), (-0.115, -length * 0.6), (-0.05, -length), (0.05, -length), (0.10, -length * 0.6)]
        yield Shape(at(curve([*feather, (0.10, -0.05)])), ORANGE, 0.5)
    for turn in (-0.5, -0.1, 0.28):
        at = Placement(-0.02, 0.06, 1.0, turn)
        yield Shape(at(curve([(-0.12, 0.0), (-0.12, -0.30), (0.0, -0.38), (0.12, -0.30), (0.12, 0.0)])), YELLOW, 0.4)
    yield Shape(disc(0.0, 0.06, 0.17, 0.13), ORANGE, 0.3)


def wing_leaf() -> Iterator[Shape]:
    """A small wing like a leaf, with veins."""
    outline = [(0.24, -0.08), (0.24, -0.08), (0.22, 0.10), (0.06, 0.24), (-0.16, 0.34), (-0.34, 0.36), (-0.34, 0.36)]
    yield Shape(curve([*outline, (-0.28, 0.18), (-0.20, 0.0), (-0.02, -0.12)]), GREEN, 0.4, 0.028)
    yield line(curve([(0.20, -0.05), (0.0, 0.10), (-0.30, 0.33)], closed=False), 0.03, darker(GREEN, 0.55))
    for x, y in ((0.08, 0.04), (-0.06, 0.14)):
        yield line(np.array([(x, y), (x - 0.14, y - 0.03)]), 0.024, darker(GREEN, 0.55))
        yield line(np.array([(x, y), (x + 0.0, y + 0.13)]), 0.024, darker(GREEN, 0.55))


def wing_barred() -> Iterator[Shape]:
    """A broad, drooping wing with white bars."""
    for x, tint in ((-0.34, 0.7), (-0.20, 0.8), (-0.06, 0.9)):
        feather = [(x - 0.02, 0.02), (x - 0.10, 0.30), (x - 0.10, 0.46), (x - 0.02, 0.46), (x + 0.10, 0.26)]
        yield Shape(curve([*feather, (x + 0.14, 0.04)]), darker(VIOLET, tint))
    cover = [(0.26, -0.12), (0.26, 0.06), (0.14, 0.22), (-0.14, 0.26), (-0.40, 0.20), (-0.38, 0.0), (-0.10, -0.16)]
    yield Shape(curve(cover), VIOLET)
    for y in (0.02, 0.14):
        bar = curve([(-0.34, y + 0.02), (-0.08, y + 0.04), (0.16, y - 0.06)], closed=False)
        yield line(bar, 0.05, WHITE)


KINDS = (
    Kind("beak", 0.62, -0.36, 0.10, (beak_cone, beak_spear, beak_hook, beak_spoon)),
    Kind("eye", 0.38, -0.42, 0.0, (eye_round, eye_owl, eye_sleepy)),
    Kind("foot", 0.02, 0.50, 0.06, (foot_toes, foot_webbed, foot_stilts, foot_boots)),
    Kind("tail", -0.48, 0.14, 0.15, (tail_fan, tail_fork, tail_plume, tail_tuft, tail_sickles)),
    Kind("wing", -0.04, 0.08, 0.10, (wing_scallops, wing_swept, wing_raised, wing_leaf, wing_barred)),
)
"""All kinds of parts."""

ORDER = ("tail", "foot", "body", "wing", "beak", "eye")
"""From the back to the front."""
