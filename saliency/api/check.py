"""Check a map against the model: :func:`check`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from saliency import checks
from saliency.api.cases import Rerun, case_of
from saliency.api.prepare import Prepared, only, prepare
from saliency.core.method import Method
from saliency.errors import BadArgument, BadShape, BadTarget, brief
from saliency.metrics.case import Case, Runner
from saliency.metrics.completeness_gap import CompletenessGap
from saliency.metrics.flip_consistency import FlipConsistency
from saliency.metrics.metric import Attribution, Band, Metric
from saliency.metrics.mprt import MPRT
from saliency.metrics.random_logit import RandomLogit
from saliency.metrics.road import ROAD
from saliency.metrics.srg import SRG
from saliency.metrics.verdict import Measure, Role, Subject, Verdict
from saliency.model.inputs import Inputs
from saliency.model.names import name_in_sentence
from saliency.pictures.presets import Preprocess
from saliency.results.explanation import Explanation
from saliency.session.progress import ProgressBar
from saliency.session.session import Progress, originals
from saliency.targets import label_of

SYMMETRIC = SRG(levels=16)

DECIDING: dict[str, Metric] = {"srg": SYMMETRIC, "road": ROAD(shares=(0.1, 0.2, 0.3, 0.5, 0.7))}
"""The metrics that decide, by their key in the verdict."""

ORDERING: dict[str, Metric] = {"srg_pixels": SRG(levels=8, cell=1)}
"""The metrics that add to the strength: single pixels distinguish a sharp map from a scattered one."""

FILLS = (SYMMETRIC.fill, "mean", "grey", "black", "white", "noise")
"""Replacements of removed pixels, in the order of choice."""

REMOVES = 0.5
"""Largest share of the target's probability that may be left if the whole image is replaced."""

OTHER_CLASSES = RandomLogit(sign="signed", against="random", classes=2)
# not the next class in score, which often depends on the same object

CONTRAST: dict[str, Metric] = {"random_logit": OTHER_CLASSES}
"""The metric that can withdraw a verdict."""

REPORTED: dict[str, Metric] = {
    **CONTRAST,
    "flip_consistency": FlipConsistency(),
    # the half next to the output: a map that survives this shows the image, but no map survives a shuffle of all layers
    "mprt": MPRT(stages=1, depth=0.5, draws=3),
    "completeness_gap": CompletenessGap(),
}
"""The metrics that are reported."""

SCORE = 0.01
"""Largest difference of the explanation's score and the model's, as a share, for the image to count as the same."""

RERUN = 500
"""Number of images that may be evaluated to run the method again."""

RUNS = 5
"""Number of runs of the method that they take: the classes in one, the flipped image, three shuffles of the weights."""

RANDOM = 184
"""Number of images that random maps take."""

EQUAL = 0.02
"""Largest difference of a mask and its method's own, as a share of the norm, for the two to count as equal."""


def check(
    model: Any,
    image: Any,
    explanation: Explanation | np.ndarray,
    target: Any = None,
    *,
    labels: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    activation: str = "auto",
    output: Any = None,
    framework: str | None = None,
    rerun: int | None = RERUN,
    batch_size: int | str = "auto",
    progress: bool | Progress = True,
    seed: int = 0,
    bands: Verdict | None = None,
    cancelled: Callable[[], bool] | None = None,
    shared: Callable[[], bool] | None = None,
    partial: Callable[[Verdict], None] | None = None,
) -> Verdict:
    """Measure whether a map shows what the model uses for this image and this target.

    The most and the least salient pixels are removed, and the effect is compared with that of random maps: about 57
    images for the map, up to 5 more to find a replacement of pixels that removes the target, and 184 for random maps.
    See :class:`Verdict` for the rule, and docs/evidence.md for how to read it.

    Args:
        model: see :func:`saliency.explain`.
        image: the image that was explained.
        explanation: the result of :func:`saliency.explain` for this model and image; or a mask (h, w) or (h, w, C) at
            the resolution of the model's input, larger where more salient.
        target: index or label of the class; by default that of the explanation, or the top class.
        labels: names of the classes; by default those of the explanation.
        preprocess: see :func:`saliency.explain`.
        activation: see :func:`saliency.adapt`.
        output: see :func:`saliency.adapt`.
        framework: see :func:`saliency.explain`.
        rerun: how many images may be evaluated to run the method again, for another class, the flipped image and
            shuffled weights; 0 for none, None for any number. A note says what was left out.
        batch_size: images per model call; "auto" measures the fastest size.
        progress: True for a progress bar, False for none, or a callable (images evaluated, images in total).
        seed: seed of random maps, noise and shuffles.
        bands: the verdict on another map of this model, image and target with the same seed: its random maps are not
            evaluated again.
        cancelled: called between model calls; when it returns true, :class:`saliency.Cancelled` is raised.
        shared: see :func:`saliency.explain`.
        partial: called with the verdict after each measurement.

    Raises:
        BadArgument: `bands` is a verdict on another image, target or model; or the model gives the image another score
            than the explanation has.
        BadShape: the mask does not have the height and width of the model's input.
        BadTarget: there is no such class, or the explanation's target is a callable that was not passed.
    """
    rerun = None if rerun is None else checks.whole(rerun, "rerun", 0)
    seed = checks.whole(seed, "seed", 0)
    checks.callbacks(bar=True, progress=progress, cancelled=cancelled, shared=shared, partial=partial)
    if labels is None and isinstance(explanation, Explanation):
        labels = explanation.labels
    prepared = prepare(model, [image], labels, preprocess, framework, activation, output)
    checking = Checking(prepared, explanation, target, rerun, seed, bands)
    with ProgressBar(progress, checking.total, "Evidence", False) as report:
        options = {"batch_size": batch_size, "progress": report, "cancelled": cancelled, "shared": shared}
        for verdict in checking.verdicts(total=checking.total, streaming=partial is not None, **options):
            if partial is not None:
                partial(verdict)
    return verdict


