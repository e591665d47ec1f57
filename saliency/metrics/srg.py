"""Symmetric relevance gain (Blücher et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from saliency.metrics.case import Case
from saliency.metrics.metric import Measurement, parameter
from saliency.metrics.orders import Order
from saliency.metrics.removal import CELL, LevelRemoval, area


@dataclass(eq=False, repr=False)
class SRG(LevelRemoval):
    """Area with the least salient pixels removed first, minus area with the most salient ones first (TMLR 2024).

    A random order has an expectation of 0 whatever the fill, and the reversed map the negative value. With one fill
    for both orders, it is the area of insertion minus the area of deletion.
    """

    cell: int = parameter(0, CELL, low=0)

    id: ClassVar[str] = "srg"
    title: ClassVar[str] = "Symmetric relevance gain"
    paper: ClassVar[str] = "2401.06654"
    pairs: ClassVar[int] = 19
    band_is_range: ClassVar[bool] = True
    advice: ClassVar[str] = (
        "0: no better than a random order. High: the model needs the salient pixels and not the others."
    )

    def along(self, case: Case[Any], order: Order) -> Measurement:
        most, least = self.deletion(case, order), self.deletion(case, order.reverse())
        curves = {"most salient first": most, "least salient first": least}
        return Measurement(area(least) - area(most), curves=curves)

    def at_random(self, case: Case[Any]) -> Sequence[Measurement]:
        # fewer levels, and more orders: the mean is 0 for any number of levels
        return super(SRG, self.but(levels=max(2, self.levels // 4))).at_random(case)

    def cost(self, shape: tuple[int, int]) -> int:
        return 2 * self.levels
