"""What a test-bed is: a model whose reasons are known, pictures for it, and gates that prove the truth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from saliency.metrics.metric import Metric
from saliency.testbed.measures import measures_of
from saliency.testbed.scene import Scene

__all__ = ["Bed", "Gate", "Scene"]


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
    """Beds of one group are of one kind, and are reported together. Most differ in their model only."""
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

    def measures(self, scene: Scene) -> Mapping[str, Metric]:
        """Return the metrics that exact removal of a scene's parts allows, by id; none where it cannot be rendered.

        They render parts of the model's input, so they need a model that takes pictures as they are. Metrics of
        localisation need no hook: ``saliency.evaluate(..., masks=[scene.truth])``.
        """
        return measures_of(scene)
