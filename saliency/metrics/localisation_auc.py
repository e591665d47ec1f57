"""The area under the ROC curve of the object's pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency.metrics.localisation import Localisation, thresholds
from saliency.metrics.metric import Attribution, Curve, Measurement
from saliency.metrics.removal import area


@dataclass(eq=False, repr=False)
class LocalisationAUC(Localisation):
    """The probability that a pixel of the object is more salient than another pixel; ties count half.

    This is the area under the ROC curve (Fawcett 2006). `details` has the average precision Σ (R_i - R_(i-1)) P_i
    over the distinct values of the mask.
    """

    id: ClassVar[str] = "localisation_auc"
    title: ClassVar[str] = "Localisation AUC"
    paper: ClassVar[str] = "Fawcett 2006"
    advice: ClassVar[str] = (
        "1: every pixel of the object is more salient than any other pixel; 0.5: a random order; 0: the reverse."
    )

    def compare(self, mask: Attribution, truth: np.ndarray) -> Measurement:
        pixels, hits = thresholds(self.ranked(mask), truth)
        recall = np.append(0, hits) / hits[-1]
        false_alarms = np.append(0, pixels - hits) / (pixels[-1] - hits[-1])
        precision = float((np.diff(recall) * hits / pixels).sum())
        return Measurement(area(Curve(false_alarms, recall)), details={"average precision": precision})
