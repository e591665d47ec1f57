"""Base of metrics of the mask alone: how concentrated it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.metrics.case import Case
from saliency.metrics.metric import CHANNELS, SIGNS, Attribution, Measurement, Metric, parameter, undefined


@dataclass(eq=False, repr=False)
class Complexity(Metric):
    """A metric of the distribution of a mask's values. It describes a mask, and does not measure its quality."""

    sign: str = parameter("absolute", "Pooling of signs; negative salience then counts as zero", choices=SIGNS)
    channels: str = parameter("sum", "Pooling of channels", choices=CHANNELS)

    family: ClassVar[str] = "complexity"
    needs_values: ClassVar[bool] = False
    pairs: ClassVar[int] = 0
    higher_is_better: ClassVar[bool | None] = None

    def measure(self, case: Case[Any], mask: Attribution) -> Measurement:
        values = np.maximum(mask.pooled(self.sign, self.channels).ravel(), 0)
        if not values.any():
            return undefined("the mask has no value above zero" if self.sign != "absolute" else "the mask is zero")
        values /= values.max()
        return Measurement(self.of(values / values.sum()))

    def of(self, shares: np.ndarray) -> float:
        """Return the metric of the pixels' shares of the salience, (n,), none negative, with the sum 1."""
        raise NotImplementedError
