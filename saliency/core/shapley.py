"""Shapley values by definition: exact for few segments, and the reference for tests of the estimators."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency.core.features import Attribution, FeatureMethod, Game
from saliency.core.method import LARGEST_SEED, parameter
from saliency.errors import BadField

MOST = 16
"""Maximum number of segments: 2^16 = 65,536 images."""


@dataclass(eq=False, repr=False)
class Shapley(FeatureMethod):
    """Each segment's marginal contribution, averaged over all orders (Shapley 1953; arXiv:1705.07874, eq. 4).

    That is the mean over coalition sizes of the mean over all coalitions of that size. The values sum to
    f(image) - f(baseline); equal segments have equal values, and a segment without any effect has zero. Cost: 2^d
    forward passes per baseline for d segments.
    """

    id = "shapley"
    title = "Shapley values"
    paper = "arXiv:1705.07874"
    family = "perturbation"
    formula = (
        r"M_p = \sum_{S \not\ni i} \frac{|S|!\,(d-|S|-1)!}{d!} \bigl(f(x_{S \cup i}) - "
        r"f(x_S)\bigr), \quad p \in i"
    )
    advice = (
        "The exact reference for a few parts, such as objects outlined by hand: nothing is sampled. The cost doubles "
        "with each segment; beyond sixteen use kernel_shap."
    )
    complete = True

    features: int = parameter(8, "Number of segments of a named segmentation", low=1, high=MOST)
    seed: int = parameter(0, "Random seed for the order of evaluation", low=0, high=LARGEST_SEED)

    def attribute(self, game: Game[Any]) -> Iterator[Attribution]:
        players = game.players
        if players > MOST:
            raise BadField(
                f"Shapley evaluates all 2^{players} coalitions of {players} segments, and allows at most {MOST} "
                "segments. kernel_shap, shapley_sampling and partition_shap estimate the same values for more."
            )
        order = np.random.default_rng(self.seed).permutation(1 << players)
        coalitions = (order[:, None] >> np.arange(players)) & 1 > 0
        for worth in game.worth(coalitions):
            known = np.full((len(worth), 1 << players), np.nan)
            known[:, order[: worth.shape[1]]] = worth
            yield stratified(known)

    def cost(self, shape: tuple[int, ...]) -> int:
        return shape[0] * self.evaluations(1 << self.players(shape))


def stratified(worth: np.ndarray) -> Attribution:
    """Return Shapley values from the values of coalitions (k, 2^d), indexed by their bits; NaN if not evaluated yet.

    For each coalition size, the mean marginal contribution over those evaluated with and without the segment. The
    standard error is that of a sample drawn without replacement, which is zero once all are known.
    """
    targets, total = worth.shape
    players = total.bit_length() - 1
    sizes = np.array([index.bit_count() for index in range(total)])
    values, errors = np.zeros((2, targets, players))
    for feature in range(players):
        without = np.flatnonzero(~np.arange(total) >> feature & 1)
        marginal = worth[:, without | 1 << feature] - worth[:, without]
        known = np.isfinite(marginal[0])
        strata, there = sizes[without], sizes[without][known]
        counts, all_ = np.bincount(there, minlength=players), np.bincount(strata, minlength=players)
        weight = (counts > 0) / max(1, int(np.count_nonzero(counts)))
        for i, found in enumerate(marginal[:, known]):
            means = np.bincount(there, found, players) / np.maximum(counts, 1)
            squares = np.bincount(there, (found - means[there]) ** 2, players) / np.maximum(counts - 1, 1)
            values[i, feature] = weight @ means
            errors[i, feature] = np.sqrt(weight**2 @ (squares * (1 - counts / all_) / np.maximum(counts, 1)))
    return Attribution(values, errors)
