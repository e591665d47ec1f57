"""Pictures with known truth: objects cut from photographs, pasted onto crops of other photographs.

A :class:`Composition` keeps its layers, so the same picture can be drawn again without some of them, and the exact mask
of every object is known. Distractors (pieces of background photographs in the outline of an object) are pasted just
like objects but belong to no class, so that neither seams nor outlines reveal a class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from saliency.demo.outlines import OBJECTS, Box, Cut

LABELS = tuple(OBJECTS)
# Longest side, in pixels, that a cut is kept at: above the largest size it is ever pasted with.
_SPRITE = 240
# Sizes that pieces are pasted with, in pixels: the root of the area, and the most the longest side may be.
_SIDE = (54.0, 78.0)
_LONGEST = 120.0
_PHOTOS = Path(skimage.__file__).parent / "data"


@dataclass(frozen=True)
class Layer:
    """A pasted piece: ``label`` is None for a distractor; the corner of ``rgba`` is at (x, y)."""

    label: str | None
    rgba: Image.Image
    x: int
    y: int


@dataclass(frozen=True)
class Composition:
    """A picture in parts; ``finish`` holds gamma, noise (grey values), blur (pixels) and the seed of the noise."""

    background: Image.Image
    layers: tuple[Layer, ...]
    finish: tuple[float, float, float, int]
    grey: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the objects present, in the order of pasting."""
        return tuple(layer.label for layer in self.layers if layer.label is not None)

    def render(self, *without: Layer) -> NDArray[np.uint8]:
        """Draw the picture, (H, W, 3) uint8; ``without`` leaves layers out and changes nothing else."""
        picture = self.background.copy()
        for layer in self.layers:
            if not any(layer is each for each in without):
                picture.paste(layer.rgba, (layer.x, layer.y), layer.rgba)
        gamma, noise, blur, seed = self.finish
        if blur:
            picture = picture.filter(ImageFilter.GaussianBlur(blur))
        if self.grey:
            picture = picture.convert("L").convert("RGB")
        values = 255 * (np.asarray(picture, np.float32) / 255) ** gamma
        values += noise * np.random.default_rng(seed).standard_normal(values.shape, np.float32)
        return np.clip(np.rint(values), 0, 255).astype(np.uint8)

    def mask(self, layer: Layer) -> NDArray[np.bool_]:
        """Exact mask of one layer, (H, W) bool, less what later layers cover."""
        canvas = Image.new("L", self.background.size)
        for other in self.layers[self.layers.index(layer) :]:
            canvas.paste(255 if other is layer else 0, (other.x, other.y), other.rgba.getchannel("A"))
        return np.asarray(canvas) > 127


def _load(photo: str) -> Image.Image:
    with Image.open(_PHOTOS / photo) as image:
        return image.convert("RGB")


def _cut_out(cut: Cut) -> Image.Image:
    """Cut one object out of its photograph; RGBA, no longer than ``_SPRITE`` on its longest side."""
    image = _load(cut.photo)
    alpha = Image.new("L", image.size)
    draw = ImageDraw.Draw(alpha)
    if len(cut.outline) == 2:
        draw.ellipse(cut.outline, fill=255)
    else:
        draw.polygon(cut.outline, fill=255)
    if cut.hole:
        draw.polygon(cut.hole, fill=0)
    image.putalpha(alpha)
    piece = image.crop(alpha.getbbox())
    piece.thumbnail((_SPRITE, _SPRITE), Image.Resampling.LANCZOS)
    return piece


def _soften(alpha: Image.Image) -> Image.Image:
    """Let the edge fade inwards over about two pixels, so that no rim of the source photograph is kept."""
    return alpha.filter(ImageFilter.GaussianBlur(1.0)).point(lambda value: max(0, 2 * value - 255))


def _relight(image: Image.Image, rng: np.random.Generator, tint: float) -> Image.Image:
    """Change brightness, contrast and colour of an RGB or RGBA picture at random."""
    values = np.asarray(image, np.float32).copy()
    colour = values[..., :3] / 255
    if rng.random() < 0.15:
        colour = np.repeat(colour @ np.array([[0.299], [0.587], [0.114]], np.float32), 3, axis=2)
    gain = rng.uniform(0.7, 1.25) * rng.uniform(1 - tint, 1 + tint, 3)
    colour = 0.5 + (colour ** rng.uniform(0.75, 1.33) - 0.5) * rng.uniform(0.7, 1.2)
    values[..., :3] = np.clip(255 * colour * gain, 0, 255)
    return Image.fromarray(values.astype(np.uint8), image.mode)


