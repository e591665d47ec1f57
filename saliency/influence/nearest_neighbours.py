"""Nearest neighbours in the features, signed by their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency.errors import Unsupported
from saliency.influence.estimator import Estimator, Fitted, Queries, Snapshot
from saliency.influence.head import chunks


@dataclass(eq=False, repr=False)
class NearestNeighbours(Estimator):
    """The cosine of an image's features with those of the picture: positive for the target's label, else negative.

    No gradient and no Hessian: immediate, and independent of the weights of the head.
    """

    id: ClassVar[str] = "nearest"
    title: ClassVar[str] = "signed nearest neighbours"
    unit: ClassVar[str] = "cosine of the features, negative for other labels"

    def fit(self, snapshots: Sequence[Snapshot]) -> Fitted:
        return _Fitted(snapshots[-1])


class _Fitted:
    def __init__(self, trained: Snapshot) -> None:
        self._trained = trained
        self.notes = ["cosine of the features; no influence on the training is estimated"]

    def scores(self, queries: Queries) -> np.ndarray:
        own, features, labels = queries.features[-1], self._trained.features, self._trained.labels
        found = np.empty((len(own), len(features)))
        for part in chunks(len(features), features.shape[1]):
            found[:, part] = unit_rows(own) @ unit_rows(features[part]).T
        same = labels[:, queries.targets].T == 1 if labels.ndim == 2 else labels[None] == queries.targets[:, None]
        return np.where(same, found, -found)

    def self_influence(self) -> np.ndarray:
        raise Unsupported(
            "Nearest neighbours have no self-influence: every image is its own neighbour. Use method='influence'."
        )


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Return rows (…, d) scaled to unit length, float64; rows of zeros stay zero."""
    wide = rows.astype(np.float64)
    norms = np.sqrt((wide**2).sum(-1, keepdims=True))
    return np.asarray(wide / np.where(norms > 0, norms, 1))
