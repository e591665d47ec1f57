"""Bases of metrics that remove the pixels of an image in the order of their salience."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.metrics.case import SPACES, Case
from saliency.metrics.metric import CHANNELS, SIGNS, Attribution, Curve, Measurement, Metric, parameter
from saliency.metrics.orders import KeptSet, Order, at_random, by_salience, cells, coarse
from saliency.pictures.picture import FILLS

CELL = "Side of the cells of pixels that are removed together; 0: a fourteenth of the image's side"
"""The meaning of a parameter that several metrics have."""


@dataclass(eq=False, repr=False)
class Removal(Metric):
    """A metric of the model's values as groups of pixels are removed in the order of their mean salience."""

    space: str = parameter("probability", "Value of the model that is read", choices=SPACES)
    sign: str = parameter("own", "Pooling of signs", choices=SIGNS)
    channels: str = parameter("sum", "Pooling of channels", choices=CHANNELS)

    family: ClassVar[str] = "perturbation"
    first_seed: ClassVar[int] = 0
    """Seed of the first random order, added to the seed of the case. Metrics of one seed share images."""

    def groups(self, case: Case[Any]) -> np.ndarray | None:
        """Return the group of each pixel, int (H, W); None for single pixels."""
        raise NotImplementedError

    def counts(self, order: Order) -> np.ndarray:
        """Return the numbers of groups that are removed, (n,), in ascending order."""
        raise NotImplementedError

    def values(self, case: Case[Any], kept: Sequence[KeptSet]) -> np.ndarray:
        """Return the model's values of the image with only some pixels kept, (n,)."""
        raise NotImplementedError

    def along(self, case: Case[Any], order: Order) -> Measurement:
        """Measure an order of the groups."""
        raise NotImplementedError

    def order(self, case: Case[Any], mask: Attribution) -> Order:
        """Return the order of the groups."""
        return by_salience(mask.ranked(self.sign, self.channels), self.groups(case), case.seed)

    def measure(self, case: Case[Any], mask: Attribution) -> Measurement:
        return self.along(case, self.order(case, mask))

    def at_random(self, case: Case[Any]) -> Sequence[Measurement]:
        first = case.seed + self.first_seed
        orders = [at_random(case.shape, self.random_groups(case), first + i) for i in range(self.pairs)]
        # a reversed order shares the images of the order
        return [self.along(case, each) for order in orders for each in (order, order.reverse())]

    def random_groups(self, case: Case[Any]) -> np.ndarray | None:
        """Return the groups of random orders, int (H, W)."""
        return self.groups(case)

    def bounded(self, case: Case[Any]) -> bool:
        return self.space != "score" and case.has_probabilities

    def deletion(self, case: Case[Any], order: Order) -> Curve:
        """Return the values as the groups are removed one after another."""
        counts = self.counts(order)
        return Curve(order.share(counts), self.values(case, [order.keep(count, first=False) for count in counts]))

    def insertion(self, case: Case[Any], order: Order) -> Curve:
        """Return the values as the groups are added, one after another, to an image without content."""
        counts = self.counts(order)
        return Curve(order.share(counts), self.values(case, [order.keep(count, first=True) for count in counts]))


@dataclass(eq=False, repr=False)
class CellRemoval(Removal):
    """A metric that removes single pixels or square cells."""

    cell: int = parameter(1, CELL, low=0)

    def groups(self, case: Case[Any]) -> np.ndarray | None:
        return cells(case.shape, self.cell or coarse(case.shape))

    def random_groups(self, case: Case[Any]) -> np.ndarray | None:
        # not single pixels: see saliency.metrics.metric.random_maps
        return cells(case.shape, max(self.cell, coarse(case.shape)))


@dataclass(eq=False, repr=False)
class LevelRemoval(CellRemoval):
    """A metric that replaces equal shares of the pixels by a fill."""

    fill: str = parameter("blur", "Replacement of removed pixels", choices=FILLS)
    levels: int = parameter(50, "Number of equal shares into which the pixels are divided", low=1)

    def counts(self, order: Order) -> np.ndarray:
        return order.counts(np.linspace(0, 1, min(self.levels, len(order)) + 1))

    def values(self, case: Case[Any], kept: Sequence[KeptSet]) -> np.ndarray:
        return case.removed(kept, self.fill, self.space)


def area(curve: Curve) -> float:
    """Return the area under a curve, by the trapezoidal rule."""
    return float((np.diff(curve.at) * (curve.values[1:] + curve.values[:-1])).sum() / 2)
