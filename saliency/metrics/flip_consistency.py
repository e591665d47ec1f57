"""Consistency of a map with that of the mirrored image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from saliency.metrics.case import Case
from saliency.metrics.metric import CHANNELS, SIGNS, Attribution, Measurement, Metric, in_words, parameter, undefined
from saliency.metrics.similarity import spearman


@dataclass(eq=False, repr=False)
class FlipConsistency(Metric):
    """Spearman's correlation of a map with that of the mirrored image, mirrored back.

    Left and right are exchanged. It is undefined where the mirrored image has another probability of the target: the
    maps then explain different decisions. Where the model gives values, their change by mirroring is compared with that
    by blurring. ``details`` has both probabilities, or values.
    """

    change: float = parameter(0.1, "Largest change of the probability by mirroring, as a share of it", low=0)

    sign: str = parameter("own", "Pooling of signs", choices=SIGNS)
    channels: str = parameter("sum", "Pooling of channels", choices=CHANNELS)

    id: ClassVar[str] = "flip_consistency"
    title: ClassVar[str] = "Consistency with the mirrored image"
    family: ClassVar[str] = "robustness"
    needs_method: ClassVar[bool] = True
    pairs: ClassVar[int] = 0
    advice: ClassVar[str] = (
        "Near 1: the map moves with the image. Low: it depends on fixed places, as of a grid of patches, or the model "
        "itself reads fixed places."
    )

    def measure(self, case: Case[Any], mask: Attribution) -> Measurement:
        assert case.runner is not None
        flipped = case.ops.flip(case.image, 2)
        images = [case.image, flipped]
        # the key of the image itself, which other metrics evaluate, too
        before, after = case.evaluate([True, "mirrored"], lambda which: case.ops.concat([images[i] for i in which]))
        percent = case.has_probabilities
        if abs(after - before) > self.change * (before if percent else case.change("blur")):
            change = f"from {in_words(before, percent=percent)} to {in_words(after, percent=percent)}"
            return undefined(f"mirroring the image changes the target's value {change}")
        back = case.runner(flipped)[0, 0][:, ::-1]
        found = spearman(
            mask.pooled(self.sign, self.channels), Attribution(back, mask.sign).pooled(self.sign, self.channels)
        )
        return Measurement(found, details={"probability": float(before), "probability mirrored": float(after)})

    def cost(self, shape: tuple[int, int]) -> int:
        return 2

    def runs(self) -> int:
        return 1
