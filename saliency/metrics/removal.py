"""Base of metrics that remove the pixels of an image in the order of their salience."""

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
    """A metric of the model's values as pixels are removed from an image, or added to an image without content."""

    fill: str = parameter("blur", "Replacement of removed pixels", choices=FILLS)
    levels: int = parameter(50, "Number of equal shares into which the pixels are divided", low=1)
    cell: int = parameter(1, CELL, low=0)
    space: str = parameter("probability", "Value of the model that is read", choices=SPACES)
    sign: str = parameter("own", "Pooling of signs", choices=SIGNS)
    channels: str = parameter("sum", "Pooling of channels", choices=CHANNELS)

    family: ClassVar[str] = "perturbation"

    def groups(self, case: Case[Any]) -> np.ndarray | None:
        """Return the group of each pixel, int (H, W); None for single pixels."""
        return cells(case.shape, self.cell or coarse(case.shape))

    def order(self, case: Case[Any], mask: Attribution) -> Order:
        """Return the order in which the groups are removed."""
        return by_salience(mask.ranked(self.sign, self.channels), self.groups(case), case.seed)

    def measure(self, case: Case[Any], mask: Attribution) -> Measurement:
        return self.along(case, self.order(case, mask))

    def along(self, case: Case[Any], order: Order) -> Measurement:
        """Measure an order of the groups."""
        raise NotImplementedError

    def at_random(self, case: Case[Any]) -> Sequence[Measurement]:
        # cells of the random maps, which share the images of their reverse
        coarser = cells(case.shape, max(self.cell, coarse(case.shape))) if self.cell else self.groups(case)
        orders = [at_random(case.shape, coarser, case.seed + i) for i in range(self.pairs)]
        return [self.along(case, each) for order in orders for each in (order, order.reverse())]

    def bounded(self, case: Case[Any]) -> bool:
        return self.space == "probability" and case.has_probabilities

    def counts(self, order: Order) -> np.ndarray:
        """Return the numbers of groups at the ends of the levels, from none to all."""
        return order.counts(np.linspace(0, 1, min(self.levels, len(order)) + 1))

    def values(self, case: Case[Any], kept: Sequence[KeptSet]) -> np.ndarray:
        """Return the model's values of the image with only some pixels kept, (n,)."""
        return case.removed(kept, self.fill, self.space)

    def deletion(self, case: Case[Any], order: Order) -> Curve:
        """Return the values as the groups are removed one after another."""
        counts = self.counts(order)
        return Curve(order.share(counts), self.values(case, [order.keep(count, first=False) for count in counts]))

    def insertion(self, case: Case[Any], order: Order) -> Curve:
        """Return the values as the groups are added, one after another, to an image without content."""
        counts = self.counts(order)
        return Curve(order.share(counts), self.values(case, [order.keep(count, first=True) for count in counts]))


def area(curve: Curve) -> float:
    """Return the area under a curve, by the trapezoidal rule."""
    return float((np.diff(curve.at) * (curve.values[1:] + curve.values[:-1])).sum() / 2)
