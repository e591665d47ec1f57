"""Sobol indices: each segment's share of the score's variance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency.core.features import Attribution, Game, SensitivityMethod
from saliency.core.method import LARGEST_SEED, parameter


@dataclass(eq=False, repr=False)
class Sobol(SensitivityMethod):
    """Total Sobol indices: the share of the score's variance that involves a segment (arXiv:2111.04138, eq. 4).

    All segments fade at random: they are visible to a degree in [0, 1], from a scrambled Sobol sequence. Jansen's
    estimator. Unsigned: evidence for and against the target count alike. Cost: `samples` * (d + 2) forward passes per
    baseline for d segments.
    """

    id = "sobol"
    title = "Sobol indices"
    paper = "arXiv:2111.04138"
    family = "perturbation"
    formula = (
        r"M_p = \frac{\mathbb{E}\bigl[\operatorname{Var}(f \mid m_{\setminus "
        r"i})\bigr]}{\operatorname{Var}(f)}, \quad p \in i"
    )
    advice = (
        "Includes interactions of any order. Without sign, and each design costs as many images as there are segments: "
        "hsic is cheaper if only the order of the segments matters."
    )

    samples: int = parameter(32, "Number of designs (points of the sequence), best a power of two", low=2, high=100_000)
    seed: int = parameter(0, "Random seed for scrambling the sequence", low=0, high=LARGEST_SEED)

    def attribute(self, game: Game[Any]) -> Iterator[Attribution]:
        players = game.players
        points = sequence(2 * players, self.samples, self.seed)
        first, second = points[:, :players], points[:, players:]
        # of each design: the first point, the second, and the first with one entry at a time from the second
        mixed = np.where(np.eye(players, dtype=bool), second[:, None], first[:, None])
        designs = np.concatenate([first[:, None], second[:, None], mixed], 1)
        for worth in game.worth(designs.reshape(-1, players)):
            done = worth.shape[1] // (players + 2)
            if done >= 2:
                yield jansen(worth[:, : done * (players + 2)].reshape(len(worth), done, players + 2))

    def cost(self, shape: tuple[int, ...]) -> int:
        return shape[0] * self.evaluations(self.samples * (self.players(shape) + 2))


def sequence(dimensions: int, points: int, seed: int) -> np.ndarray:
    """Return the beginning of a scrambled Sobol sequence, (points, dimensions) in [0, 1)."""
    from scipy.stats import qmc

    # the sampler warns unless the length is a power of two: generate one, and return the beginning
    drawn = qmc.Sobol(dimensions, seed=np.random.default_rng(seed)).random_base2((points - 1).bit_length())
    return np.asarray(drawn[:points])


def jansen(scores: np.ndarray) -> Attribution:
    """Return total indices by Jansen's estimator (1999): half the mean square of one entry's effect, over the variance.

    Args:
        scores: (k, n, 2 + d): of the first point, the second, and the first with each entry of the second.

    Returns:
        indices (k, d), with the standard errors of a ratio of means (accurate for independent points, an upper bound
        for a sequence). A score without variance has zero indices.
    """
    count = scores.shape[1]
    changes = 0.5 * (scores[:, :, 2:] - scores[:, :, :1]) ** 2
    ends = scores[:, :, :2]
    away = ((ends - ends.mean((1, 2), keepdims=True)) ** 2).sum(2, keepdims=True) / (2 - 1 / count)
    variance = away.mean(1)
    safe = np.where(variance > 0, variance, 1.0)
    values = changes.mean(1) / safe
    apart = (changes - values[:, None] * away) / safe[:, None]
    return Attribution(values, apart.std(1, ddof=1) / np.sqrt(count))
