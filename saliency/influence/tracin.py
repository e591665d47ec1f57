"""TracIn over the last layer (Pruthi et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency.influence.estimator import Estimator, Fitted, Queries, Snapshot
from saliency.influence.head import chunks, with_one


@dataclass(eq=False, repr=False)
class TracIn(Estimator):
    """Σ over checkpoints of rate · ∇ℓ(z) · ∇ℓ(zᵢ), over the weights and biases of the last layer (arXiv:2002.08484).

    It estimates by how much the steps of training with the image have lowered the loss of the target.
    """

    id: ClassVar[str] = "tracin"
    title: ClassVar[str] = "TracIn over the last layer"
    paper: ClassVar[str] = "2002.08484"
    unit: ClassVar[str] = "decrease of the loss by steps with the image"
    checkpoints: ClassVar[bool] = True

    def fit(self, snapshots: Sequence[Snapshot]) -> Fitted:
        return _Fitted(snapshots)


class _Fitted:
    def __init__(self, snapshots: Sequence[Snapshot]) -> None:
        self._snapshots = snapshots
        count = len(snapshots)
        self.notes = [
            f"{count} checkpoint{'s' if count > 1 else ''}; gradients of the last, linear layer, bias included",
        ]

    def scores(self, queries: Queries) -> np.ndarray:
        found = np.zeros((len(queries.targets), len(self._snapshots[0].features)))
        for own, trained in zip(queries.features, self._snapshots, strict=True):
            head = trained.head
            upward, rows = head.directions(own, queries.targets, "log_probability"), with_one(own)
            for part in chunks(len(trained.features), head.width + head.outputs + len(own)):
                features = trained.features[part]
                residuals = head.residuals(features, trained.labels[part])
                found[:, part] -= trained.rate * (upward @ residuals.T) * (rows @ with_one(features).T)
        return found

    def self_influence(self) -> np.ndarray:
        found = np.zeros(len(self._snapshots[0].features))
        for trained in self._snapshots:
            for part in chunks(len(trained.features), trained.head.width + trained.head.outputs):
                features = trained.features[part]
                residuals = trained.head.residuals(features, trained.labels[part])
                found[part] += trained.rate * (residuals**2).sum(1) * (with_one(features) ** 2).sum(1)
        return found
