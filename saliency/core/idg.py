"""Integrated Decision Gradients: gradients weighted by the slope of the score along the path."""

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
    """Gradients along the path, each weighted by the slope of the score at that point (arXiv:2305.20052).

    Where the score is saturated, gradients are noise and get little weight. Half of the steps are evenly spaced, the
    others are placed where the score changes most: the paper's adaptive sampling, with every step used. The mask sums
    to the mean square of the score's slope, not to a difference of scores. Cost: one forward and backward pass per step
    of the path.
    """

    id = "idg"
    title = "Integrated Decision Gradients"
    paper = "arXiv:2305.20052"
    formula = r"M = \int_0^1 \nabla f(\gamma) \odot \frac{d\gamma}{d\alpha}\, \frac{d f(\gamma)}{d\alpha}\, d\alpha"
    advice = (
        "Use it where the score saturates long before the end of the path, and Integrated Gradients is noisy. Not "
        "complete: it shows which values matter, not by how much."
    )

    adaptive: bool = parameter(True, "Place half of the steps evenly, the others where the score changes most")

    def read(self, trail: Trail[Any], session: Session[Any]) -> Any:
        alphas, scores, gradients = trail.sorted()
        slopes, ways = np.diff(scores) / np.diff(alphas), trail.path.ways(alphas)
        total: Any = 0.0 * gradients[0]
        for i, slope in enumerate(slopes):
            total = total + float(slope) * gradients[i] * ways[i : i + 1]
        return total
