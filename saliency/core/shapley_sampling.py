"""Shapley value sampling: Shapley values from random orders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency.core.features import Attribution, Game, SamplingMethod
from saliency.core.method import LARGEST_SEED, parameter

PAIRS = 5
"""Number of antithetic pairs of orders before their standard errors are first compared."""


@dataclass(eq=False, repr=False)
class ShapleySampling(SamplingMethod):
    """Each segment's marginal contribution, averaged over random orders of joining (doi:10.1016/j.cor.2008.04.004).

    Every second order is the reverse of the one before: antithetic pairs reduce the variance (Mitchell et al., JMLR
    2022). The values sum to f(image) - f(baseline) for any sample. Cost: `samples` * (d - 1) + 2 forward passes per
    baseline for d segments; fewer with `until`.
    """

    id = "shapley_sampling"
    title = "Shapley value sampling"
    paper = "doi:10.1016/j.cor.2008.04.004"
    family = "perturbation"
    formula = r"M_p = \frac{1}{n} \sum_{\pi} \bigl(f(x_{\pi_{\le i}}) - f(x_{\pi_{<i}})\bigr), \quad p \in i"
    advice = (
        "Shapley values for any number of segments, unbiased from the first order on, with reliable standard errors. "
        "KernelSHAP is usually more accurate for the same number of images."
    )
    complete = True

    samples: int = parameter(20, "Number of orders; every second one reverses the one before", low=1, high=100_000)
    seed: int = parameter(0, "Random seed", low=0, high=LARGEST_SEED)

    def attribute(self, game: Game[Any]) -> Iterator[Attribution]:
        players = game.players
        orders = np.stack([self.order(i, players) for i in range(self.samples)])
        # of each order, the coalitions after 1 … d-1 segments; the empty and the full one are evaluated once
        joined = np.argsort(orders, 1)[:, None] < np.arange(1, players)[:, None]
        ends = np.repeat([[False], [True]], players, 1)

        def estimate(worth: np.ndarray) -> Attribution | None:
            done = (worth.shape[1] - 2) // (players - 1) if players > 1 else self.samples
            if done < 1:
                return None
            chains = worth[:, 2 : 2 + done * (players - 1)].reshape(len(worth), done, players - 1)
            none, all_ = (np.broadcast_to(worth[:, i, None, None], (*chains.shape[:2], 1)) for i in (0, 1))
            steps = np.diff(np.concatenate([none, chains, all_], 2), axis=2)
            marginal = np.take_along_axis(steps, np.argsort(orders[:done], 1)[None], 2)
            return Attribution(marginal.mean(1), _error(marginal))

        coalitions = np.concatenate([ends, joined.reshape(-1, players)])
        yield from self.estimates(game, coalitions, estimate, max(1, 2 * (players - 1)), PAIRS)

    def order(self, index: int, players: int) -> np.ndarray:
        """Return order `index` in which segments join: a permutation, or for odd numbers the previous one reversed."""
        drawn = np.random.default_rng([self.seed, index // 2]).permutation(players)
        return drawn[::-1] if index % 2 else drawn

    def cost(self, shape: tuple[int, ...]) -> int:
        return shape[0] * self.evaluations(self.samples * (self.players(shape) - 1) + 2)


def _error(marginal: np.ndarray) -> np.ndarray | None:
    """Return the standard error of the mean of (k, orders, d); each antithetic pair is one draw."""
    pairs = marginal.shape[1] // 2
    if pairs < 2:
        return None
    means = marginal[:, : 2 * pairs].reshape(len(marginal), pairs, 2, -1).mean(2)
    error: np.ndarray = means.std(1, ddof=1) / np.sqrt(pairs)
    return error
