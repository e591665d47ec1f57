"""FunnyBirds' controlled synthetic data check, as a metric of one map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from saliency.metrics.case import Case
from saliency.metrics.metric import Attribution, Measurement
from saliency.testbed.measures import PartMetric


@dataclass(eq=False, repr=False)
class SufficientParts(PartMetric):
    """How well the most important parts agree with a smallest set of parts that determines the class.

    For each such set S of k parts, the share of S among the k most important parts; of all sets, the best. FunnyBirds
    takes the parts above a threshold instead, of which a uniform map selects all. Equal parts are ordered at random.

    Args:
        sets: the smallest sets of parts that no other class has.
    """

    sets: Sequence[Sequence[str]] = ()

    id: ClassVar[str] = "sufficient_parts"
    title: ClassVar[str] = "Controlled synthetic data check"
    advice: ClassVar[str] = "1: the most important parts determine the class. Compare with the random band only."

    def missing(self, case: Case[Any]) -> str:
        return super().missing(case) or ("" if self.sets else "needs sets of parts that determine the class")

    def measure(self, case: Case[Any], mask: Attribution) -> Measurement:
        order = self.ordered(case, mask)
        return Measurement(max(len(set(order[: len(each)]) & set(each)) / len(each) for each in self.sets))

    def cost(self, shape: tuple[int, int]) -> int:
        return 0
