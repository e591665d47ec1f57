"""Remove and debias (Rong et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.errors import BadField
from saliency.metrics.case import Case
from saliency.metrics.imputation import impute
from saliency.metrics.metric import Measurement, parameter
from saliency.metrics.orders import KeptSet, Order
from saliency.metrics.removal import CELL, CellRemoval

ERROR = 1e-3
"""Largest error of imputed pixels, as a share of the range of the image: a tenth of the noise."""

ORDERS = ("combined", "most", "least")
"""Which pixels are removed first: both orders, the most salient, or the least salient ones."""


@dataclass(eq=False, repr=False)
class ROAD(CellRemoval):
    """The target's probability with the most and the least salient pixels imputed from their neighbours.

    Noisy linear imputation (arXiv:2202.00449, section 4.3): each removed pixel equals the weighted mean of its eight
    neighbours, 1/6 for the four nearest and 1/12 for the diagonal ones, plus noise. A hole then shows the model less
    of its shape than a hole of one colour.

    "combined" is the mean over the shares of (least salient removed - most salient removed) / 2; "most" (lower is
    better) and "least" are the means of one order alone.
    """

    shares: tuple[float, ...] = parameter(
        tuple(round(0.1 * i, 1) for i in range(1, 10)), "Shares of the pixels that are removed", low=0, high=1
    )
    first: str = parameter("combined", "Pixels that are removed first", choices=ORDERS)
    noise: float = parameter(0.01, "Standard deviation of the noise, as a share of the range of pictures", low=0)
    cell: int = parameter(0, CELL, low=0)
    seed: int = parameter(0, "Seed of the noise", low=0)

    id: ClassVar[str] = "road"
    title: ClassVar[str] = "ROAD"
    paper: ClassVar[str] = "2202.00449"
    pairs: ClassVar[int] = 7
    band_is_range: ClassVar[bool] = True
    first_seed: ClassVar[int] = 1000
    advice: ClassVar[str] = (
        "0: no better than a random order. High: the model needs the salient pixels, not the others."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.shares or list(self.shares) != sorted(set(self.shares)):
            raise BadField(f"ROAD.shares must be ascending, such as (0.1, 0.3), got {self.shares}.")

    def random_groups(self, case: Case[Any]) -> np.ndarray | None:
        return self.groups(case)

    def counts(self, order: Order) -> np.ndarray:
        return order.counts(np.array(self.shares))

    def values(self, case: Case[Any], kept: Sequence[KeptSet]) -> np.ndarray:
        image, noise = case.host, self._noise(case)

        def compose(which: int) -> np.ndarray:
            keep = kept[which].mask()
            return impute(image, keep, ERROR) + noise * ~keep[..., None]

        keys = [each.key if each.key is True else ("road", self.noise, self.seed, each.key) for each in kept]
        return case.composed(keys, compose, self.space)

    def along(self, case: Case[Any], order: Order) -> Measurement:
        orders = {}
        if self.first != "least":
            orders["most salient first"] = order
        if self.first != "most":
            orders["least salient first"] = order.reverse()
        # all at once: the model runs while the images of the next batch are imputed
        self.values(case, [each.keep(n, first=False) for each in orders.values() for n in self.counts(each)])
        curves = {name: self.deletion(case, each) for name, each in orders.items()}
        means = [float(curve.values.mean()) for curve in curves.values()]
        value = means[0] if len(means) == 1 else (means[1] - means[0]) / 2
        return Measurement(value, curves=curves)

    def cost(self, shape: tuple[int, int]) -> int:
        return len(self.shares) * (2 if self.first == "combined" else 1)

    def _noise(self, case: Case[Any]) -> np.ndarray:
        """Return the noise, (H, W, C), in the units of the model's input."""

        def draw() -> np.ndarray:
            black, white = (case.ops.tohost(case.filled(name))[0] for name in ("black", "white"))
            draws = np.random.default_rng(self.seed).normal(0, self.noise, black.shape)
            return np.asarray(draws * np.abs(white - black), np.float32)

        return case.cached(("noise", self.noise, self.seed), draw)
