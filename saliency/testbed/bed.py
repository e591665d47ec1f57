"""What a test-bed is: a model whose reasons are known, pictures for it, and gates that prove the truth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Render = Callable[[frozenset[str]], NDArray[np.float32]]
"""Renders a scene without some of its parts."""


@dataclass(frozen=True, eq=False)
class Scene:
    """One picture of a test-bed.

    Attributes:
        image: RGB picture (H, W, 3), float32 in 0–1.
        target: index of the class to explain.
        truth: the pixels on which the score of the target depends, bool (H, W); None where they are unknown.
        parts: by name, the visible pixels of each part of the picture, bool (H, W). Some may be irrelevant.
        render: renders the scene again without some of its parts, exactly as if they had never been there; None where
            the scene cannot be rendered.
    """

    image: NDArray[np.float32]
    target: int
    truth: NDArray[np.bool_] | None = None
    parts: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    render: Render | None = None

    def without(self, parts: Iterable[str]) -> NDArray[np.float32]:
        """Return the picture (H, W, 3) rendered without some parts."""
        if self.render is None:
            raise ValueError("This scene cannot be rendered again: it is a photograph.")
        return self.render(frozenset(parts))


class Gate(NamedTuple):
    """A condition that a test-bed must meet before any method is scored on it."""

    sentence: str
    """What must hold, with the number: "Removing the logo changes the class of at least 95 % of pictures"."""
    value: float
    """The measured value."""
    bound: float
    """The limit."""
    at_least: bool = True
    """Whether the value must not be below the limit; otherwise it must not exceed it."""

    @property
    def passed(self) -> bool:
        """Whether the condition holds."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound


class Bed(ABC):
    """A model whose reasons are known, with pictures and gates."""

    id: str
    group: str
    """Beds of one group differ in their model only, and are reported together."""
    title: str
    known: str
    """What is known about the model's reasons, and how, in one or two sentences."""

    @property
    @abstractmethod
    def model(self) -> Any:
        """The model, in evaluation mode on the CPU; created once."""

    @property
    @abstractmethod
    def labels(self) -> Sequence[str]:
        """Names of the classes."""

    @property
    def preprocess(self) -> Any:
        """Preprocessing of the pictures, see :func:`saliency.explain`; None if the model takes them as they are."""
        return None

    @abstractmethod
    def scenes(self, count: int, seed: int = 0) -> Sequence[Scene]:
        """Return scenes, equal for equal seeds; the first of them are equal for every count.

        Beds of photographs return fewer if they have no more.
        """

    @abstractmethod
    def gates(self) -> Sequence[Gate]:
        """Measure the conditions without which a score on this bed has no meaning."""
