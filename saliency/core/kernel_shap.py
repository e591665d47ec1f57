"""KernelSHAP: Shapley values by a weighted regression."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb
from typing import Any, NamedTuple

import numpy as np

from saliency.core.features import Attribution, Game, SamplingMethod
from saliency.core.method import LARGEST_SEED, parameter


@dataclass(eq=False, repr=False)
class KernelShap(SamplingMethod):
    """Shapley values as the additive model that best fits the values of coalitions (arXiv:1705.07874, theorem 2).

    Coalitions are evaluated together with their complements. Sizes are enumerated completely as far as the samples
    allow, the smallest and largest coalitions first, because they have the largest weights; of the other sizes a random
    sample without repetition is drawn. Exact once `samples` reaches 2^d for d segments. The values always sum to
    f(image) - f(baseline). Cost: `samples` forward passes per baseline, or 2^d if that is less; fewer with `until`.
    """

    id = "kernel_shap"
    title = "KernelSHAP"
    paper = "arXiv:1705.07874"
    family = "perturbation"
    formula = (
        r"M_p = \varphi_i, \quad \varphi = \arg\min \sum_S "
        r"\frac{d-1}{\binom{d}{|S|}\,|S|\,(d-|S|)} \Bigl(f(x_S) - f(x_\varnothing) - \sum_{j \in "
        r"S} \varphi_j\Bigr)^2"
    )
    advice = (
        "A fair share for each superpixel, which sum to the difference of the scores: the usual choice for a black box "
        "with a budget of some hundred images. Reliable signs need several images per segment."
    )
    complete = True

    samples: int = parameter(1000, "Number of coalitions, including the empty and the full one", low=4, high=1_000_000)
    seed: int = parameter(0, "Random seed", low=0, high=LARGEST_SEED)

    def attribute(self, game: Game[Any]) -> Iterator[Attribution]:
        design = Design.drawn(game.players, self._pairs(game.players), np.random.default_rng(self.seed))
        ends = np.repeat([[False], [True]], game.players, 1)
        both = np.stack([design.coalitions, ~design.coalitions], 1).reshape(-1, game.players)

        def estimate(worth: np.ndarray) -> Attribution | None:
            pairs = (worth.shape[1] - 2) // 2
            # fewer pairs than segments leave most values undetermined
            enough = pairs >= min(game.players, len(design.coalitions))
            return regression(design, pairs, worth[:, : 2 + 2 * pairs]) if enough else None

        # with twice as many pairs as segments, the residuals give the standard errors
        yield from self.estimates(game, np.concatenate([ends, both]), estimate, 2, 2 * game.players)

    def _pairs(self, players: int) -> int:
        return min(self.samples // 2, 1 << players - 1) - 1

    def cost(self, shape: tuple[int, ...]) -> int:
        return shape[0] * self.evaluations(2 + 2 * self._pairs(self.players(shape)))


class Design(NamedTuple):
    """The coalitions to evaluate, their order, and their weights."""

    coalitions: np.ndarray
    """(p, d), bool: one of each pair of complements."""
    strata: np.ndarray
    """(p,): index of each pair's stratum. The last stratum is a sample with replacement, the others are complete."""
    mass: np.ndarray
    """(strata,): share of Shapley's kernel in each stratum."""
    draws: np.ndarray
    """Pairs of the last stratum in the order drawn, by the index of their first appearance."""

    @staticmethod
    def drawn(players: int, pairs: int, random: np.random.Generator) -> Design:
        """Return a design of `pairs` distinct pairs of complementary coalitions."""
        sizes = np.arange(1, players // 2 + 1)
        middle = 2 * sizes == players
        counts = [comb(players, int(size)) // (1 + int(half)) for size, half in zip(sizes, middle, strict=True)]
        mass = (players - 1) / (sizes * (players - sizes)) * np.where(middle, 0.5, 1.0)
        mass = mass / mass.sum()
        left, found, strata = pairs, [np.zeros((0, players), bool)], [np.zeros(0, int)]
        whole = 0
        # a size is enumerated if a sample of the same cost would be expected to contain all of it
        while whole < len(sizes) and left * mass[whole] / mass[whole:].sum() >= counts[whole] * (1 - 1e-9):
            found.append(_all_of_size(players, whole + 1))
            strata.append(np.full(counts[whole], whole))
            left -= counts[whole]
            whole += 1
        if left >= sum(counts[whole:]):
            for i in range(whole, len(sizes)):
                found.append(_all_of_size(players, i + 1))
                strata.append(np.full(counts[i], i))
            whole, left = len(sizes), 0
        sample, draws = _sample(players, left, sizes[whole:], mass[whole:], random)
        found.append(sample)
        strata.append(np.full(len(sample), whole))
        order = random.permutation(pairs)
        coalitions, numbers = np.concatenate(found)[order], np.concatenate(strata)[order]
        # in the sample, pairs drawn first stay first
        coalitions[numbers == whole] = sample
        return Design(coalitions, numbers, np.append(mass[:whole], mass[whole:].sum()), draws)


def _all_of_size(players: int, size: int) -> np.ndarray:
    """Return every coalition of a size; every second one if complements have the same size: (n, d)."""
    from itertools import combinations

    rows = [row for row in combinations(range(players), size) if 2 * size < players or row[0] == 0]
    found = np.zeros((len(rows), players), bool)
    np.put_along_axis(found, np.array(rows), True, 1)
    return found


def _sample(
    players: int, wanted: int, sizes: np.ndarray, mass: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw pairs with replacement until `wanted` distinct ones are found: return these (wanted, d), and all draws."""
    seen: dict[bytes, int] = {}
    kept: list[np.ndarray] = []
    draws: list[int] = []
    while len(kept) < wanted:
        size = random.choice(sizes, wanted, p=mass / mass.sum())
        rows = np.argsort(random.random((wanted, players)), 1).argsort(1) < size[:, None]
        # of two complementary halves, one represents both
        rows = np.where((2 * size == players)[:, None] & ~rows[:, :1], ~rows, rows)
        for row in rows:
            number = seen.setdefault(np.packbits(row).tobytes(), len(kept))
            if number == len(kept):
                if len(kept) == wanted:
                    break
                kept.append(row)
            draws.append(number)
    return np.array(kept, bool).reshape(-1, players), np.array(draws, int)


def regression(design: Design, pairs: int, worth: np.ndarray) -> Attribution:
    """Fit an additive model, exact for no and for all segments, to the first `pairs` of a design.

    Each stratum has its share of the kernel as weight, however many of its pairs were evaluated. The standard errors
    are those of the sample: the residuals of the pairs within strata; completely evaluated strata add none.

    Args:
        worth: (k, 2 + 2 * pairs): the values of the empty coalition, of the full one, and of each pair.
    """
    players = design.coalitions.shape[1]
    none, all_ = worth[:, :1], worth[:, 1]
    gain = all_ - none[:, 0]
    if players == 1:
        return Attribution(gain[:, None], np.zeros((len(worth), 1)))
    strata, last = design.strata[:pairs], len(design.mass) - 1
    counts = np.ones(pairs)
    in_sample = np.flatnonzero(strata == last)
    beyond = np.flatnonzero(design.draws >= len(in_sample))
    drawn = design.draws[: beyond[0]] if len(beyond) else design.draws
    counts[in_sample] = np.bincount(drawn, minlength=len(in_sample))
    seen = np.bincount(strata, counts, last + 1)
    mass = np.where(seen > 0, design.mass, 0)
    mass = mass / mass.sum()
    weights = mass[strata] * counts / seen[strata]

    rows = np.stack([design.coalitions[:pairs], ~design.coalitions[:pairs]], 1).astype(np.float64)
    y = (worth[:, 2:] - none).reshape(len(worth), pairs, 2)
    each = weights[:, None, None] * rows / 2
    normal = np.einsum("pei,pej->ij", each, rows, optimize=True)
    system = np.block([[normal, np.ones((players, 1))], [np.ones((1, players)), np.zeros((1, 1))]])
    right = np.concatenate([np.einsum("pei,kpe->ik", each, y, optimize=True), gain[None]])
    inverse = np.linalg.pinv(system, hermitian=True)
    values = (inverse @ right)[:players].T
    misses = y - np.einsum("ki,pei->kpe", values, rows, optimize=True)
    moved = np.einsum("kpe,pei->kpi", misses / 2, rows, optimize=True) @ inverse[:players, :players]
    variance = np.zeros_like(values)
    for stratum in np.unique(strata):
        inside, n = strata == stratum, seen[stratum]
        whole = 0.0 if stratum == last else n / np.count_nonzero(design.strata == stratum)
        weight = counts[inside][None, :, None]
        here = moved[:, inside]
        mean = (weight * here).sum(1, keepdims=True) / n
        spread = (weight * (here - mean) ** 2).sum(1) / max(n - 1, 1)
        variance += mass[stratum] ** 2 * (1 - whole) * spread / n
    # the residuals of fitted pairs underestimate those of other pairs
    freedom = pairs - players + 1
    if freedom < 1 and variance.any():
        return Attribution(values)
    return Attribution(values, np.sqrt(variance * pairs / max(freedom, 1)))
