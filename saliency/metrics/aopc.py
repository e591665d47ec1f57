"""Area over the perturbation curve (Samek et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.metrics.case import Case
from saliency.metrics.metric import Measurement, parameter
from saliency.metrics.orders import Order
from saliency.metrics.removal import CELL, LevelRemoval
from saliency.pictures.picture import FILLS


@dataclass(eq=False, repr=False)
class AOPC(LevelRemoval):
    """The mean drop of the score as the most salient regions are removed (arXiv:1509.06321, equation 12).

    1 / (L + 1) Σₖ (f(x⁰) - f(xᵏ)), k = 0 … L, where xᵏ has the k most salient square regions removed.
    """

    fill: str = parameter("noise", "Replacement of removed pixels", choices=FILLS)
    levels: int = parameter(100, "Number L of regions that are removed; fewer where there are fewer", low=1)
    cell: int = parameter(9, CELL, low=0)

    id: ClassVar[str] = "aopc"
    title: ClassVar[str] = "AOPC"
    paper: ClassVar[str] = "1509.06321"
    advice: ClassVar[str] = "High: removing few salient regions lowers the score. Compare with the random band only."

    def counts(self, order: Order) -> np.ndarray:
        return np.arange(min(self.levels, len(order)) + 1)

    def along(self, case: Case[Any], order: Order) -> Measurement:
        curve = self.deletion(case, order)
        return Measurement(float((curve.values[0] - curve.values).mean()), curves={"deletion": curve})

    def cost(self, shape: tuple[int, int]) -> int:
        return self.levels + 1
