"""Sparseness: the Gini index (Chalasani et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency.metrics.complexity import Complexity


@dataclass(eq=False, repr=False)
class Gini(Complexity):
    """The Gini index of a mask's absolute values (arXiv:1810.06583, section 4).

    Σ_i (2 i - n - 1) a_(i) / (n Σ a) for the n values in ascending order.
    """

    id: ClassVar[str] = "gini"
    title: ClassVar[str] = "Sparseness (Gini index)"
    paper: ClassVar[str] = "1810.06583"
    advice: ClassVar[str] = "0: all values are equal; (n - 1) / n: one of n pixels has all. No measure of quality."

    def of(self, shares: np.ndarray) -> float:
        count = len(shares)
        return float(np.arange(1 - count, count, 2) @ np.sort(shares) / count)
