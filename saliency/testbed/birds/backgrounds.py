"""Grounds and the objects on them: what birds are seen in front of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from saliency.testbed.birds.canvas import Colour, Placement, Shape, curve, disc, ribbon, with_contours
from saliency.testbed.birds.parts import BROWN, PALETTE, WHITE, darker, line

GROUNDS: tuple[tuple[Colour, Colour, Colour, Colour], ...] = (
    ((0.62, 0.80, 0.93), (0.88, 0.94, 0.96), (0.56, 0.70, 0.38), (0.40, 0.58, 0.30)),  # meadow
    ((0.55, 0.76, 0.90), (0.92, 0.90, 0.82), (0.90, 0.82, 0.62), (0.80, 0.68, 0.46)),  # beach
    ((0.94, 0.72, 0.58), (0.98, 0.90, 0.72), (0.48, 0.42, 0.44), (0.34, 0.30, 0.36)),  # dusk
    ((0.42, 0.56, 0.44), (0.66, 0.76, 0.56), (0.44, 0.40, 0.28), (0.32, 0.28, 0.20)),  # wood
    ((0.80, 0.84, 0.90), (0.93, 0.95, 0.97), (0.90, 0.93, 0.96), (0.76, 0.82, 0.90)),  # snow
    ((0.28, 0.32, 0.48), (0.46, 0.48, 0.62), (0.26, 0.34, 0.38), (0.18, 0.24, 0.28)),  # night
    ((0.70, 0.86, 0.88), (0.82, 0.92, 0.90), (0.42, 0.66, 0.72), (0.26, 0.50, 0.60)),  # lake
)
"""The colours of the sky from its top to the horizon, and of the land from there to the bottom."""

OBJECTS: dict[str, Callable[[Colour], Iterator[Shape]]] = {}
"""From the name of an object to the function that draws it, about one unit large, in a colour."""


@dataclass(frozen=True)
class Thing:
    """An object of a background."""

    kind: str
    colour: Colour
    placement: Placement

    def shapes(self) -> list[Shape]:
        """Return its shapes, in the order in which they are painted."""
        return _shapes(self.kind, self.colour)


@lru_cache(64)
def _shapes(kind: str, colour: Colour) -> list[Shape]:
    return with_contours(OBJECTS[kind](colour))


@dataclass(frozen=True)
class Background:
    """What birds are seen in front of."""

    ground: NDArray[np.float64]
    """(H, H, 3) in 0–1."""
    things: tuple[Thing, ...]
    other: NDArray[np.float64]
    """The ground that is seen where this one is removed."""

    @classmethod
    def random(cls, rng: np.random.Generator, size: int) -> Background:
        """Return a random background, with one to six things on it."""
        count = int(rng.integers(1, 7))
        # spread over the picture, nearer to its border, because the bird covers the middle
        angles = rng.uniform(0, 2 * np.pi) + 2 * np.pi * (np.arange(count) + rng.uniform(-0.3, 0.3, count)) / count
        distance = size * rng.uniform(0.30, 0.52, count)
        names = rng.choice(sorted(OBJECTS), count)
        things = []
        for name, angle, far in zip(names, angles, distance, strict=True):
            colour = PALETTE[int(rng.integers(len(PALETTE)))]
            red, green, blue = np.clip(np.array(colour) * rng.uniform(0.75, 1.15) + rng.normal(0, 0.05, 3), 0, 1)
            x, y = size / 2 + far * np.cos(angle), size / 2 + far * np.sin(angle)
            turn, scale = rng.uniform(-0.6, 0.6), size * rng.uniform(0.16, 0.28)
            at = Placement(float(x), float(y), float(scale), float(turn), bool(rng.integers(2)))
            things.append(Thing(str(name), (float(red), float(green), float(blue)), at))
        return cls(ground(rng, size), tuple(things), ground(rng, size))


def ground(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Return a random landscape (H, H, 3): sky and land with soft texture, and a wavy horizon."""
    colours = np.array(GROUNDS[int(rng.integers(len(GROUNDS)))]) + rng.normal(0, 0.04, (4, 3))
    y, x = np.mgrid[:size, :size] / size
    wave = rng.uniform(0.01, 0.06) * np.sin(2 * np.pi * (rng.uniform(0.4, 1.6) * x + rng.uniform()))
    horizon = rng.uniform(0.45, 0.80) + wave
    above, below = np.clip(y / horizon, 0, 1), np.clip((y - horizon) / (1 - horizon), 0, 1)
    sky = colours[0] + (colours[1] - colours[0]) * above[..., None]
    land = colours[2] + (colours[3] - colours[2]) * below[..., None]
    is_land = np.clip((y - horizon) * size + 0.5, 0, 1)[..., None]
    texture = np.zeros((size, size))
    for frequency in (2, 3, 5, 8, 13):
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        along = frequency * (np.cos(angle) * x + np.sin(angle) * y)
        texture += np.sin(2 * np.pi * along + 2 * np.sin(2 * np.pi * (along - 1.7 * y)) + phase)
    strength = rng.uniform(0.0, 0.016) * (1 + is_land)
    return np.clip(sky + is_land * (land - sky) + strength * texture[..., None], 0, 1)


def named(drawing: Callable[[Colour], Iterator[Shape]]) -> Callable[[Colour], Iterator[Shape]]:
    """List a drawing among the objects, by its name."""
    OBJECTS[drawing.__name__] = drawing
    return drawing


