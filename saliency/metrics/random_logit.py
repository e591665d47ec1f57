"""Class contrast: the random logit test (Sixt et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.metrics.case import Case
from saliency.metrics.metric import CHANNELS, SIGNS, Attribution, Measurement, Metric, parameter, undefined
from saliency.metrics.similarity import spearman
from saliency.session.samples import Originals

OTHERS = ("runner_up", "random")
"""Choices of the class to compare with."""


@dataclass(eq=False, repr=False)
class RandomLogit(Metric):
    """1 minus Spearman's correlation of the maps of the target and of another class (arXiv:1912.09818, section 6).

    The other class is the one with the next highest score, or the mean over some classes drawn at random is taken.
    """

    against: str = parameter("runner_up", "The other class: the next in score, or random ones", choices=OTHERS)
    classes: int = parameter(3, "Number of random classes", low=1)
    sign: str = parameter("own", "Pooling of signs", choices=SIGNS)
    channels: str = parameter("sum", "Pooling of channels", choices=CHANNELS)

    id: ClassVar[str] = "random_logit"
    title: ClassVar[str] = "Class contrast"
    paper: ClassVar[str] = "1912.09818"
    family: ClassVar[str] = "sanity"
    needs_method: ClassVar[bool] = True
    pairs: ClassVar[int] = 0
    advice: ClassVar[str] = (
        "0: the map is the same for every class, and explains none. 1: maps of two classes have nothing in common. Two "
        "classes may depend on the same object, so values between are no fault."
    )

    def measure(self, case: Case[Any], mask: Attribution) -> Measurement:
        if case.target is None:
            return undefined("the target is no class: there is no other class to compare with")
        scores = case.cached("class scores", lambda: _class_scores(case))
        if scores is None:
            return undefined("the model has one output: there is no other class to compare with")
        others = self.others(case, scores)
        assert case.runner is not None
        own = mask.pooled(self.sign, self.channels)
        masks = case.runner(case.image, others)
        maps = [Attribution(each[0], mask.sign).pooled(self.sign, self.channels) for each in masks]
        contrasts = [1 - spearman(own, each) for each in maps]
        found = {f"class {index}": contrast for index, contrast in zip(others, contrasts, strict=True)}
        return Measurement(float(np.mean(contrasts)), details=found)

    def runs(self) -> int:
        return 1 if self.against == "runner_up" else self.classes

    def others(self, case: Case[Any], scores: np.ndarray) -> list[int]:
        """Return the indices of the classes to compare with, from the scores of all classes, (classes,)."""
        others = [int(each) for each in np.argsort(-scores, kind="stable") if each != case.target]
        if self.against == "runner_up":
            return others[:1]
        draw = np.random.default_rng([case.seed, len(others)])
        return sorted(int(each) for each in draw.permutation(others)[: self.classes])


def _class_scores(case: Case[Any]) -> np.ndarray | None:
    """Return the scores of all classes for the image, (classes,); None where they are read from one output."""
    model: Any = case.model
    ((_, outputs),) = case.session.outputs(Originals(case.ops, case.image))
    return None if outputs.shape[1] == 1 else np.asarray(model.head.scores(outputs)[0])
