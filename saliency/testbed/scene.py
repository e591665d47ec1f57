"""A picture of a test-bed, whose parts can be removed exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

BACKGROUND = "background"
"""Name of the part that holds the background. A scene without it shows another background, not a hole."""

Render = Callable[[frozenset[str]], NDArray[np.float32]]
"""Renders a scene without some of its parts."""


@dataclass(frozen=True, eq=False, repr=False)
class Scene:
    """One picture of a test-bed.

    Attributes:
        image: RGB picture (H, W, 3), float32 in 0–1.
        target: index of the class to explain.
        truth: the pixels on which the score of the target depends, bool (H, W); None where they are unknown.
        parts: by name, the visible pixels of each part of the picture, bool (H, W). Some may be irrelevant.
        render: renders the scene again without some of its parts, exactly as if they had never been there; None where
            the scene cannot be rendered.
        contrast: another class whose evidence is in the picture too, to compare two maps; None where there is none.
    """

    image: NDArray[np.float32]
    target: int
    truth: NDArray[np.bool_] | None = None
    parts: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    render: Render | None = None
    contrast: int | None = None

    def without(self, parts: Iterable[str]) -> NDArray[np.float32]:
        """Return the picture (H, W, 3) rendered without some parts."""
        if self.render is None:
            raise ValueError("This scene cannot be rendered again: it is a photograph.")
        return self.render(frozenset(parts))

    @cached_property
    def digest(self) -> str:
        """A hash of the picture, the target and the pixels of the truth and the parts."""
        found = hashlib.blake2b(f"{self.image.shape} {self.target} {self.contrast}".encode(), digest_size=8)
        found.update(np.ascontiguousarray(self.image).tobytes())
        found.update(b"" if self.truth is None else np.packbits(self.truth).tobytes())
        for name, pixels in self.parts.items():
            found.update(name.encode() + np.packbits(pixels).tobytes())
        return found.hexdigest()

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        return f"Scene({height}×{width}, target {self.target}, parts {', '.join(self.parts) or '–'}, {self.digest})"
