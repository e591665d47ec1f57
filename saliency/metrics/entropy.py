"""Complexity: the entropy of a mask (Bhatt et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency.metrics.complexity import Complexity


@dataclass(eq=False, repr=False)
class Entropy(Complexity):
    """The entropy -Σ p ln p of the pixels' shares p = |a| / Σ |a| (arXiv:2005.00631), in nats."""

    id: ClassVar[str] = "entropy"
    title: ClassVar[str] = "Complexity (entropy)"
    paper: ClassVar[str] = "2005.00631"
    advice: ClassVar[str] = "0: one pixel has all salience; ln n: all n pixels have the same. No measure of quality."

    def of(self, shares: np.ndarray) -> float:
        some = shares[shares > 0]
        return float(-(some * np.log(some)).sum())
