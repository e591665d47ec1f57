"""Sensitivity-n (Ancona et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.metrics.case import Case
from saliency.metrics.metric import Attribution, Curve, Measurement, parameter, undefined
from saliency.metrics.similarity import correlation
from saliency.metrics.subsets import Subsets


@dataclass(eq=False, repr=False)
class SensitivityN(Subsets):
    """The correlation of the mask's sum over n cells with f(x) - f(x without them) (arXiv:1711.06104, section 4).

    The value is the mean of the correlations for several n, from 1 to `most` of the cells, spaced logarithmically.
    """

    sizes: int = parameter(16, "Number of different n", low=1)
    draws: int = parameter(100, "Number of sets for each n", low=2)
    most: float = parameter(0.8, "Largest n, as a share of the cells", low=0, high=1)

    id: ClassVar[str] = "sensitivity_n"
    title: ClassVar[str] = "Sensitivity-n"
    paper: ClassVar[str] = "1711.06104"
    advice: ClassVar[str] = "1: the mask predicts the effect of removing cells, few or many."

    def measure(self, case: Case[Any], mask: Attribution) -> Measurement:
        groups = int(self.labels(case).max()) + 1
        sizes = np.unique(np.rint(np.geomspace(1, max(1.0, self.most * groups), self.sizes)).astype(int))
        sets = np.concatenate([self.drawn(case, int(size), self.draws) for size in sizes])
        sums, drops = (each.reshape(len(sizes), -1) for each in (self.sums(case, mask, sets), self.drops(case, sets)))
        values = np.array([correlation(*pair) for pair in zip(sums, drops, strict=True)])
        if np.isnan(values).all():
            return undefined("the score, or the sum of the mask, is the same for all sets")
        return Measurement(float(np.nanmean(values)), curves={"correlation": Curve(sizes / groups, values)})

    def cost(self, shape: tuple[int, int]) -> int:
        return self.sizes * self.draws + 1
