"""Deletion (Petsiuk et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from saliency.metrics.case import Case
from saliency.metrics.metric import Measurement
from saliency.metrics.orders import Order
from saliency.metrics.removal import LevelRemoval, area


@dataclass(eq=False, repr=False)
class Deletion(LevelRemoval):
    """The area under the target's probability as the most salient pixels are removed (arXiv:1806.07421, section 4.3).

    ∫ f(x with the most salient share t replaced by the fill) dt, by the trapezoidal rule, from t = 0 to 1.
    """

    id: ClassVar[str] = "deletion"
    title: ClassVar[str] = "Deletion"
    paper: ClassVar[str] = "1806.07421"
    higher_is_better: ClassVar[bool | None] = False
    advice: ClassVar[str] = (
        "Low: the model loses the target soon. Depends much on the fill: compare with the random band only."
    )

    def along(self, case: Case[Any], order: Order) -> Measurement:
        curve = self.deletion(case, order)
        return Measurement(area(curve), curves={"deletion": curve})

    def cost(self, shape: tuple[int, int]) -> int:
        return self.levels + 1
