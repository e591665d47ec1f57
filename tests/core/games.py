"""Games whose answer is known: features are players, a coalition's worth stands in a table."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from saliency.core.features import Attribution, FeatureMethod

Worth = Callable[[np.ndarray], np.ndarray]
"""From coalitions (n, d), or shares in [0, 1], to what they are worth: (n,)."""


class Table:
    """A model of a game as methods see it: one target, with the value of a coalition given by a function."""

    def __init__(self, worth: Worth, players: int, labels: np.ndarray | None = None) -> None:
        self.of, self.players, self.evaluated = worth, players, 0
        self.labels = np.arange(players)[None] if labels is None else labels
        self.session = SimpleNamespace(order=np.arange)

    def worth(self, coalitions: np.ndarray, stops: Sequence[int] = ()) -> Iterator[np.ndarray]:
        """As :meth:`saliency.core.features.Game.worth`."""
        self.evaluated += len(coalitions)
        found = self.of(np.asarray(coalitions, np.float64))[None]
        thirds = [max(1, part * len(coalitions) // 3) for part in (1, 2)]
        for reached in (*(stops or thirds), len(coalitions)):
            yield found[:, :reached]

    def evaluate(self, coalitions: np.ndarray) -> np.ndarray:
        """Same as :meth:`saliency.core.features.Game.evaluate`."""
        *_, all_ = self.worth(coalitions)
        return all_


def played(method: FeatureMethod, worth: Worth, players: int, labels: np.ndarray | None = None) -> Attribution:
    """The method's last word on one target: values (d,) and errors (d,)."""
    game: Any = Table(worth, players, labels)
    *_, found = method.attribute(game)
    return Attribution(found.values[0], None if found.errors is None else found.errors[0])


def random_worth(players: int, seed: int) -> Worth:
    """A game without any structure: every coalition is worth something else."""
    table = np.random.default_rng(seed).normal(size=1 << players)
    return lambda z: table[(z > 0.5) @ (1 << np.arange(players))]


def by_orders(worth: Worth, orders: Iterator[tuple[int, ...]], players: int) -> np.ndarray:
    """Mean marginal worth over orders of joining: the definition, one player after the other."""
    total, count = np.zeros(players), 0
    for order in orders:
        present = np.zeros((1, players))
        before = worth(present)[0]
        for player in order:
            present[0, player] = 1
            after = worth(present)[0]
            total[player] += after - before
            before = after
        count += 1
    return total / count


def shapley(worth: Worth, players: int) -> np.ndarray:
    """Shapley values by all orders."""
    return by_orders(worth, itertools.permutations(range(players)), players)
