"""Iterative removal of features (Rieger and Hansen 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.metrics.case import Case
from saliency.metrics.metric import Curve, Measurement, parameter, undefined
from saliency.metrics.orders import KeptSet, Order
from saliency.metrics.removal import Removal, area
from saliency.pictures.picture import FILLS
from saliency.pictures.segments import SEGMENTERS, labelled, split


@dataclass(eq=False, repr=False)
class IROF(Removal):
    """The area over f(xˡ) / f(x⁰) as segments are removed, most salient first (arXiv:2003.08747, equation 3).

    Segments are ordered by the mean of their pixels. The area is divided by the number L of segments, so that it is in
    0–1 for values that do not exceed f(x⁰): the best possible value is 1 - 1 / (2 L).
    """

    fill: str = parameter("mean", "Replacement of removed pixels", choices=FILLS)
    segments: str = parameter("slic", "Segmentation of the image", choices=SEGMENTERS)
    count: int = parameter(300, "Number of segments", low=1)

    id: ClassVar[str] = "irof"
    title: ClassVar[str] = "IROF"
    paper: ClassVar[str] = "2003.08747"
    advice: ClassVar[str] = "High: few salient segments are enough to lose the target."

    def groups(self, case: Case[Any]) -> np.ndarray:
        def segmented() -> np.ndarray:
            picture = case.ops.tohost(case.image)[0]
            return labelled(split(picture, self.segments, self.count), picture.shape[:2])

        return case.cached(("segments", self.segments, self.count), segmented)

    def values(self, case: Case[Any], kept: Sequence[KeptSet]) -> np.ndarray:
        return case.removed(kept, self.fill, self.space)

    def counts(self, order: Order) -> np.ndarray:
        return np.arange(len(order) + 1)

    def along(self, case: Case[Any], order: Order) -> Measurement:
        curve = self.deletion(case, order)
        if curve.values[0] == 0:
            return undefined("the score of the image is zero, so that no share of it is left")
        steps = Curve(np.linspace(0, 1, len(curve.values)), curve.values / curve.values[0])
        return Measurement(1 - area(steps), curves={"deletion": curve})

    def cost(self, shape: tuple[int, int]) -> int:
        return self.count + 1
