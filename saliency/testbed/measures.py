"""Metrics that need exact removal of the parts of a scene, in the way of FunnyBirds (Hesse et al. 2023).

The importance of a part is the sum of the map over its visible pixels. The effect of a part is the drop of the target's
score when the scene is rendered without it: an intervention, not a fill, so the picture stays in the training
distribution.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.metrics.case import Case
from saliency.metrics.metric import CHANNELS, SIGNS, Attribution, Measurement, Metric, parameter, undefined
from saliency.metrics.similarity import spearman
from saliency.session.samples import Originals
from saliency.testbed.scene import BACKGROUND, Scene

NEGLIGIBLE = 0.05
"""An effect below this share of the largest one does not count."""


@dataclass(eq=False, repr=False)
class PartMetric(Metric):
    """A metric of one scene: it compares the importance of parts with the effects of their removal.

    Args:
        scene: the scene that the mask explains.
    """

    scene: Scene
    sign: str = parameter("own", "Pooling of signs", choices=SIGNS)
    channels: str = parameter("sum", "Pooling of channels", choices=CHANNELS)

    paper: ClassVar[str] = "2308.06248"
    family: ClassVar[str] = "intervention"
    fewest: ClassVar[int] = 2
    """The smallest number of parts for which the metric is defined."""

    @property
    def names(self) -> list[str]:
        """Names of the parts, in the order of all arrays here."""
        return list(self.scene.parts)

    def missing(self, case: Case[Any]) -> str:
        if why := super().missing(case):
            return why
        if self.scene.render is None:
            return "needs a scene that can be rendered without its parts"
        if len(self.scene.parts) < self.fewest:
            return f"needs a scene of at least {self.fewest} parts"
        if case.target is None:
            return "needs a class as the target"
        if case.host.shape != self.scene.image.shape or np.abs(case.host - self.scene.image).max() > 1e-5:
            return "the model's input is not the picture of the scene: it was preprocessed, or is another one"
        return ""

    def cost(self, shape: tuple[int, int]) -> int:
        return len(self.scene.parts) + 1

    def importances(self, values: Attribution) -> np.ndarray:
        """Return the importance of each part, (parts,)."""
        pooled = values.pooled(self.sign, self.channels)
        return np.array([pooled[pixels].sum() for pixels in self.scene.parts.values()])

    def scores(self, case: Case[Any], without: Iterable[Iterable[str]]) -> np.ndarray:
        """Return the scores of all classes of the scene rendered without each set of parts, (sets, classes).

        Known scenes are not evaluated again: all metrics of this scene share them.
        """
        sets = [frozenset(each) for each in without]
        known: dict[frozenset[str], np.ndarray] = case.cached(("scene", self.scene.digest), dict)
        if unknown := [each for each in dict.fromkeys(sets) if each not in known]:
            images = case.ops.asarray(np.stack([self.scene.without(each) for each in unknown]))
            head: Any = case.model.head  # type: ignore[attr-defined]  # a model of classes has one
            for rows, outputs in case.session.outputs(Originals(case.ops, images)):
                known.update(zip(unknown[rows], head.scores(outputs), strict=True))
        return np.stack([known[each] for each in sets]).astype(np.float64)

    def drops(self, case: Case[Any], target: int) -> np.ndarray:
        """Return the effect of each part on the score of a class, (parts,): positive where it supports the class."""
        full, *removed = self.scores(case, [(), *([each] for each in self.names)])[:, target]
        return full - np.array(removed)

    def effects(self, case: Case[Any]) -> np.ndarray:
        """Return the larger effect of each part, (parts,): of its removal, or of adding it to the scene without parts.

        Where either of two parts is enough, removing one has no effect; adding one has.
        """
        target = self._target(case)
        bare, *alone = self.scores(case, [self.names, *(self._others([each]) for each in self.names)])[:, target]
        drops, gains = self.drops(case, target), np.array(alone) - bare
        return np.where(np.abs(drops) >= np.abs(gains), drops, gains)

    def decided(self, case: Case[Any], without: Iterable[Iterable[str]]) -> np.ndarray:
        """Return whether the model decides for the target, of the scene without each set of parts, bool (sets,)."""
        return self.scores(case, without).argmax(1) == self._target(case)

    def _target(self, case: Case[Any]) -> int:
        assert case.target is not None  # `missing` has checked it
        return case.target

    def _others(self, parts: Iterable[str]) -> list[str]:
        kept = set(parts)
        return [each for each in self.names if each not in kept]


@dataclass(eq=False, repr=False)
class SingleDeletion(PartMetric):
    """Spearman's correlation of the importance of parts and the drops of the score when one is removed."""

    id: ClassVar[str] = "single_deletion"
    title: ClassVar[str] = "Single deletion"
    advice: ClassVar[str] = "1: the map orders the parts as their removal does. 0: no better than chance."

    def measure(self, case: Case[Any], mask: Attribution) -> Measurement:
        drops = self.drops(case, self._target(case))
        if np.abs(drops).max() <= NEGLIGIBLE * np.abs(self.effects(case)).max():
            return undefined("removing one part alone does not change the score: another part is enough")
        details = {f"drop without {name}": float(drop) for name, drop in zip(self.names, drops, strict=True)}
        return Measurement(spearman(self.importances(mask), drops), details=details)

    def cost(self, shape: tuple[int, int]) -> int:
        return 2 * len(self.scene.parts) + 2


