"""Networks wired by hand, whose decisions depend on known pixels only, with images and maps of known quality."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage

SIDE = 56
"""Height and width of the images."""

Place = tuple[slice, slice]
Combine = Callable[[torch.Tensor], torch.Tensor]

FIRST: Place = slice(8, 20), slice(10, 22)
SECOND: Place = slice(34, 46), slice(30, 42)
CORNER: Place = slice(44, 54), slice(44, 54)
DECOY: Place = slice(6, 18), slice(36, 48)
"""A place that no network reads."""


class Bed(NamedTuple):
    """A network with the places that it reads, and those that show a pattern in its images."""

    name: str
    network: torch.nn.Module
    read: tuple[Place, ...]
    drawn: tuple[Place, ...]
    texture: bool

    @property
    def truth(self) -> np.ndarray:
        """The pixels that the network reads, bool (H, W)."""
        return region(*self.read)


class Wired(torch.nn.Module):
    """Logits of three classes: of the first, a function of how clear a pattern is in some places.

    Args:
        places: the places that are read.
        combine: from the evidence (N, places) in 0–1 to one value (N,) in 0–1.
        texture: whether the pattern is a checkerboard; otherwise it is brightness.
    """

    def __init__(self, places: tuple[Place, ...], combine: Combine, texture: bool) -> None:
        super().__init__()
        self.places, self.combine, self.texture = places, combine, texture

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        grey = images.mean(1)
        if self.texture:
            grey = torch.as_tensor(checkerboard(), dtype=grey.dtype) * (grey - 0.5) + 0.5
        evidence = torch.stack([grey[:, rows, columns].mean((1, 2)) for rows, columns in self.places], 1)
        logit = 8 * self.combine(torch.sigmoid(20 * (evidence - 0.68))) - 3
        return torch.stack([logit, torch.zeros_like(logit), torch.full_like(logit, -1.0)], 1)


def checkerboard() -> np.ndarray:
    """Return a checkerboard (H, W) of cells of two pixels, of -1 and 1."""
    steps = np.arange(SIDE) // 2
    return 1.0 - 2.0 * ((steps[:, None] + steps) % 2)


def region(*places: Place) -> np.ndarray:
    """Return the pixels of some places, bool (H, W)."""
    found = np.zeros((SIDE, SIDE), bool)
    for place in places:
        found[place] = True
    return found


def both(seen: torch.Tensor) -> torch.Tensor:
    """AND of two places, or the evidence of one."""
    return seen.prod(1)


def either(seen: torch.Tensor) -> torch.Tensor:
    """OR of two places."""
    return 1 - (1 - seen).prod(1)


def one_only(seen: torch.Tensor) -> torch.Tensor:
    """XOR of two places."""
    return seen.sum(1) - 2 * seen.prod(1)


def beds() -> list[Bed]:
    """Return six networks that read brightness, and six that read a texture."""
    wired = [
        ("one patch", (FIRST,), (FIRST,), both),
        ("and", (FIRST, SECOND), (FIRST, SECOND), both),
        ("or", (FIRST, SECOND), (FIRST, SECOND), either),
        ("xor", (FIRST, SECOND), (FIRST,), one_only),
        ("shortcut", (CORNER,), (CORNER, FIRST), both),
        ("distractor", (FIRST,), (FIRST, DECOY), both),
    ]
    return [
        Bed(name, Wired(read, combine, texture).eval(), read, drawn, texture)
        for texture in (False, True)
        for name, read, drawn, combine in wired
    ]


def image(bed: Bed, seed: int) -> np.ndarray:
    """Return an image (H, W, 3) float32 in 0–1: noise, with the pattern in the places that are drawn."""
    random = np.random.default_rng(seed)
    grey = 0.45 + random.normal(0, 0.06, (SIDE, SIDE, 3))
    pattern = 0.5 + 0.42 * checkerboard() if bed.texture else np.full((SIDE, SIDE), 0.9)
    for place in bed.drawn:
        grey[place] = pattern[place][..., None] + random.normal(0, 0.04, grey[place].shape)
    return np.clip(grey, 0, 1).astype(np.float32)


def degraded(mask: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return a mask with a share of its pixels swapped at random."""
    random, values = np.random.default_rng([seed, 1]), mask.copy().ravel()
    places = random.permutation(values.size)[: round(share * values.size)]
    values[places] = values[random.permutation(places)]
    return values.reshape(mask.shape)


def maps(bed: Bed, seed: int) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (quality, map): the truth, the truth with half of its pixels swapped, and four maps without any truth."""
    random = np.random.default_rng([seed, 2])
    truth = bed.truth + random.normal(0, 0.05, (SIDE, SIDE))
    yield 1.0, truth
    yield 0.5, degraded(truth, 0.5, seed)
    yield 0.0, random.normal(size=(SIDE, SIDE))
    yield 0.0, region(DECOY) + random.normal(0, 0.05, (SIDE, SIDE))
    yield 0.0, np.hypot(*(ndimage.sobel(image(bed, seed).mean(2), axis) for axis in (0, 1))) * ~bed.truth
    yield -1.0, -truth
