"""The protocols of FunnyBirds (Hesse et al. 2023), as published, to compare with its figures.

They are defined on a set of pictures: three of them use the one threshold that is best for the whole set. The metrics
of a bed (:mod:`saliency.testbed.measures`) are those of one map, and have no threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from saliency.metrics.similarity import spearman
from saliency.testbed.birds.bed import minimal_sets, rivals, shared
from saliency.testbed.birds.pictures import PARTS
from saliency.testbed.scene import BACKGROUND, Scene

THRESHOLDS = np.linspace(0.01, 0.50, 80)
"""A part is important if its importance exceeds this share of the sum of the map."""

IRRELEVANT = 0.05
"""A part is irrelevant if removing it lowers the score by less than this share."""

Scores = Callable[[Sequence[NDArray[np.float32]]], NDArray[np.float32]]
"""Returns the scores (N, classes) of pictures (H, W, 3)."""

Explain = Callable[[Scene, int], NDArray[np.floating]]
"""Returns the map (H, W) of a scene for a class."""


class Protocols(NamedTuple):
    """The scores of the protocols, each in 0–1, larger is better."""

    accuracy: float
    """Of the model."""
    background_independence: float
    """Of the model: the share of objects whose removal does not lower the score by 5 %."""
    controlled_synthetic_data_check: float
    """The share of a smallest sufficient set of parts that is important, of the best set."""
    preservation_check: float
    """The share of decisions that the important parts alone preserve."""
    deletion_check: float
    """The share of decisions that change without the important parts."""
    distractibility: float
    """The share of irrelevant parts and objects that are not important."""
    single_deletion: float
    """(1 + ρ) / 2 with Spearman's ρ between importances and drops of the score without each part."""
    target_sensitivity: float
    """How often the parts that a bird shares with another class are more important for that class than for a third."""
    threshold: float
    """The threshold of the four scores that need one: that with the largest sum of distractibility and the mean of
    the others."""


def protocols(scenes: Sequence[Scene], scores: Scores, explain: Explain) -> Protocols:
    """Measure a method on scenes of birds by the protocols of FunnyBirds.

    Args:
        scenes: of :class:`Birds`.
        scores: the model.
        explain: the method.
    """
    found = [_Bird(scene, scores, explain) for scene in scenes]
    right = [each for each in found if each.predicted == each.scene.target]
    by_threshold = np.array(
        [
            [_mean(each.overlap(t) for each in right) for t in THRESHOLDS],
            [_mean(each.preserved(t) for each in found) for t in THRESHOLDS],
            [_mean(not each.decides_without(each.important(t, each.predicted)) for each in found) for t in THRESHOLDS],
            [_mean(each.undistracted(t) for each in found) for t in THRESHOLDS],
        ]
    )
    best = int((by_threshold[:3].mean(0) + by_threshold[3]).argmax())
    csdc, preservation, deletion, distractibility = (float(each) for each in by_threshold[:, best])
    return Protocols(
        len(right) / len(found),
        _mean(not relevant for each in found for relevant in each.relevant_objects()),
        csdc,
        preservation,
        deletion,
        distractibility,
        _mean(each.correlation() for each in found),
        _mean(hit for each in found for hit in each.sensitive()),
        float(THRESHOLDS[best]),
    )


def _mean(values: Iterable[float]) -> float:
    """Return the mean without NaN; NaN if nothing else is left."""
    finite = [value for value in values if not np.isnan(value)]
    return float(np.mean(finite)) if finite else float("nan")


class _Bird:
    """One scene with the scores of its interventions, and its maps; computed when they are needed, and kept."""

    def __init__(self, scene: Scene, scores: Scores, explain: Explain) -> None:
        self.scene = scene
        self._model, self._method = scores, explain
        self._scores: dict[frozenset[str], NDArray[np.float32]] = {}
        self._importances: dict[int, tuple[Mapping[str, float], float]] = {}
        self.predicted = int(self.scores(()).argmax())

    def scores(self, without: Iterable[str]) -> NDArray[np.float32]:
        """Return the scores (classes,) of the scene without some parts."""
        removed = frozenset(without)
        if removed not in self._scores:
            self._scores[removed] = self._model([self.scene.without(removed)])[0]
        return self._scores[removed]

    def importances(self, target: int) -> tuple[Mapping[str, float], float]:
        """Return the sum of the map over each part and its border of one pixel, and over the whole picture."""
        from scipy import ndimage

        if target not in self._importances:
            values = self._method(self.scene, target)
            border = np.ones((3, 3), bool)
            sums = {
                name: float(values[ndimage.binary_dilation(pixels, border)].sum())
                for name, pixels in self.scene.parts.items()
                if name != BACKGROUND
            }
            self._importances[target] = sums, float(values.sum())
        return self._importances[target]

    def important(self, threshold: float, target: int) -> set[str]:
        """Return the parts and objects whose importance exceeds a share of the map's sum."""
        sums, total = self.importances(target)
        return {name for name, value in sums.items() if value > threshold * total}

    def overlap(self, threshold: float) -> float:
        important = self.important(threshold, self.scene.target)
        return max(len(important.intersection(each)) / len(each) for each in minimal_sets(self.scene.target))

    def decides_without(self, parts: Collection[str]) -> bool:
        """Return whether the decision is the same without some parts of the bird."""
        return int(self.scores(set(parts) & set(PARTS)).argmax()) == self.predicted

    def preserved(self, threshold: float) -> bool:
        return self.decides_without(set(PARTS) - self.important(threshold, self.predicted))

    def undistracted(self, threshold: float) -> float:
        """NaN without irrelevant parts."""
        irrelevant = {name for name, relevant in self._relevant.items() if not relevant}
        if not irrelevant:
            return float("nan")
        return 1 - len(self.important(threshold, self.scene.target) & irrelevant) / len(irrelevant)

    def relevant_objects(self) -> list[bool]:
        return [relevant for name, relevant in self._relevant.items() if name not in PARTS]

    def correlation(self) -> float:
        """NaN where all parts have equal importances or drops."""
        drops = np.array([self._drop(name) for name in PARTS])
        sums = np.array([self.importances(self.scene.target)[0][name] for name in PARTS])
        if np.ptp(drops) == 0 or np.ptp(sums) == 0:
            return float("nan")
        return 0.5 + 0.5 * spearman(sums, drops)

    def sensitive(self) -> list[bool]:
        """Return nothing where the model itself does not prefer the parts that each class shares with the bird."""
        classes = rivals(self.scene.target)
        common = [shared(each, self.scene.target) for each in classes]
        # what removing the parts shared with one class (rows) leaves of the scores of both (columns)
        left = np.array([self.scores(parts)[list(classes)] for parts in common])
        if not (left[0, 0] < left[1, 0] and left[1, 1] < left[0, 1]):
            return []
        sums = [[sum(self.importances(each)[0][name] for name in parts) for each in classes] for parts in common]
        return [sums[0][0] > sums[0][1], sums[1][1] > sums[1][0]]

    def _drop(self, part: str) -> float:
        target = self.scene.target
        return float(self.scores(())[target] - self.scores([part])[target])

    @cached_property
    def _relevant(self) -> dict[str, bool]:
        """Whether the score falls by 5 % or more without a part or object."""
        least = IRRELEVANT * abs(float(self.scores(())[self.scene.target]))
        return {name: self._drop(name) >= least for name in self.scene.parts if name != BACKGROUND}
