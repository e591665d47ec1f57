"""Infidelity (Yeh et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.metrics.case import SPACES, Case
from saliency.metrics.metric import Attribution, Measurement, Metric, parameter, undefined
from saliency.pictures.picture import FILLS

KINDS = ("contributions", "gradient")
"""What a mask holds: shares of the score, summed over removed pixels, or derivatives, multiplied by their change."""


@dataclass(eq=False, repr=False)
class Infidelity(Metric):
    """E[(Iᵀa - (f(x) - f(x - I)))²] over random square removals I (arXiv:1901.09392, definition 2.1).

    For a mask of contributions, Iᵀa is its sum over the removed pixels (I divided by the difference to the fill). The
    value is scale-free: with a replaced by its best multiple βa, and divided by E[(f(x) - f(x - I))²]; 0 if the mask
    predicts every change up to its scale, 1 if it predicts none. Details: "raw", without β, and "scaled", with it.
    """

    kind: str = parameter("contributions", "What the mask holds", choices=KINDS)
    fill: str = parameter("black", "Replacement of removed pixels", choices=FILLS)
    draws: int = parameter(64, "Number of squares", low=1)
    least: float = parameter(0.05, "Smallest side of a square, as a share of the shorter side", low=0, high=1)
    most: float = parameter(0.5, "Largest side of a square, as a share of the shorter side", low=0, high=1)
    space: str = parameter("score", "Value of the model that is read", choices=SPACES)
    seed: int = parameter(0, "Seed of the squares", low=0)

    id: ClassVar[str] = "infidelity"
    title: ClassVar[str] = "Infidelity"
    paper: ClassVar[str] = "1901.09392"
    family: ClassVar[str] = "perturbation"
    higher_is_better: ClassVar[bool | None] = False
    advice: ClassVar[str] = "0: the mask predicts the effect of removing squares. 1: it predicts nothing."

    def measure(self, case: Case[Any], mask: Attribution) -> Measurement:
        squares = self.squares(case.shape)
        drops = case.value(self.space) - self._values(case, squares)
        weights = self._weights(case, mask)
        sums = np.array([weights[rows, columns].sum() for rows, columns in squares])
        square = float((drops * drops).mean())
        raw = float(((sums - drops) ** 2).mean())
        if square == 0:
            return undefined("no removal changes the score")
        length = float((sums * sums).sum())
        scale = float((sums * drops).sum()) / length if length else 0.0
        scaled = float(((scale * sums - drops) ** 2).mean())
        return Measurement(scaled / square, details={"raw": raw, "scaled": scaled})

    def cost(self, shape: tuple[int, int]) -> int:
        return self.draws + 1

    def squares(self, shape: tuple[int, int]) -> list[tuple[slice, slice]]:
        """Return the squares, as slices of rows and columns."""
        random, shorter = np.random.default_rng(self.seed), min(shape)
        low, high = (max(1, round(share * shorter)) for share in sorted((self.least, self.most)))
        found = []
        for side in random.integers(low, high + 1, self.draws):
            top, left = (int(random.integers(length - side + 1)) for length in shape)
            found.append((slice(top, top + int(side)), slice(left, left + int(side))))
        return found

    def _weights(self, case: Case[Any], mask: Attribution) -> np.ndarray:
        """Return what each removed pixel adds to Iᵀa, (H, W)."""
        values = mask.values.astype(np.float64)
        if self.kind == "contributions":
            return mask.pooled("signed")
        change = case.host.astype(np.float64) - case.ops.tohost(case.without(self.fill))[0]
        return np.asarray((change * (values if values.ndim == 3 else values[..., None])).sum(2))

    def _values(self, case: Case[Any], squares: Sequence[tuple[slice, slice]]) -> np.ndarray:
        def pixels(i: int) -> np.ndarray:
            inside = np.zeros(case.shape, bool)
            inside[squares[i]] = True
            return inside

        keys = [("square", self.fill, str(each)) for each in squares]
        return case.replaced(keys, pixels, self.fill, self.space)
