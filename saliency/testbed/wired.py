"""Beds of networks wired by hand: their decision is a closed form of the pixels in known places.

With eₚ the mean brightness of place p, or its mean product with a checkerboard (for a texture), and
sₚ = σ(20 (eₚ - 0.68)), the logit of the first class is 8 c(s) - 3, and that of the others 0 and -1:

========================  ==============================================  ================================
network                   c(s)                                            places with the pattern
========================  ==============================================  ================================
one patch, distractor     s₁                                              first; and a decoy
and                       s₁ s₂                                           first, second
or                        1 - (1 - s₁)(1 - s₂)                            first, second
xor                       s₁ + s₂ - 2 s₁ s₂                               first
shortcut                  s of the corner                                 corner, first
========================  ==============================================  ================================

The gradient in a place is 160 ∂c/∂sₚ sₚ (1 - sₚ) / (3 |p|), times the checkerboard for a texture, and exactly 0
elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency.testbed.bed import Bed, Gate
from saliency.testbed.scene import Scene

SIDE = 56
"""Height and width of the pictures."""

Place = tuple[slice, slice]
Combine = Callable[[Any], Any]

PLACES: dict[str, Place] = {
    "first": (slice(8, 20), slice(10, 22)),
    "second": (slice(34, 46), slice(30, 42)),
    "corner": (slice(44, 54), slice(44, 54)),
    "decoy": (slice(6, 18), slice(36, 48)),
}
"""The places, by name. No network reads the decoy."""

BRIGHT, NOISE, BASE = 0.9, 0.04, (0.45, 0.06)
"""Brightness of a bright place, the noise there, and mean and noise of the rest."""


def _all(seen: Any) -> Any:
    return seen.prod(1)


def _any(seen: Any) -> Any:
    return 1 - (1 - seen).prod(1)


def _one_only(seen: Any) -> Any:
    return seen.sum(1) - 2 * seen.prod(1)


WIRINGS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...], Combine]] = {
    "one_patch": ("One patch", ("first",), ("first",), _all),
    "and": ("AND of two patches", ("first", "second"), ("first", "second"), _all),
    "or": ("OR of two patches", ("first", "second"), ("first", "second"), _any),
    "xor": ("XOR of two patches", ("first", "second"), ("first",), _one_only),
    "shortcut": ("Shortcut in the corner", ("corner",), ("corner", "first"), _all),
    "distractor": ("One patch and a decoy", ("first",), ("first", "decoy"), _all),
}
"""By name: the title, the places that the network reads, those with the pattern, and c(s)."""


class WiredBed(Bed):
    """One wired network, whose pictures are noise with the pattern in some places.

    Args:
        name: one of :data:`WIRINGS`.
        texture: whether the pattern is a checkerboard; otherwise it is brightness.
    """

    group = "wired"

    def __init__(self, name: str, texture: bool) -> None:
        pattern = "texture" if texture else "brightness"
        title, self.read, self.drawn, self.combine = WIRINGS[name]
        self.id, self.title, self.texture = f"wired_{name}_{pattern}", f"{title}, {pattern}", texture
        self.known = (
            f"Wired by hand: the score is a closed form of the {pattern} in {' and '.join(self.read)}, "
            "and its gradient is exactly 0 in all other pixels."
        )

    @cached_property
    def model(self) -> Any:
        """The network, a torch module of (N, 3, 56, 56)."""
        from saliency.testbed.networks import Wired

        pattern = checkerboard() if self.texture else None
        return Wired([PLACES[each] for each in self.read], self.combine, pattern).eval()

    @property
    def labels(self) -> Sequence[str]:
        """The class that depends on the pattern, and two that do not."""
        return "pattern", "nothing", "never"

    @property
    def truth(self) -> NDArray[np.bool_]:
        """The pixels that the network reads, bool (H, W)."""
        return region(*self.read)

    def scenes(self, count: int, seed: int = 0) -> Sequence[Scene]:
        return [self._scene([seed, i]) for i in range(count)]

    def gates(self) -> Sequence[Gate]:
        """The network decides for the pattern, and no pixel outside of the places changes its score."""
        from saliency.testbed.networks import logits

        scenes, random = self.scenes(16), np.random.default_rng(0)
        inside = self.truth[..., None]
        noise = random.random((len(scenes), SIDE, SIDE, 3), np.float32)
        full, outside, without = (
            logits(self.model, images)
            for images in (
                [each.image for each in scenes],
                [np.where(inside, each.image, other) for each, other in zip(scenes, noise, strict=True)],
                [each.without(self.drawn) for each in scenes],
            )
        )
        return [
            Gate("The network decides for the pattern in all scenes", float((full.argmax(1) == 0).mean()), 1.0),
            Gate(
                "Other pixels outside of the places that are read change no score",
                float(np.abs(outside - full).max()),
                0.0,
                at_least=False,
            ),
            Gate(
                "Without the pattern, the network decides otherwise in all scenes",
                float((without.argmax(1) != 0).mean()),
                1.0,
            ),
        ]

    def _scene(self, seed: Sequence[int]) -> Scene:
        def render(without: frozenset[str]) -> NDArray[np.float32]:
            grey = BASE[0] + np.random.default_rng(seed).normal(0, BASE[1], (SIDE, SIDE, 3))
            pattern = 0.5 + 0.42 * checkerboard() if self.texture else np.full((SIDE, SIDE), BRIGHT)
            for number, name in enumerate(PLACES):
                if name in self.drawn and name not in without:
                    place = PLACES[name]
                    noise = np.random.default_rng([*seed, number]).normal(0, NOISE, grey[place].shape)
                    grey[place] = pattern[place][..., None] + noise
            return np.clip(grey, 0, 1).astype(np.float32)

        parts = {name: region(name) for name in self.drawn}
        return Scene(render(frozenset()), 0, self.truth, parts, render)


def wired_beds() -> list[WiredBed]:
    """Return the six networks that read brightness, and the six that read a texture."""
    return [WiredBed(name, texture) for texture in (False, True) for name in WIRINGS]


def checkerboard() -> NDArray[np.float64]:
    """Return a checkerboard (H, W) of cells of two pixels, of -1 and 1."""
    steps = np.arange(SIDE) // 2
    return np.asarray(1 - 2 * ((steps[:, None] + steps) % 2), np.float64)


def region(*names: str) -> NDArray[np.bool_]:
    """Return the pixels of some places, bool (H, W)."""
    found = np.zeros((SIDE, SIDE), bool)
    for name in names:
        found[PLACES[name]] = True
    return found
