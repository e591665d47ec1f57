"""Bases of metrics that compare the sum of a mask over random sets of pixels with the change of the score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.metrics.case import SPACES, Case
from saliency.metrics.metric import Attribution, Metric, parameter
from saliency.metrics.orders import cells
from saliency.metrics.removal import CELL
from saliency.pictures.picture import FILLS


@dataclass(eq=False, repr=False)
class Subsets(Metric):
    """A metric of the scores with random sets of cells removed. All masks of a case share these images."""

    fill: str = parameter("black", "Replacement of removed pixels", choices=FILLS)
    cell: int = parameter(9, CELL, low=1)
    space: str = parameter("score", "Value of the model that is read", choices=SPACES)
    seed: int = parameter(0, "Seed of the sets", low=0)

    family: ClassVar[str] = "perturbation"

    def labels(self, case: Case[Any]) -> np.ndarray:
        """Return the cell of each pixel, int (H, W)."""
        height, width = case.shape
        groups = cells(case.shape, self.cell)
        return np.arange(height * width).reshape(height, width) if groups is None else groups

    def drawn(self, case: Case[Any], size: int, count: int) -> np.ndarray:
        """Return random sets of `size` cells, bool (count, G)."""
        groups = int(self.labels(case).max()) + 1
        draws = np.random.default_rng([self.seed, size]).random((count, groups)).argsort(1, kind="stable")
        return np.asarray(draws < size)

    def drops(self, case: Case[Any], sets: np.ndarray) -> np.ndarray:
        """Return f(x) - f(x with each set of cells removed), (n,)."""
        labels = self.labels(case)
        keys = [(self.fill, self.cell, np.packbits(each).tobytes()) for each in sets]
        return case.value(self.space) - case.replaced(keys, lambda i: sets[i][labels], self.fill, self.space)

    def sums(self, case: Case[Any], mask: Attribution, sets: np.ndarray) -> np.ndarray:
        """Return the sum of the mask over each set, (n,)."""
        within = np.bincount(self.labels(case).ravel(), mask.pooled("signed").ravel())
        return np.array([within[each].sum() for each in sets])
