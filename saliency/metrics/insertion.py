"""Insertion (Petsiuk et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from saliency.metrics.case import Case
from saliency.metrics.metric import Measurement
from saliency.metrics.orders import Order
from saliency.metrics.removal import LevelRemoval, area


@dataclass(eq=False, repr=False)
class Insertion(LevelRemoval):
    """The area under the target's probability as the most salient pixels are added (arXiv:1806.07421, section 4.3).

    ∫ f(the fill with the most salient share t of x) dt, by the trapezoidal rule, from t = 0 to 1.
    """

    id: ClassVar[str] = "insertion"
    title: ClassVar[str] = "Insertion"
    paper: ClassVar[str] = "1806.07421"
    advice: ClassVar[str] = (
        "High: few pixels are enough for the target. Depends much on the fill: compare with the random band only."
    )

    def along(self, case: Case[Any], order: Order) -> Measurement:
        curve = self.insertion(case, order)
        return Measurement(area(curve), curves={"insertion": curve})

    def cost(self, shape: tuple[int, int]) -> int:
        return self.levels + 1
