"""A linear model of the score in the presence of features, near the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency.core.features import Attribution, FeatureMethod, Game
from saliency.core.method import LARGEST_SEED, parameter


@dataclass(eq=False, repr=False)
class Lime(FeatureMethod):
    """Weights of the linear model that best tells the score from which features are present (arXiv:1602.04938, eq. 1).

    Coalitions hold each feature with probability ½, the image itself is the first; each counts exp(-D² / width²), where
    D is its cosine distance from the image. Ridge regression with a free intercept. `samples` forward passes for each
    baseline.
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
        "Known everywhere, quick to read. What it finds depends on the width and the segments; kernel_shap asks "
        "the same of the model and leaves less to choose."
    )

    samples: int = parameter(1000, "coalitions, the image itself among them", low=2, high=1_000_000)
    width: float = parameter(0.25, "how fast coalitions count less as they leave the image", low=1e-3)
    ridge: float = parameter(1.0, "penalty on the squares of the weights", low=0)
    seed: int = parameter(0, "of the coalitions", low=0, high=LARGEST_SEED)

    def attribute(self, game: Game[Any]) -> Iterator[Attribution]:
        drawn = [np.random.default_rng([self.seed, i]).random(game.players) < 0.5 for i in range(self.samples - 1)]
        coalitions = np.array([np.ones(game.players, bool), *drawn])
        distances = 1 - np.sqrt(coalitions.mean(1))
        weights = np.exp(-((distances / self.width) ** 2))
        for worth in game.worth(coalitions):
            n = worth.shape[1]
            yield ridge_regression(coalitions[:n].astype(np.float64), worth, weights[:n], self.ridge)

    def cost(self, shape: tuple[int, ...]) -> int:
        return shape[0] * self.questions(self.samples)


def ridge_regression(x: np.ndarray, y: np.ndarray, weights: np.ndarray, ridge: float) -> Attribution:
    """Minimise Σ w (y - b - x·φ)² + ridge |φ|² over φ and b, in closed form.

    Args:
        x: (n, d).
        y: (k, n).
        weights: (n,).
        ridge: not on the intercept.

    Returns:
        φ (k, d), with standard errors that hold whatever the noise is (White's sandwich, HC1).
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
