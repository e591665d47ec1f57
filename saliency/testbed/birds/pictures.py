"""Birds in front of backgrounds: their classes, random poses, and pictures with exact masks."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from saliency.testbed.birds.backgrounds import Background
from saliency.testbed.birds.canvas import Area, Layer, Placement, Shape, areas, owners, painted
from saliency.testbed.birds.parts import KINDS, ORDER, body_shapes
from saliency.testbed.scene import BACKGROUND

SIZE = 96
"""Height and width of the pictures."""

PARTS = tuple(kind.name for kind in KINDS)
"""The names of the kinds of parts."""

CLASSES: tuple[tuple[int, ...], ...] = (
    (0, 0, 2, 3, 1),
    (0, 1, 0, 2, 2),
    (0, 1, 2, 4, 3),
    (0, 1, 3, 1, 0),
    (1, 0, 0, 0, 2),
    (1, 1, 1, 0, 1),
    (1, 1, 3, 4, 2),
    (1, 2, 3, 2, 4),
    (2, 0, 0, 3, 3),
    (2, 2, 0, 0, 1),
    (2, 2, 1, 1, 4),
    (2, 2, 2, 2, 0),
    (3, 0, 1, 3, 4),
    (3, 0, 2, 4, 2),
    (3, 0, 3, 2, 0),
    (3, 1, 1, 1, 3),
)
"""The variant of each kind of part, by class. Two classes share at most two parts, and each class has two others that
share exactly two parts with it, which are not the same (as target sensitivity needs)."""


@dataclass(frozen=True)
class Bird:
    """A bird in a pose."""

    variants: tuple[int, ...]
    """The variant of each kind of part."""
    placement: Placement
    swings: tuple[float, ...]
    """How far each part is turned, in radians."""
    tints: tuple[tuple[float, float, float], ...]
    """What is added to the colours of each part, and last of the body."""

    @classmethod
    def random(cls, rng: np.random.Generator, variants: tuple[int, ...], size: int = SIZE) -> Bird:
        """Return a bird in a random pose, in the picture."""
        scale, turn = size * rng.uniform(0.34, 0.41), rng.uniform(-0.18, 0.18)
        x, y = size * (0.5 + rng.uniform(-0.05, 0.05, 2))
        swings = [float(kind.swing * rng.uniform(-1, 1)) for kind in KINDS]
        tints = rng.normal(0, 0.03, (len(KINDS) + 1, 3)) + rng.normal(0, 0.03, (len(KINDS) + 1, 1))
        placement = Placement(float(x), float(y), float(scale), float(turn), bool(rng.integers(2)))
        return cls(variants, placement, tuple(swings), tuple((float(r), float(g), float(b)) for r, g, b in tints))

    def shapes(self, name: str) -> list[Shape]:
        """Return the shapes of a part or the body, in the bird's coordinates."""
        if name == "body":
            return _tinted(body_shapes(), self.tints[-1])
        i = PARTS.index(name)
        kind = KINDS[i]
        at = Placement(kind.x, kind.y, 1.0, self.swings[i])
        shapes = [shape._replace(outline=at(shape.outline)) for shape in kind.shapes(self.variants[i])]
        return _tinted(shapes, self.tints[i])


def _tinted(shapes: list[Shape], tint: tuple[float, float, float]) -> list[Shape]:
    """Return shapes in slightly other colours."""
    colours = np.clip(np.array([shape.colour for shape in shapes]) + tint, 0, 1).tolist()
    return [shape._replace(colour=tuple(colour)) for shape, colour in zip(shapes, colours, strict=True)]


@dataclass(frozen=True)
class Picture:
    """A bird in front of a background."""

    bird: Bird
    background: Background

    @cached_property
    def things(self) -> tuple[str, ...]:
        """The names of the background's objects."""
        return tuple(f"{thing.kind} {i + 1}" for i, thing in enumerate(self.background.things))

    def draw(self, without: Collection[str] = ()) -> NDArray[np.float32]:
        """Draw the picture without some parts and objects; without "background", it has another ground.

        Returns:
            (H, H, 3) in 0–1, in steps of 1/255.
        """
        return self._painted(areas(self._layers(without), self.size), without)

    def drawn(self, without: Collection[str] = ()) -> tuple[NDArray[np.float32], dict[str, NDArray[np.bool_]]]:
        """Draw the picture, see :meth:`draw`, with the visible pixels, bool (H, H), of each part and object.

        A pixel belongs to what most of its colour comes from; that of the ground to "background".
        """
        layers = self._layers(without)
        painting = areas(layers, self.size)
        owner = owners(painting, len(layers), self.size)
        names = enumerate((BACKGROUND, *self.things, *ORDER), -1)
        masks = {name: owner == i for i, name in names if name not in without}
        return self._painted(painting, without), masks

    @property
    def size(self) -> int:
        """Height and width."""
        return len(self.background.ground)

    def _painted(self, painting: Iterable[Area], without: Collection[str]) -> NDArray[np.float32]:
        """Return areas on the ground, or on the other one."""
        ground = self.background.other if BACKGROUND in without else self.background.ground
        return (np.round(painted(ground, painting) * 255) / 255).astype(np.float32)

    def _layers(self, without: Collection[str] = ()) -> list[Layer]:
        """Return the layers of all objects and parts; those left out are empty."""
        layers = [
            Layer([] if name in without else thing.shapes(), thing.placement)
            for name, thing in zip(self.things, self.background.things, strict=True)
        ]
        return layers + [
            Layer([] if name in without else self.bird.shapes(name), self.bird.placement) for name in ORDER
        ]


def random_picture(rng: np.random.Generator, label: int, size: int = SIZE) -> Picture:
    """Return a random picture of a bird of a class."""
    return Picture(Bird.random(rng, CLASSES[label], size), Background.random(rng, size))


def possible(variants: tuple[int, ...], without: Collection[str]) -> NDArray[np.bool_]:
    """Return for each class whether it has the parts that remain of a bird."""
    seen = [i for i, name in enumerate(PARTS) if name not in without]
    return np.array([all(each[i] == variants[i] for i in seen) for each in CLASSES])