def fill_for(case: Case[Any]) -> str:
    """Return the first of :data:`FILLS` that removes the target from the image; the one that leaves least if none does.

    Values that are no probabilities have no zero: for them it is always the first.
    """
    if not case.has_probabilities:
        return FILLS[0]
    left: dict[str, float] = {}
    for name in FILLS:
        left[name] = case.value_without(name)
        if left[name] <= REMOVES * case.value():
            return name
    return min(left, key=lambda name: left[name])


class CheckCost(NamedTuple):
    """Number of images that :func:`check` evaluates."""

    map: int
    """For the map itself."""
    bands: int
    """For random maps; once for each image and target, see `bands` of :func:`check`."""
    reruns: int
    """To run the method again, about; 0 where that is left out."""


def check_cost(explanation: Explanation, rerun: int | None = RERUN) -> CheckCost:
    """Return how many images :func:`check` evaluates for an explanation.

    Args:
        explanation: see :func:`check`.
        rerun: see :func:`check`.

    Raises:
        BadArgument: it is not an explanation.
    """
    if not isinstance(explanation, Explanation):
        raise BadArgument(f"explanation must be the result of saliency.explain, got {brief(explanation)}.")
    rerun = None if rerun is None else checks.whole(rerun, "rerun", 0)
    again = RUNS * explanation.images
    known = explanation.instance is not None and (rerun is None or again <= rerun)
    return CheckCost(_cost_of_map(explanation.mask) + 1, RANDOM, again if known else 0)


def _cost_of_map(mask: np.ndarray) -> int:
    """Return the number of images evaluated for a mask; an explanation's score takes one more."""
    costs = [each.cost((mask.shape[0], mask.shape[1])) for each in (DECIDING | ORDERING).values()]
    # the image itself and its fill are shared; the other fills are evaluated where the first leaves the target
    return sum(costs) - 2 * len(ORDERING) + len(FILLS) - 1


