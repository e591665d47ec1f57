"""Faithfulness correlation (Bhatt et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.metrics.case import Case
from saliency.metrics.metric import Attribution, Measurement, parameter, undefined
from saliency.metrics.similarity import correlation, spearman
from saliency.metrics.subsets import Subsets


@dataclass(eq=False, repr=False)
class FaithfulnessCorrelation(Subsets):
    """The correlation of the mask's sum over random sets S with f(x) - f(x without S) (arXiv:2005.00631, definition 3).

    1 where the mask holds the exact contributions to an additive score. The value is Pearson's correlation; "spearman"
    in the details is that of the ranks (μFidelity, arXiv:2106.12430).
    """

    share: float = parameter(0.2, "Share of the cells in each set", low=0, high=1)
    draws: int = parameter(200, "Number of sets", low=2)

    id: ClassVar[str] = "faithfulness_correlation"
    title: ClassVar[str] = "Faithfulness correlation"
    paper: ClassVar[str] = "2005.00631"
    advice: ClassVar[str] = "1: the mask predicts the effect of removing cells. 0: it does not."

    def measure(self, case: Case[Any], mask: Attribution) -> Measurement:
        groups = int(self.labels(case).max()) + 1
        sets = self.drawn(case, max(1, round(self.share * groups)), self.draws)
        drops, sums = self.drops(case, sets), self.sums(case, mask, sets)
        value = correlation(sums, drops)
        if np.isnan(value):
            return undefined("the score, or the sum of the mask, is the same for all sets")
        return Measurement(value, details={"spearman": spearman(sums, drops)})

    def cost(self, shape: tuple[int, int]) -> int:
        return self.draws + 1
