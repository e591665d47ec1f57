"""Integrated Gradients that count where the decision is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency.core.idgi import PathReading
from saliency.core.method import parameter
from saliency.core.paths import Trail
from saliency.session.session import Session


@dataclass(eq=False, repr=False)
class IntegratedDecisionGradients(PathReading):
    """Gradients along the path, each counting as much as the score rises there (arXiv:2305.20052).

    Where the score is saturated, gradients are noise and count for little. Half of the nodes lie evenly, the others
    where the score changes most: the paper's adaptive sampling, but with every node used. The mask sums to the mean
    square of the score's slope, not to a difference of scores. As many forward and backward passes as the path has
    nodes.
    """

    id = "idg"
    title = "Integrated Decision Gradients"
    paper = "arXiv:2305.20052"
    formula = r"M = \int_0^1 \nabla f(\gamma) \odot \frac{d\gamma}{d\alpha}\, \frac{d f(\gamma)}{d\alpha}\, d\alpha"
    advice = (
        "Where the score saturates long before the image is reached, and Integrated Gradients is noisy. Not complete: "
        "read which values matter, not by how much."
    )

    adaptive: bool = parameter(True, "half of the nodes evenly, the others where the score changes most")

    def read(self, trail: Trail[Any], session: Session[Any]) -> Any:
        alphas, scores, gradients = trail.sorted()
        slopes, ways = np.diff(scores) / np.diff(alphas), trail.path.ways(alphas)
        total: Any = 0.0 * gradients[0]
        for i, slope in enumerate(slopes):
            total = total + float(slope) * gradients[i] * ways[i : i + 1]
        return total