class Checking:
    """One check: a mask with its model, image and target.

    Args:
        prepared: the model with one picture.
        explanation: see :func:`check`.
        target: see :func:`check`.
        rerun: see :func:`check`.
        seed: see :func:`check`.
        bands: see :func:`check`.
        reported: the metrics that are reported, by their key in the verdict.
    """

    def __init__(
        self,
        prepared: Prepared,
        explanation: Any,
        target: Any,
        rerun: int | None,
        seed: int,
        bands: Verdict | None = None,
        reported: Mapping[str, Metric] = REPORTED,
    ) -> None:
        if isinstance(prepared.picture, Inputs):
            raise BadShape("A check removes pixels of a picture, and was given a list of inputs.")
        if bands is not None and not isinstance(bands, Verdict):
            raise BadArgument(f"bands must be the result of saliency.check for another map, got {brief(bands)}.")
        self.prepared, self.rerun, self.seed, self.bands = prepared, rerun, seed, bands
        self.reported = reported
        self.explanation = explanation if isinstance(explanation, Explanation) else None
        self.mask = self._mask(explanation)
        self.method: Method | None = None if self.explanation is None else self.explanation.instance
        self.notes: list[str] = []
        given = self._target(target)
        self.target = given if callable(given) else prepared.index(given)
        self.others: list[int] = []
        self.label = self._label()

    @property
    def total(self) -> int:
        """The number of images that are evaluated without running the method again, as far as it is known."""
        of_score = self.explanation is not None
        return _cost_of_map(self.mask.values) + of_score + (0 if self.bands else RANDOM)

    def verdicts(self, **options: Any) -> Iterator[Verdict]:
        """Yield a verdict after each measurement; the last is final. For `options` see :class:`Session`."""
        case = case_of(self.prepared, self.target, seed=self.seed, **options)
        self._require_score(case)
        self.others = self._others(case)
        measures: dict[str, Measure] = {}
        filled = self._filled(case)
        for key, metric in filled.items():
            role: Role = "decides" if key in DECIDING else "orders"
            measures[key] = Measure(metric, metric(case, self.mask, band=False), role)
            yield self._verdict(case, measures, finished=False)
        known = self._known_bands(case)
        for key in DECIDING:
            found = measures[key].found
            if not found.reason:
                band = known.get(key) or filled[key].band(case)
                measures[key] = measures[key]._replace(found=found._replace(band=band))
            yield self._verdict(case, measures, finished=False)
        yield from self._rerun(case, measures, options)

    def _filled(self, case: Case[Any]) -> dict[str, Metric]:
        """Return the metrics that decide and order, with a replacement of pixels that removes the target.

        A blurred or uniform image can itself be evidence for the target: then nothing is removed. A note states the
        choice where it is not the first.
        """
        chosen = fill_for(case)
        if chosen != SYMMETRIC.fill:
            self.notes.append(
                f"SRG replaces removed pixels by {chosen!r}: the model gives {self.label!r} also to an image filled "
                f"with {SYMMETRIC.fill!r}."
            )
        return {
            key: metric.but(fill=chosen) if isinstance(metric, SRG) else metric
            for key, metric in (DECIDING | ORDERING).items()
        }

    def _require_score(self, case: Case[Any]) -> None:
        """Raise BadArgument if the model gives the image another score than the explanation has."""
        expected = np.nan if self.explanation is None else self.explanation.score
        if self.explanation is None or not np.isfinite(expected) or self.explanation.target != self.target:
            return
        ((_, scores),) = case.session.scores(originals(case.session, case.image))
        score = float(case.ops.tohost(scores)[0, 0])
        if abs(score - expected) > SCORE * max(abs(expected), abs(score), 0.1):
            raise BadArgument(
                f"The explanation has the score {expected:.4g} for {self.label!r}, but {name_in_sentence(case.model)} "
                f"gives {score:.4g} for this image. Pass the image, model and preprocess that were explained."
            )

    def _known_bands(self, case: Case[Any]) -> dict[str, Band]:
        """Return the bands of the given verdict by the key of the metric.

        Raises:
            BadArgument: it is a verdict on another image, target or model.
        """
        if self.bands is None:
            return {}
        given = self.bands.subject.label
        starts = [
            curve.values[0] for each in self.bands.deciding for curve in each.found.curves.values() if not curve.at[0]
        ]
        if given != self.label or not np.allclose(starts, case.value(), rtol=1e-3, atol=1e-6):
            raise BadArgument(
                f"bands must be a verdict on another map of the same model, image and target ({self.label!r}), got one "
                f"on {given!r} for which the model gives another value. Leave bands out."
            )
        given_bands = {key: each.found.band for key, each in self.bands.measures.items()}
        return {key: band for key, band in given_bands.items() if band is not None and key in DECIDING}

    def _rerun(self, case: Case[Any], measures: dict[str, Measure], options: Any) -> Iterator[Verdict]:
        """Yield verdicts with the measurements for which the method runs again."""
        before = case.images
        case.runner = self._runner(case, options)
        for key, metric in self.reported.items():
            measures[key] = Measure(metric, metric(case, self.mask, band=False), "reported")
            yield self._verdict(case, measures, finished=False, reruns=case.images - before)
        yield self._verdict(case, measures, finished=True, reruns=case.images - before)

    def _runner(self, case: Case[Any], options: Any) -> Runner | None:
        """Return what runs the method again; None, with a note, if it is not to be run or gives another mask."""
        if self.method is None:
            self.notes.append("The mask was given without its method: only what needs the mask alone was measured.")
            return None
        run = self.prepared.run(self.method, self.target, {})
        cost = RUNS * run.total
        if self.rerun is not None and cost > self.rerun:
            self.notes.append(
                f"Not measured: other classes, the flipped image and shuffled weights. {RUNS} more runs of "
                f"{run.caption} evaluate about {cost:,} images; to run them, pass rerun={cost}."
            )
            return None
        known = {name: value for name, value in options.items() if name in ("batch_size", "cancelled", "shared")}
        runner = Remembered(Rerun(self.prepared, run, case.session, known), case.image, self._contrasted())
        again = runner(case.image)[0, 0].astype(np.float64)
        mask = self.mask.values
        if again.shape != mask.shape or np.linalg.norm(again - mask) > EQUAL * np.linalg.norm(again):
            self.notes.append(
                f"The mask is not what {run.caption} gives for this model and image: it was measured as a mask alone."
            )
            return None
        return runner

    def _others(self, case: Case[Any]) -> list[int]:
        """Return the classes with which the map is contrasted; none where the target is no class."""
        if case.target is None or self.prepared.head.meaning == "value":
            return []
        return OTHER_CLASSES.others(case, self.prepared.head.scores(only(self.prepared.outputs)))

    def _label(self) -> str:
        """Return the name of the target, that of the explanation if it has the same target."""
        if self.explanation is not None and self.explanation.target == self.target:
            return self.explanation.label
        if callable(self.target):
            return str(getattr(self.target, "__name__", type(self.target).__name__))
        return self._name(self.target)

    def _name(self, index: int) -> str:
        outputs: np.ndarray = only(self.prepared.outputs)
        return label_of(index, self.prepared.head.names(self.prepared.adapted.labels, len(outputs)))

    def _contrasted(self) -> list[Any]:
        """Return the target, and the classes with which it is contrasted."""
        return [self.target, *self.others]

    def _verdict(self, case: Case[Any], measures: dict[str, Measure], *, finished: bool, reruns: int = 0) -> Verdict:
        percent = case.has_probabilities
        scale = 1.0 if percent else case.change(SYMMETRIC.fill)
        bands = case.images_of_bands
        return Verdict(
            Subject(self.label, tuple(map(self._name, self.others)), percent),
            dict(measures),
            scale,
            case.images - bands - reruns,
            bands,
            reruns,
            tuple(dict.fromkeys([*self.prepared.picture.notes, *self.prepared.adapted.notes, *self.notes])),
            finished,
        )

    def _mask(self, explanation: Any) -> Attribution:
        """Return the mask to measure.

        Raises:
            BadShape: it does not have the height and width of the model's input.
        """
        if self.explanation is not None:
            mask = Attribution.of(self.explanation)
        else:
            mask = Attribution(checks.array(explanation, "explanation, where it is a mask,").astype(np.float64))
        height, width = self.prepared.picture.fed.shape[1:3]
        if mask.values.shape[:2] != (height, width) or mask.values.ndim not in (2, 3):
            raise BadShape(
                f"The mask must have the height and width of the model's input, ({height}, {width}), got "
                f"{mask.values.shape}. Was this explanation computed with another preprocess?"
            )
        return mask

    def _target(self, target: Any) -> Any:
        """Return the target: as passed, else that of the explanation, else None.

        Raises:
            BadTarget: the explanation's target is a callable.
        """
        if target is not None or self.explanation is None:
            return target
        if isinstance(self.explanation.target, str):
            raise BadTarget(
                f"This explanation is of the callable target {self.explanation.target!r}: pass the callable as target."
            )
        return self.explanation.target


class Remembered:
    """A runner that computes the masks of the image for some targets in one run, and returns them from then on.

    Args:
        runner: runs the method.
        image: the image, (1, H, W, C).
        targets: the targets; the first is the default.
    """

    def __init__(self, runner: Runner, image: Any, targets: Sequence[Any]) -> None:
        self.runner, self.image, self.targets = runner, image, list(targets)
        self._masks: np.ndarray | None = None

    def __call__(self, images: Any, targets: Sequence[Any] | None = None, model: Any = None) -> np.ndarray:
        wanted = self.targets[:1] if targets is None else list(targets)
        if images is not self.image or model is not None or any(each not in self.targets for each in wanted):
            return self.runner(images, wanted, model)
        if self._masks is None:
            self._masks = self.runner(self.image, self.targets)
        return self._masks[[self.targets.index(each) for each in wanted]]