class Studio:
    """Holds the cut objects and the background photographs and composes pictures from them.

    Args:
        backgrounds: (photo, box) pairs to crop backgrounds and distractors from.
        wild: Also mix the crops with each other, turn some into negatives and change gamma and light strongly, which
            makes many grounds of few photographs, night-dark and glaring ones among them.
        scale: Factor of the sizes of pieces and of the blur.
    """

    def __init__(self, backgrounds: tuple[tuple[str, Box], ...], wild: bool = False, scale: float = 1.0) -> None:
        self.wild, self.scale = wild, scale
        self.sprites = {label: tuple(_cut_out(cut) for cut in cuts) for label, cuts in OBJECTS.items()}
        self.backgrounds = [_load(photo).crop(box) for photo, box in backgrounds]

    def compose(
        self, rng: np.random.Generator, size: int, objects: int, distractors: int, grey: bool = False
    ) -> Composition:
        """Compose a picture of ``size`` x ``size`` pixels with so many different objects and distractors."""
        background = self.background(rng, size)
        return self.arrange(rng, background, list(rng.permutation(LABELS)[:objects]) + [None] * distractors, grey)

    def arrange(
        self, rng: np.random.Generator, background: Image.Image, labels: Sequence[str | None], grey: bool = False
    ) -> Composition:
        """Compose a picture of given objects, and of a distractor for each None; those that find no place are left out.

        Args:
            rng: draws everything else.
            background: (size, size) RGB.
            labels: labels of the objects, or None.
            grey: Whether the picture is greyscale.
        """
        taken: list[tuple[float, float, float]] = []
        layers = []
        for label in labels:
            layer = self._layer(rng, background.width, label, taken)
            if layer is not None:
                layers.append(layer)
        blur = self.scale * rng.uniform(0.3, 1.0) if rng.random() < 0.25 else 0.0
        finish = (rng.uniform(0.8, 1.25), rng.uniform(0, 6), blur, int(rng.integers(2**31)))
        return Composition(background, tuple(layers), finish, grey)

    def background(self, rng: np.random.Generator, size: int, which: int | None = None) -> Image.Image:
        """A crop of a background photograph in random light, (size, size) RGB; of a random one by default."""
        return _relight(self._crop(rng, size, which), rng, 0.25)

    def sprite(self, rng: np.random.Generator, label: str | None) -> Image.Image:
        """An object, or a distractor in the outline of some object, as large as it is kept; RGBA."""
        cuts = self.sprites[label or str(rng.choice(LABELS))]
        cut = cuts[rng.integers(len(cuts))]
        if label is not None:
            return cut
        filling = self._crop(rng, max(cut.size)).crop((0, 0, *cut.size))
        filling.putalpha(cut.getchannel("A"))
        return filling

    def _layer(
        self, rng: np.random.Generator, size: int, label: str | None, taken: list[tuple[float, float, float]]
    ) -> Layer | None:
        """Find a free place for one piece, shrinking it when the picture is crowded; None when there is none."""
        sprite = self.sprite(rng, label)
        if rng.random() < 0.5:
            sprite = ImageOps.mirror(sprite)
        # Sizes are drawn by area: a slender shuttle shows as many pixels as a round coin.
        filled = np.asarray(sprite.getchannel("A")).mean() / 255 * sprite.width * sprite.height / max(sprite.size) ** 2
        longest = self.scale * min(_LONGEST, rng.uniform(*_SIDE) / filled**0.5)
        for _ in range(40):
            reach = 0.45 * longest
            x, y = rng.uniform(0.9 * reach, size - 0.9 * reach, 2)
            if all((x - a) ** 2 + (y - b) ** 2 > (reach + r) ** 2 for a, b, r in taken):
                taken.append((x, y, reach))
                factor = longest / max(sprite.size)
                width, height = (max(8, round(side * factor)) for side in sprite.size)
                piece = _relight(sprite.resize((width, height), Image.Resampling.BICUBIC), rng, 0.15)
                return place(piece, label, x, y, rng.uniform(-30, 30))
            longest = max(60.0 * self.scale, 0.98 * longest)
        return None

    def _crop(self, rng: np.random.Generator, size: int, which: int | None = None) -> Image.Image:
        """A square crop of a background photograph, mirrored at random, (size, size) RGB."""
        photo = self.backgrounds[rng.integers(len(self.backgrounds)) if which is None else which]
        side = round(min(photo.size) * rng.uniform(0.4, 1.0))
        left, top = (int(rng.integers(whole - side + 1)) for whole in photo.size)
        square = photo.resize((size, size), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
        if rng.random() < 0.5:
            square = ImageOps.mirror(square)
        return self._estrange(rng, square) if self.wild else square

    def _estrange(self, rng: np.random.Generator, square: Image.Image) -> Image.Image:
        """Make another ground out of a crop."""
        if rng.random() < 0.3:
            square = ImageOps.invert(square)
        if rng.random() < 0.3:
            mix = (ImageChops.lighter, ImageChops.darker, ImageChops.difference)[rng.integers(3)]
            square = mix(square, self._crop(rng, square.width))
        gamma = np.exp(rng.uniform(-0.5, 1.4))
        light = rng.uniform(0.1, 1.0) * rng.uniform(0.4, 1.0, 3)
        if rng.random() < 0.5:
            light[:] = 1
        curve = 255 * (np.arange(256) / 255) ** gamma
        return square.point(np.rint(np.outer(light, curve)).astype(int).ravel().tolist())


def place(piece: Image.Image, label: str | None, x: float, y: float, angle: float) -> Layer:
    """Turn a piece by ``angle`` degrees, soften its edge and centre it on (x, y)."""
    turned = piece.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    turned.putalpha(_soften(turned.getchannel("A")))
    return Layer(label, turned, round(x - turned.width / 2), round(y - turned.height / 2))
