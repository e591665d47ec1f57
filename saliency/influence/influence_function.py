"""The influence function of the head (Koh and Liang 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency.core.parameters import parameter
from saliency.influence.curvature import EKFAC, LARGEST_EXACT, RELATIVE, Curvature, Exact, Span, implied_decay
from saliency.influence.estimator import Estimator, Fitted, Queries, Snapshot
from saliency.influence.head import MEASURES, chunks

SOLVERS = ("auto", "exact", "ekfac")

FOUND = "the weight decay with which the head minimises the loss of these images"
UNKNOWN = (
    f"{RELATIVE} × the mean eigenvalue of the Hessian, since the head is not at a minimum of the loss of these images; "
    "pass damping= if the weight decay is known"
)


@dataclass(eq=False, repr=False)
class InfluenceFunction(Estimator):
    """The change of the target's measure by training with an image instead of without it, to first order.

    −∇m(z)ᵀ (H + λ)⁻¹ ∇ℓ(zᵢ) / n over the weights and biases of the head, with the features fixed; H is the Hessian of
    the mean loss (arXiv:1703.04730). For a head that minimises the mean loss plus λ / 2 ‖θ‖² it estimates retraining
    without the image. It does not include the image's influence on the features.
    """

    id: ClassVar[str] = "influence"
    title: ClassVar[str] = "influence function of the head"
    paper: ClassVar[str] = "1703.04730"
    unit: ClassVar[str] = "change of the {measure} by training with the image"

    measure: str = parameter("margin", "what of the target is explained", choices=MEASURES)
    damping: float | None = parameter(
        None, "λ: the weight decay of the training; None: found from the weights, else 0.1 × H's mean eigenvalue", low=0
    )
    solver: str = parameter("auto", "inverse of the Hessian; auto: exact up to 10,000 weights", choices=SOLVERS)

    def fit(self, snapshots: Sequence[Snapshot]) -> Fitted:
        return _Fitted(self, snapshots[-1])


class _Fitted:
    def __init__(self, method: InfluenceFunction, trained: Snapshot) -> None:
        self._measure, self._trained = method.measure, trained
        head, features = trained.head, trained.features
        self._span = Span(features)
        count = head.outputs * self._span.size
        exact = method.solver == "exact" or (method.solver == "auto" and count <= LARGEST_EXACT)
        decay = implied_decay(head, features, trained.labels) if method.damping is None else method.damping
        self._curvature: Curvature = (Exact if exact else EKFAC)(head, features, self._span, decay)
        source = "" if method.damping is not None else f" ({UNKNOWN if decay is None else FOUND})"
        self.notes = [
            "the influence is that on the last, linear layer: the features are fixed",
            f"{'exact' if exact else 'EK-FAC'} Hessian of {count} numbers, λ = {self._curvature.damping:.3g}{source}",
        ]

    def scores(self, queries: Queries) -> np.ndarray:
        head, own = self._trained.head, queries.features[-1]
        upward = head.directions(own, queries.targets, self._measure)
        solved = np.concatenate(
            [
                self._curvature.solve(upward[some, :, None] * self._span.rows(own[some])[:, None])
                for some in chunks(len(own), head.outputs * self._span.size)
            ]
        )
        count = len(self._trained.features)
        found = np.empty((len(own), count))
        for part in chunks(count, head.width + head.outputs):
            features = self._trained.features[part]
            residuals, rows = head.residuals(features, self._trained.labels[part]), self._span.rows(features)
            for i, each in enumerate(solved):
                found[i, part] = -(residuals * (rows @ each.T)).sum(1) / count
        return found

    def self_influence(self) -> np.ndarray:
        trained, count = self._trained, len(self._trained.features)
        found = np.empty(count)
        for part in chunks(count, trained.head.width + trained.head.outputs):
            features = trained.features[part]
            residuals = trained.head.residuals(features, trained.labels[part])
            found[part] = self._curvature.quadratic(residuals, self._span.rows(features)) / count
        return found
