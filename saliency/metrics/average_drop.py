"""Average drop and average increase (Chattopadhyay et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.metrics.case import Case
from saliency.metrics.metric import CHANNELS, SIGNS, Attribution, Measurement, Metric, parameter, undefined
from saliency.pictures.picture import FILLS


@dataclass(eq=False, repr=False)
class AverageDrop(Metric):
    """max(0, f(x) - f(x ∘ a)) / f(x), with the mask a scaled to 0–1 (arXiv:1710.11063, section 4.1).

    Each pixel is mixed with the fill in the proportion of its salience. The average is over images.
    """

    fill: str = parameter("black", "Replacement of removed pixels", choices=FILLS)
    sign: str = parameter("own", "Pooling of signs", choices=SIGNS)
    channels: str = parameter("sum", "Pooling of channels", choices=CHANNELS)

    id: ClassVar[str] = "average_drop"
    title: ClassVar[str] = "Average drop"
    paper: ClassVar[str] = "1710.11063"
    family: ClassVar[str] = "perturbation"
    higher_is_better: ClassVar[bool | None] = False
    advice: ClassVar[str] = "0: the salient part keeps the probability. A map that covers everything gets 0 too."

    def measure(self, case: Case[Any], mask: Attribution) -> Measurement:
        before, after = self.both(case, mask)
        if before == 0:
            return undefined("the probability of the image is zero")
        return Measurement(max(0.0, before - after) / before)

    def both(self, case: Case[Any], mask: Attribution) -> tuple[float, float]:
        """Return the target's probability for the image, and for its salient part."""
        salience = mask.pooled(self.sign, self.channels)
        shown: Any = case.ops.asarray(((salience - salience.min()) / np.ptp(salience))[None, ..., None])
        filled: Any = case.without(self.fill)

        def build(_: Any) -> Any:
            return shown * case.image + (1.0 - shown) * filled

        key = "shown", self.fill, self.sign, self.channels, mask.sign, mask.digest
        return case.value(), float(case.evaluate([key], build)[0])

    def cost(self, shape: tuple[int, int]) -> int:
        return 2


@dataclass(eq=False, repr=False)
class AverageIncrease(AverageDrop):
    """1 if f(x ∘ a) > f(x), else 0, with the mask a scaled to 0–1 (arXiv:1710.11063, section 4.1).

    The average over images is the share of images whose probability rises.
    """

    id: ClassVar[str] = "average_increase"
    title: ClassVar[str] = "Average increase"
    higher_is_better: ClassVar[bool | None] = True
    advice: ClassVar[str] = "1: the salient part alone is more probable than the image. An average needs many images."

    def measure(self, case: Case[Any], mask: Attribution) -> Measurement:
        before, after = self.both(case, mask)
        return Measurement(float(after > before))
