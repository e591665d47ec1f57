"""The pointing game (Zhang et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency.metrics.localisation import Localisation
from saliency.metrics.metric import Attribution, Measurement, parameter


@dataclass(eq=False, repr=False)
class PointingGame(Localisation):
    """Whether the most salient pixel belongs to the object (arXiv:1608.00507): 1 for a hit, 0 for a miss.

    Of several pixels with the maximum, the share that hits. The paper counts pixels within 15 of 224 as hits.
    """

    tolerance: int = parameter(0, "Distance to the object, in pixels, up to which a pixel counts as a hit", low=0)

    id: ClassVar[str] = "pointing_game"
    title: ClassVar[str] = "Pointing game"
    paper: ClassVar[str] = "1608.00507"
    advice: ClassVar[str] = (
        "1: the most salient pixel is on the object. One pixel of one image says little: average over many images."
    )

    def compare(self, mask: Attribution, truth: np.ndarray) -> Measurement:
        salience = self.ranked(mask)
        if self.tolerance:
            from scipy import ndimage

            truth = ndimage.distance_transform_edt(~truth) <= self.tolerance
        return Measurement(float(truth[salience == salience.max()].mean()))
