"""The energy-based pointing game (Wang et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency.metrics.metric import Attribution, Measurement, undefined
from saliency.metrics.relevance_mass_accuracy import RelevanceMassAccuracy


@dataclass(eq=False, repr=False)
class EnergyPointingGame(RelevanceMassAccuracy):
    """The share of the salience inside the object's bounding box (arXiv:1910.01279).

    It is the relevance mass accuracy of the box.
    """

    id: ClassVar[str] = "energy_pointing_game"
    title: ClassVar[str] = "Energy-based pointing game"
    paper: ClassVar[str] = "1910.01279"
    advice: ClassVar[str] = (
        "1: all salience is inside the object's box; a constant mask has the box's share of the image."
    )

    def compare(self, mask: Attribution, truth: np.ndarray) -> Measurement:
        rows, columns = (np.flatnonzero(each) for each in (truth.any(1), truth.any(0)))
        box = np.zeros_like(truth)
        box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        return undefined("the object's box covers the whole image") if box.all() else super().compare(mask, box)
