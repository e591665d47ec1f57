"""What an estimator of the influence of training images is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from saliency.core.parameters import Parameters
from saliency.errors import BadShape, brief
from saliency.influence.head import LinearHead


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The training images' features and the head, at one checkpoint of the model.

    Attributes:
        features: inputs of the head, (n, d).
        labels: see :meth:`LinearHead.labels`.
        head: the classifier.
        rate: the learning rate at this checkpoint, for :class:`TracIn`.

    Raises:
        BadShape: the features, the labels and the head do not fit each other.
        BadTarget: a label is no class of the head.
    """

    features: np.ndarray
    labels: np.ndarray
    head: LinearHead
    rate: float = 1.0

    def __post_init__(self) -> None:
        features: Any = self.features
        if getattr(features, "ndim", None) != 2 or features.shape[1] != self.head.width or not len(features):
            raise BadShape(
                f"features must be (images, {self.head.width}), as the head has {self.head.width} weights for each "
                f"class, got {brief(features)}."
            )
        object.__setattr__(self, "labels", self.head.labels(self.labels, len(features)))


class Queries(NamedTuple):
    """Pictures whose answers are explained."""

    features: Sequence[np.ndarray]
    """(q, d) at each checkpoint."""
    targets: np.ndarray
    """(q,): indices of targets."""


class Fitted(Protocol):
    """An estimator with the training images."""

    notes: list[str]
    """The settings used, in sentences."""

    def scores(self, queries: Queries) -> np.ndarray:
        """Return the influence of each training image on each picture's target, (q, n): positive where it helps."""

    def self_influence(self) -> np.ndarray:
        """Return the influence of each training image on its own label, (n,).

        Raises:
            Unsupported: the estimator has none.
        """


@dataclass(eq=False, repr=False)
class Estimator(Parameters):
    """The base of all estimators of influence: values with checked fields, as methods are."""

    title: ClassVar[str] = ""
    """Its name in a sentence."""
    paper: ClassVar[str] = ""
    """Its number on arXiv."""
    unit: ClassVar[str] = ""
    """What a score is, in words."""
    checkpoints: ClassVar[bool] = False
    """Whether it uses checkpoints of the training; the others use the model alone."""

    @abstractmethod
    def fit(self, snapshots: Sequence[Snapshot]) -> Fitted:
        """Return the estimator with the training images at each checkpoint, the last one that of the model."""
