"""HSIC: the dependence of the score on the presence of each segment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency.core.features import Attribution, Game, SensitivityMethod
from saliency.core.method import LARGEST_SEED, parameter


@dataclass(eq=False, repr=False)
class Hsic(SensitivityMethod):
    """The dependence of the score on a segment's presence, by the Hilbert-Schmidt criterion (arXiv:2206.06219, eq. 4).

    Each segment is present with probability ½. The kernels are ½ for equal and -½ for unequal presence, and a Gaussian
    of the scores with their median distance as its width. Unsigned; detects dependence beyond the variance. Cost:
    `samples` forward passes per baseline, for any number of segments.
    """

    id = "hsic"
    title = "HSIC"
    paper = "arXiv:2206.06219"
    family = "perturbation"
    formula = r"M_p = \frac{1}{(n-1)^2} \operatorname{tr}(K_i H L H), \quad p \in i"
    advice = (
        "Finds the important cells with few images, whose number does not depend on the grid. Without sign or unit: "
        "only the order of the cells is meaningful."
    )

    samples: int = parameter(500, "Number of random coalitions", low=4, high=10_000)
    seed: int = parameter(0, "Random seed", low=0, high=LARGEST_SEED)

    def attribute(self, game: Game[Any]) -> Iterator[Attribution]:
        # independent draws: coalitions use only the first bits of a low-discrepancy sequence, which are the same in
        # many of its dimensions
        drawn = [np.random.default_rng([self.seed, i]).random(game.players) < 0.5 for i in range(self.samples)]
        coalitions = np.array(drawn)
        for worth in game.worth(coalitions):
            if (n := worth.shape[1]) >= 4:
                yield dependence(coalitions[:n], worth)

    def cost(self, shape: tuple[int, ...]) -> int:
        return shape[0] * self.evaluations(self.samples)


def dependence(coalitions: np.ndarray, scores: np.ndarray) -> Attribution:
    """Return the HSIC of each segment's presence with the scores: tr(K H L H) / (n - 1)².

    Args:
        coalitions: (n, d), bool.
        scores: (k, n).

    Returns:
        (k, d), with the standard errors of the mean of the draws' contributions, doubled because each draw is in both
        places of a pair.
    """
    n = len(coalitions)
    signs = coalitions - 0.5
    signs = 2 * (signs - signs.mean(0))
    values, errors = [], []
    for row in scores:
        apart = np.abs(row[:, None] - row)
        width = np.median(apart[np.triu_indices(n, 1)]) or apart.max() or 1.0
        alike = np.exp(-((apart / width) ** 2) / 2)
        centred = alike - alike.mean(0)
        # K is ½ times the outer product of a segment's signs with themselves
        each = 0.5 * signs * (centred @ signs) * (n / (n - 1) ** 2)
        values.append(each.sum(0) / n)
        errors.append(2 * each.std(0, ddof=1) / np.sqrt(n))
    return Attribution(np.array(values), np.array(errors))
