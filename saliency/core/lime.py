"""LIME: a linear model of the score in the presence of segments, near the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency.core.features import Attribution, FeatureMethod, Game
from saliency.core.method import LARGEST_SEED, parameter


@dataclass(eq=False, repr=False)
class Lime(FeatureMethod):
    """Weights of the linear model that best predicts the score from the present segments (arXiv:1602.04938, eq. 1).

    Coalitions contain each segment with probability ½; the first one is the image itself. The weight of a coalition is
    exp(-D² / width²), with D its cosine distance from the image. Ridge regression with a free intercept. Cost:
    `samples` forward passes per baseline.
    """

    id = "lime"
    title = "LIME"
    paper = "arXiv:1602.04938"
    family = "perturbation"
    formula = (
        r"M_p = w_i, \quad w = \arg\min_{w, b} \sum_S e^{-D(S)^2/\sigma^2} \Bigl(f(x_S) - b - "
        r"\sum_{j \in S} w_j\Bigr)^2 + \lambda \|w\|^2"
    )
    advice = (
        "Widely known, quick to read. The result depends on the width and the segments; kernel_shap uses the same "
        "evaluations with fewer choices to make."
    )

    samples: int = parameter(1000, "Number of coalitions, including the full image", low=2, high=1_000_000)
    width: float = parameter(0.25, "Width of the kernel: how fast weights decrease away from the image", low=1e-3)
    ridge: float = parameter(1.0, "Penalty on the squared weights", low=0)
    seed: int = parameter(0, "Random seed", low=0, high=LARGEST_SEED)

    def attribute(self, game: Game[Any]) -> Iterator[Attribution]:
        drawn = [np.random.default_rng([self.seed, i]).random(game.players) < 0.5 for i in range(self.samples - 1)]
        coalitions = np.array([np.ones(game.players, bool), *drawn])
        distances = 1 - np.sqrt(coalitions.mean(1))
        weights = np.exp(-((distances / self.width) ** 2))
        for worth in game.worth(coalitions):
            n = worth.shape[1]
            yield ridge_regression(coalitions[:n].astype(np.float64), worth, weights[:n], self.ridge)

    def cost(self, shape: tuple[int, ...]) -> int:
        return shape[0] * self.evaluations(self.samples)


def ridge_regression(x: np.ndarray, y: np.ndarray, weights: np.ndarray, ridge: float) -> Attribution:
    """Minimize Σ w (y - b - x·φ)² + ridge |φ|² over φ and b, in closed form.

    Args:
        x: (n, d).
        y: (k, n).
        weights: (n,).
        ridge: penalty, which excludes the intercept.

    Returns:
        φ (k, d), with heteroscedasticity-robust standard errors (White's sandwich, HC1).
    """
    n, d = x.shape
    share = weights / weights.sum()
    centred, away = x - share @ x, y - (y @ share)[:, None]
    weighed = centred * weights[:, None]
    inverse = np.linalg.pinv(centred.T @ weighed + ridge * np.eye(d), hermitian=True)
    values = away @ weighed @ inverse
    if n <= d + 1:
        return Attribution(values)
    residuals = away - values @ centred.T
    bread = weighed @ inverse
    return Attribution(values, np.sqrt((residuals**2 @ bread**2) * n / (n - d - 1)))