@dataclass(eq=False, repr=False)
class NestedParts(PartMetric):
    """A metric of the decisions as parts are kept or removed in the order of their importance.

    FunnyBirds keeps the parts above a threshold, and takes the best threshold of a data set. A uniform map then keeps
    all parts, and passes. Here each number of parts from 1 to all but one is measured, so that there is nothing to
    choose. Equal parts are ordered at random.
    """

    def measure(self, case: Case[Any], mask: Attribution) -> Measurement:
        full, bare = self.decided(case, [(), self.names])
        if not full:
            return undefined("the model does not decide for the target")
        if bare:
            return undefined("the model decides for the target without any part too")
        importances = self.importances(mask)
        draw = np.random.default_rng(case.seed).permutation(len(importances))
        order = [self.names[i] for i in draw[np.argsort(-importances[draw], kind="stable")]]
        return Measurement(float(np.mean(self.passed(case, [order[:k] for k in range(1, len(order))]))))

    def passed(self, case: Case[Any], first: Sequence[Sequence[str]]) -> np.ndarray:
        """Return whether the check passes for each set of the most important parts, bool (sets,)."""
        raise NotImplementedError


@dataclass(eq=False, repr=False)
class PreservationCheck(NestedParts):
    """The share of numbers of parts, 1 … n - 1, for which the most important parts alone preserve the decision."""

    id: ClassVar[str] = "preservation_check"
    title: ClassVar[str] = "Preservation check"
    advice: ClassVar[str] = "High: few of the map's most important parts are enough. Compare with the random band only."

    def passed(self, case: Case[Any], first: Sequence[Sequence[str]]) -> np.ndarray:
        return self.decided(case, map(self._others, first))


@dataclass(eq=False, repr=False)
class DeletionCheck(NestedParts):
    """The share of numbers of parts, 1 … n - 1, for which removing the most important parts changes the decision."""

    id: ClassVar[str] = "deletion_check"
    title: ClassVar[str] = "Deletion check"
    advice: ClassVar[str] = "High: without its most important parts, the decision changes. Compare with the band only."

    def passed(self, case: Case[Any], first: Sequence[Sequence[str]]) -> np.ndarray:
        return ~self.decided(case, first)


@dataclass(eq=False, repr=False)
class Distractibility(PartMetric):
    """The share of importance, Σ|aₚ| over irrelevant parts / Σ|aₚ| over all parts.

    A part is irrelevant if neither removing it nor adding it to the scene without parts changes the score by 5 % of
    the largest such change.
    """

    id: ClassVar[str] = "distractibility"
    title: ClassVar[str] = "Distractibility"
    higher_is_better: ClassVar[bool | None] = False
    advice: ClassVar[str] = "0: no importance on parts that have no effect. 1: all of it."

    def measure(self, case: Case[Any], mask: Attribution) -> Measurement:
        effects = np.abs(self.effects(case))
        irrelevant = effects < NEGLIGIBLE * effects.max()
        if not irrelevant.any():
            return undefined("every part has an effect: no part of the scene can distract")
        importances = np.abs(self.importances(mask))
        if not importances.any():
            return undefined("the map is zero on all parts")
        return Measurement(float(importances[irrelevant].sum() / importances.sum()))

    def cost(self, shape: tuple[int, int]) -> int:
        return 2 * len(self.scene.parts) + 2


