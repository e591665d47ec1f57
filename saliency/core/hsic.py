"""How much the score depends on whether a feature is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency.core.features import Attribution, Game, SensitivityMethod
from saliency.core.method import LARGEST_SEED, parameter


@dataclass(eq=False, repr=False)
class Hsic(SensitivityMethod):
    """How far the score depends on a feature's presence, by Hilbert-Schmidt independence (arXiv:2206.06219, eq. 4).

    Each feature is there with probability ½; the kernels are ½ for equal and -½ for unequal presence, and a Gaussian of
    the scores whose width is their median distance. Unsigned, and it sees dependence that no variance tells. `samples`
    forward passes for each baseline, however many features there are.
    """

    id = "hsic"
    title = "HSIC"
    paper = "arXiv:2206.06219"
    family = "perturbation"
    formula = r"M_p = \frac{1}{(n-1)^2} \operatorname{tr}(K_i H L H), \quad p \in i"
    advice = (
        "The important cells from few images, and the same number for any grid. No sign, and no unit: read the order "
        "of the cells."
    )

    samples: int = parameter(500, "coalitions drawn", low=4, high=10_000)
    seed: int = parameter(0, "of the coalitions", low=0, high=LARGEST_SEED)

    def attribute(self, game: Game[Any]) -> Iterator[Attribution]:
        # independent draws: the first bits of a low-discrepancy sequence, which are all that a coalition takes of it,
        # are the same in many of its dimensions
        drawn = [np.random.default_rng([self.seed, i]).random(game.players) < 0.5 for i in range(self.samples)]
        coalitions = np.array(drawn)
        for worth in game.worth(coalitions):
            if (n := worth.shape[1]) >= 4:
                yield dependence(coalitions[:n], worth)

    def cost(self, shape: tuple[int, ...]) -> int:
        return shape[0] * self.questions(self.samples)


def dependence(coalitions: np.ndarray, scores: np.ndarray) -> Attribution:
    """HSIC of each feature's presence with the scores: tr(K H L H) / (n - 1)².

    Args:
        coalitions: (n, d), bool.
        scores: (k, n).

    Returns:
        (k, d), with the standard errors of the mean over draws of what each contributes, twice, for a draw stands in
        both of a pair's places.
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
        # K is ½ times the outer product of a feature's signs with themselves
        each = 0.5 * signs * (centred @ signs) * (n / (n - 1) ** 2)
        values.append(each.sum(0) / n)
        errors.append(2 * each.std(0, ddof=1) / np.sqrt(n))
    return Attribution(np.array(values), np.array(errors))
