"""Intersection over union with the object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency.metrics.localisation import Localisation, expected_hits, thresholds
from saliency.metrics.metric import Attribution, Measurement, parameter


@dataclass(eq=False, repr=False)
class IoU(Localisation):
    """Intersection over union of the object and the most salient pixels: |S ∩ G| / |S ∪ G|.

    With as many pixels as the object has, it is r / (2 - r) for the relevance rank accuracy r. The intersection is the
    expected one over the orders of tied pixels. `details` has the IoU at the best threshold (arXiv:2001.07437), which
    is chosen with the object known, and its share of pixels.
    """

    share: float = parameter(0.0, "Share of most salient pixels; 0: the object's own share", low=0, high=1)

    id: ClassVar[str] = "iou"
    title: ClassVar[str] = "Intersection over union"
    paper: ClassVar[str] = "2001.07437"
    advice: ClassVar[str] = "1: the most salient pixels are exactly those of the object."

    def compare(self, mask: Attribution, truth: np.ndarray) -> Measurement:
        salience, size = self.ranked(mask), int(np.count_nonzero(truth))
        count = max(1, round(self.share * truth.size)) if self.share else size
        common = expected_hits(salience, truth, count)
        pixels, hits = thresholds(salience, truth)
        each = hits / (pixels + size - hits)
        best = int(each.argmax())
        details = {"best": float(each[best]), "best share": float(pixels[best] / truth.size)}
        return Measurement(common / (count + size - common), details=details)