@named
def leaf(colour: Colour) -> Iterator[Shape]:
    """A leaf with its stalk."""
    yield Shape(ribbon(curve([(0.0, 0.2), (0.05, 0.6)], closed=False), (0.08, 0.05)), darker(colour))
    outline = [(0.0, -0.6), (0.0, -0.6), (0.28, -0.25), (0.26, 0.12), (0.0, 0.36), (0.0, 0.36), (-0.26, 0.12)]
    yield Shape(curve([*outline, (-0.28, -0.25)]), colour, 0.3, 0.04)
    yield line(np.array([(0.0, -0.45), (0.0, 0.3)]), 0.04, darker(colour))


@named
def stone(colour: Colour) -> Iterator[Shape]:
    """A round stone with a crack."""
    grey = tuple(0.35 * each + 0.32 for each in colour)
    outline = [(-0.5, 0.22), (-0.42, -0.12), (-0.12, -0.32), (0.26, -0.26), (0.5, 0.02), (0.46, 0.28), (0.0, 0.34)]
    yield Shape(curve(outline), (grey[0], grey[1], grey[2]), 0.5, 0.05)
    yield line(
        curve([(-0.1, -0.1), (0.02, 0.02), (0.0, 0.16)], closed=False), 0.04, (grey[0] / 2, grey[1] / 2, grey[2] / 2)
    )


@named
def flower(colour: Colour) -> Iterator[Shape]:
    """A flower on its stem."""
    yield Shape(ribbon(curve([(0.0, 0.0), (0.05, 0.35), (0.0, 0.7)], closed=False), (0.09, 0.09)), (0.35, 0.55, 0.25))
    for turn in np.linspace(0, 2 * np.pi, 5, endpoint=False):
        yield Shape(Placement(0, -0.1, 1.0, float(turn))(disc(0, -0.24, 0.16, 0.2)), colour, 0.2, 0.04)
    yield Shape(disc(0, -0.1, 0.13), (0.95, 0.85, 0.35), 0.2, 0.03)


@named
def mushroom(colour: Colour) -> Iterator[Shape]:
    """A mushroom with spots."""
    yield Shape(curve([(-0.12, 0.0), (0.12, 0.0), (0.18, 0.45), (-0.18, 0.45)]), (0.92, 0.88, 0.78), 0.2, 0.04)
    cap = [(-0.5, 0.08), (-0.5, 0.08), (-0.34, -0.26), (0.0, -0.42), (0.34, -0.26), (0.5, 0.08), (0.5, 0.08)]
    yield Shape(curve([*cap, (0.0, 0.14)]), colour, 0.3, 0.04)
    for x, y in ((-0.2, -0.12), (0.06, -0.24), (0.22, -0.04)):
        yield Shape(disc(x, y, 0.07, 0.055), WHITE, 0, 0)


@named
def berries(colour: Colour) -> Iterator[Shape]:
    """Three berries on a twig."""
    for x in (-0.26, 0.02, 0.28):
        yield line(curve([(0.05, -0.5), (x * 0.7, -0.2), (x, 0.05)], closed=False), 0.06, BROWN)
    for x, y in ((-0.26, 0.12), (0.02, 0.26), (0.28, 0.10)):
        yield Shape(disc(x, y, 0.18), colour, 0.4, 0.04)
        yield Shape(disc(x - 0.06, y - 0.07, 0.04), WHITE, 0, 0)


@named
def cloud(colour: Colour) -> Iterator[Shape]:
    """A cloud."""
    tone = tuple(0.15 * each + 0.80 for each in colour)
    outline = [(-0.6, 0.16), (-0.52, -0.06), (-0.28, -0.10), (-0.1, -0.30), (0.16, -0.24), (0.28, -0.08), (0.54, -0.04)]
    yield Shape(curve([*outline, (0.6, 0.16), (0.0, 0.22)]), (tone[0], tone[1], tone[2]), 0.15, 0.0)


@named
def grass(colour: Colour) -> Iterator[Shape]:
    """A tuft of grass."""
    for x, height in ((-0.36, 0.5), (0.34, 0.55), (-0.18, 0.85), (0.16, 0.95), (0.0, 0.75)):
        blade = curve([(x * 0.4, 0.4), (x * 0.6, 0.4 - height * 0.6), (x * 1.2, 0.4 - height)], closed=False)
        yield Shape(ribbon(blade, (0.13, 0.11, 0.03)), colour, 0.3, 0.03)


@named
def butterfly(colour: Colour) -> Iterator[Shape]:
    """A butterfly."""
    for side in (-1, 1):
        upper = [(0.02, 0.0), (0.16, -0.36), (0.46, -0.42), (0.5, -0.16), (0.2, 0.04)]
        lower = [(0.02, 0.0), (0.28, 0.04), (0.38, 0.24), (0.22, 0.4), (0.06, 0.2)]
        for wing, tint in ((lower, 0.8), (upper, 1.0)):
            yield Shape(curve([(side * x, y) for x, y in wing]), darker(colour, tint), 0.2, 0.04)
        yield Shape(disc(side * 0.32, -0.24, 0.07), WHITE, 0, 0)
    yield Shape(disc(0, 0, 0.05, 0.26), (0.15, 0.12, 0.12), 0, 0)


@named
def pebbles(colour: Colour) -> Iterator[Shape]:
    """Three coloured pebbles."""
    for x, y, width in ((-0.3, 0.06, 0.22), (0.3, 0.1, 0.2), (0.0, -0.06, 0.26)):
        yield Shape(disc(x, y, width, width * 0.7), colour, 0.4, 0.04)
