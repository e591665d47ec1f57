"""Completeness error of a mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.metrics.case import Case
from saliency.metrics.metric import Attribution, Measurement, Metric, undefined


@dataclass(eq=False, repr=False)
class CompletenessGap(Metric):
    """|Σ a - (f(x) - f(x'))| / |f(x) - f(x')|, for masks whose sum should be the difference of the scores.

    It is the completeness error of the explanation: no image is evaluated (Sundararajan et al. 2017, axiom 3).
    """

    id: ClassVar[str] = "completeness_gap"
    title: ClassVar[str] = "Completeness error"
    paper: ClassVar[str] = "1703.01365"
    family: ClassVar[str] = "sanity"
    needs_values: ClassVar[bool] = False
    pairs: ClassVar[int] = 0
    higher_is_better: ClassVar[bool | None] = False
    advice: ClassVar[str] = (
        "Near 0: the values add up to the score, as the method promises. High: it needs more steps or samples. A low "
        "value does not show that the values are in the right place."
    )

    def measure(self, case: Case[Any], mask: Attribution) -> Measurement:
        if mask.gap is None:
            return undefined("the method does not claim that its values add up to the score, or the scores are equal")
        if not np.isfinite(mask.gap):
            return undefined("the completeness error is not finite")
        return Measurement(abs(float(mask.gap)))
