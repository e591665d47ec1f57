"""Networks wired by hand, whose decisions depend on known pixels only, with images and maps of known quality."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch

SIDE = 56
"""Height and width of the images."""

A, B, CORNER, DECOY = (slice(8, 20), slice(10, 22)), (slice(34, 46), slice(30, 42)), (slice(44, 54),) * 2, (slice(6, 18), slice(36, 48))
"""Rows and columns of the two patches, the watermark, and a patch that no network reads."""

Place = tuple[slice, slice]


class Bed(NamedTuple):
    """A network with the places that it reads."""

    name: str
    network: torch.nn.Module
    truth: tuple[Place, ...]
    drawn: tuple[Place, ...]
    """Places that show a pattern in its images."""


class Wired(torch.nn.Module):
    """Logits of three classes: of the first, a function of how strong a pattern is in some places.

    Args:
        places: the places that are read.
        combine: from evidence (N, places) in 0–1 to one value (N,) in 0–1.
        texture: whether the pattern is a checkerboard; otherwise it is brightness.
    """

    def __init__(self, places: tuple[Place, ...], combine: Callable[[torch.Tensor], torch.Tensor], texture: bool) -> None:
        super().__init__()
        self.places, self.combine, self.texture = places, combine, texture

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        grey = images.mean(1)
        if self.texture:
            grey = pattern(grey.shape[1:]) * (grey - 0.5) + 0.5
        evidence = torch.stack([grey[:, rows, columns].mean((1, 2)) for rows, columns in self.places], 1)
        clear = torch.sigmoid(20 * (evidence - 0.68))
        logit = 8 * self.combine(clear) - 3
        return torch.stack([logit, torch.zeros_like(logit), torch.full_like(logit, -1.0)], 1)


def pattern(shape: tuple[int, int]) -> torch.Tensor:
    """Return a checkerboard of cells of two pixels, of -1 and 1."""
    rows, columns = (torch.arange(length) // 2 for length in shape)
    return 1.0 - 2.0 * ((rows[:, None] + columns) % 2)


def both(seen: torch.Tensor) -> torch.Tensor:
    return seen.prod(1)


def either(seen: torch.Tensor) -> torch.Tensor:
    return 1 - (1 - seen).prod(1)


def one_only(seen: torch.Tensor) -> torch.Tensor:
    return seen[:, 0] + seen[:, 1] - 2 * seen[:, 0] * seen[:, 1]


def beds(texture: bool) -> list[Bed]:
    """Return the six networks."""

    def bed(name: str, truth: tuple[Place, ...], drawn: tuple[Place, ...], combine: Callable[..., torch.Tensor]) -> Bed:
        return Bed(name, Wired(truth, combine, texture).eval(), truth, drawn)

    return [
        bed("one patch", (A,), (A,), both),
        bed("and", (A, B), (A, B), both),
        bed("or", (A, B), (A, B), either),
        bed("xor", (A, B), (A,), one_only),
        bed("shortcut", (CORNER,), (CORNER, A), both),
        bed("distractor", (A,), (A, DECOY), both),
    ]


def image(bed: Bed, texture: bool, seed: int) -> np.ndarray:
    """Return an image (H, W, 3) float32 in 0–1: noise, with the pattern in the places that are drawn."""
    random = np.random.default_rng(seed)
    grey = 0.45 + random.normal(0, 0.06, (SIDE, SIDE, 3))
    for place in bed.drawn:
        level = 0.42 * pattern((SIDE, SIDE)).numpy()[place] + 0.5 if texture else 0.9
        grey[place] = np.asarray(level)[..., None] + random.normal(0, 0.04, (*grey[place].shape[:2], 3)) if texture else level + random.normal(0, 0.04, grey[place].shape)
    return np.clip(grey, 0, 1).astype(np.float32)


def truth(bed: Bed) -> np.ndarray:
    """Return the pixels that the network reads, bool (H, W)."""
    found = np.zeros((SIDE, SIDE), bool)
    for place in bed.truth:
        found[place] = True
    return found


def maps(bed: Bed, seed: int) -> Iterator[tuple[float, str, np.ndarray]]:
    """Yield (share of the truth that is right, name, map): the truth, degraded truths, and maps without any."""
    from scipy import ndimage

    random, right = np.random.default_rng([seed, 1]), truth(bed).astype(float)
    noise = random.normal(0, 0.05, right.shape)
    for share in (1.0, 0.75, 0.5):
        moved = right.copy()
        inside, outside = np.flatnonzero(right), np.flatnonzero(right == 0)
        count = round((1 - share) * len(inside))
        moved.flat[random.permutation(inside)[:count]] = 0
        moved.flat[random.permutation(outside)[:count]] = 1
        yield share, f"truth {share}", moved + noise
    yield 0.0, "random", random.normal(size=right.shape)
    yield 0.0, "smooth random", ndimage.zoom(random.normal(size=(7, 7)), SIDE // 7, order=1)
    yield 0.0, "decoy", np.where(np.isin(np.arange(SIDE), np.arange(SIDE)[DECOY[0]])[:, None] & np.isin(np.arange(SIDE), np.arange(SIDE)[DECOY[1]]), 1.0, 0.0) + noise
