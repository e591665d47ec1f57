"""Relevance mass accuracy (Arras et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency.metrics.localisation import Localisation
from saliency.metrics.metric import Attribution, Measurement, undefined


@dataclass(eq=False, repr=False)
class RelevanceMassAccuracy(Localisation):
    """The share of the salience that is on the object, Σ_G a⁺ / Σ a⁺ (arXiv:2003.07258).

    Negative salience counts as zero, after channels are pooled, so that the value is within 0–1.
    """

    id: ClassVar[str] = "relevance_mass_accuracy"
    title: ClassVar[str] = "Relevance mass accuracy"
    paper: ClassVar[str] = "2003.07258"
    advice: ClassVar[str] = (
        "1: all salience is on the object; a constant mask has the object's share of the image. Depends on the values, "
        "not only on their order: smooth masks score lower than sharp ones."
    )

    def compare(self, mask: Attribution, truth: np.ndarray) -> Measurement:
        mass = np.maximum(mask.pooled(self.sign, self.channels), 0)
        if not mass.any():
            return undefined("no salience is positive")
        mass /= mass.max()
        return Measurement(float(mass[truth].sum() / mass.sum()))