@dataclass(eq=False, repr=False)
class BackgroundShare(PartMetric):
    """1 - |m - e|: m is the background's share of importance, Σ|aₚ|, and e its share of the effects of removal.

    FunnyBirds' background independence is e, a property of the model. This metric asks whether the map shows it.
    """

    id: ClassVar[str] = "background_share"
    title: ClassVar[str] = "Agreement on the background"
    advice: ClassVar[str] = (
        "1: the map gives the background the share that it has in the decision, large or small. 0: it reverses it."
    )

    def missing(self, case: Case[Any]) -> str:
        return super().missing(case) or (
            "" if BACKGROUND in self.scene.parts else "needs a scene whose background can be exchanged"
        )

    def measure(self, case: Case[Any], mask: Attribution) -> Measurement:
        place, drops = self.names.index(BACKGROUND), np.abs(self.drops(case, self._target(case)))
        importances = np.abs(self.importances(mask))
        if not drops.any():
            return undefined("no part changes the score")
        if not importances.any():
            return undefined("the map is zero on all parts")
        shown, true = (float(each[place] / each.sum()) for each in (importances, drops))
        return Measurement(1 - abs(shown - true), details={"importance": shown, "effect": true})


@dataclass(eq=False, repr=False)
class TargetSensitivity(PartMetric):
    """The share of parts for which the maps of two classes differ as the effects on their scores do.

    The other class is the scene's `contrast`. Importances and effects of each class are divided by the sum of their
    absolute values, so that the scales of two maps do not matter. Parts count whose effects differ by at least 0.1; a
    part that both maps show alike counts as a half.
    """

    least: float = parameter(0.1, "Smallest difference between two effects that counts", low=0, high=2)

    id: ClassVar[str] = "target_sensitivity"
    title: ClassVar[str] = "Target sensitivity"
    needs_method: ClassVar[bool] = True
    pairs: ClassVar[int] = 0
    fewest: ClassVar[int] = 1
    advice: ClassVar[str] = "1: the map moves to the parts of the class that is explained. ½: chance, or the same map."

    def missing(self, case: Case[Any]) -> str:
        return super().missing(case) or (
            "" if self.scene.contrast not in (None, case.target) else "needs a scene with evidence for another class"
        )

    def measure(self, case: Case[Any], mask: Attribution) -> Measurement:
        assert case.runner is not None
        other = self.scene.contrast
        assert other is not None
        true = _shares(self.drops(case, self._target(case))) - _shares(self.drops(case, other))
        differ = np.abs(true) >= self.least
        if not differ.any():
            return undefined("the two classes depend on the same parts to the same degree")
        other_map = Attribution(case.runner(case.image, [other])[0, 0], mask.sign)
        shown = _shares(self.importances(mask)) - _shares(self.importances(other_map))
        shown[np.abs(shown) < 1e-6] = 0  # rounding is no difference
        return Measurement(float(((np.sign(shown * true)[differ] + 1) / 2).mean()))

    def runs(self) -> int:
        return 1


PART_METRICS: tuple[type[PartMetric], ...] = (
    SingleDeletion,
    PreservationCheck,
    DeletionCheck,
    Distractibility,
    BackgroundShare,
    TargetSensitivity,
)
"""The metrics of a scene, in display order."""


def measures_of(scene: Scene) -> dict[str, Metric]:
    """Return the metrics of a scene by id; none where it has no parts or cannot be rendered."""
    if scene.render is None or not scene.parts:
        return {}
    return {each.id: each(scene) for each in PART_METRICS}


def _shares(values: np.ndarray) -> np.ndarray:
    """Return values divided by the sum of their absolute values; zeros where all are zero."""
    total = np.abs(values).sum()
    return values / total if total else np.zeros_like(values)
