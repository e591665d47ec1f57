"""Measure the masks of many methods on many images: :func:`evaluate`."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from saliency import checks
from saliency.api.arguments import attribution_of, images_of, metrics_of, objects_of, subjects_of, targets_of
from saliency.api.cases import Rerun, case_of, target_of
from saliency.api.prepare import Prepared, only, prepare
from saliency.api.truth import truth_of
from saliency.core.method import Method
from saliency.errors import BadImage, BadTarget, Cancelled, brief
from saliency.metrics.case import Case
from saliency.metrics.metric import Attribution, Measurement, Metric
from saliency.pictures.presets import Preprocess
from saliency.results.assemble import explained
from saliency.results.evaluation import Evaluation, EvaluationRow
from saliency.results.explanation import Explanation
from saliency.results.journal import Journal
from saliency.session.progress import ProgressBar
from saliency.session.session import Progress

T = TypeVar("T")

DEFAULTS = "srg", "road"
"""Metrics that are measured by default."""


def evaluate(
    model: Any,
    images: Any,
    methods: Any,
    metrics: Any = DEFAULTS,
    targets: Any = None,
    masks: Any = None,
    *,
    labels: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    batch_size: int | str = "auto",
    progress: bool | Progress = True,
    seed: int = 0,
    cancelled: Callable[[], bool] | None = None,
    framework: str | None = None,
    activation: str = "auto",
    output: Any = None,
    resume: str | os.PathLike[str] | None = None,
) -> Evaluation:
    """Measure the masks of methods with metrics, on one or many images; random maps of each image are the reference.

    All methods and metrics of an image share its forward passes and random maps. An image, a method or a metric that
    fails gives rows with the error, and the evaluation continues; if everything fails, the first error is raised.

    Args:
        model: see :func:`saliency.adapt`; or its result.
        images: an image, see :func:`saliency.explain`; or a list of these, or an array or tensor (N, H, W, C) or
            (N, C, H, W). Pictures may differ in size.
        methods: ids from :func:`saliency.methods`, method instances or classes: one, a list, or a dict from names to
            these. The values of a dict may also be masks of your own, one for each image: an
            :class:`Explanation`, or an array (H, W) or (H, W, C) at the resolution of the model's input. Metrics that
            run the method again are undefined for these.
        metrics: ids from :func:`saliency.metrics.table`, instances or classes: one, a list, or a dict from names.
        targets: the class, see :func:`saliency.explain`; or a list with one for each image. By default that of the
            explanations that were passed, or the top class.
        masks: the object in each image, for metrics of localisation: a mask (h, w) of True and False, of the picture's
            size or of that of the model's input; a box (top, left, bottom, right) in pixels of the picture, half-open;
            or None. A list of these for a list of images.
        labels: names of the classes.
        preprocess: see :func:`saliency.explain`.
        batch_size: images per model call; "auto" measures the fastest size.
        progress: True for a progress bar, False for none, or a callable (rows done, rows in total).
        seed: seed of random maps, tied pixels and the bootstrap. Methods have their own `seed` field.
        cancelled: called between model calls; when it returns true, :class:`saliency.Cancelled` is raised.
        framework: see :func:`saliency.explain`.
        activation: see :func:`saliency.explain`.
        output: see :func:`saliency.explain`.
        resume: path of a file (JSON Lines) to which each row is appended as soon as it is computed. Rows that it
            contains are not computed again, also after a crash: each is stored under a hash of the model's outputs, the
            image, target, mask of the object, method, metric and seed. Rows with an error are tried again. The model is
            called once for each image. See :meth:`Evaluation.load`.

    Returns:
        the table of all measurements, in the order of the images, methods and metrics.

    Raises:
        UnknownName: there is no such method or metric.
        BadField, BadShape, BadTarget: arguments do not fit each other.
        Cancelled: `cancelled` returned true. Rows in the file of `resume` are kept.
        SaliencyError: the model or an argument cannot be used.
    """
    several, listed = images_of(images)
    count = len(listed)
    checks.callbacks(bar=True, progress=progress, cancelled=cancelled)
    options = {"batch_size": checks.batch_size(batch_size), "cancelled": cancelled}
    subjects, chosen = subjects_of(methods, count, several), metrics_of(metrics)
    wanted, objects = targets_of(targets, count), objects_of(masks, count, several)
    path = None if resume is None else checks.path(resume, "resume")
    first = _first(model, listed, labels, preprocess, framework, activation, output)
    rows: list[EvaluationRow] = []
    total = count * len(subjects) * len(chosen)
    with ExitStack() as stack:
        journal = None if path is None else Journal(path)
        if journal is not None:
            stack.callback(journal.close)
        report = stack.enter_context(ProgressBar(progress, total, "Evaluate", False, "value"))
        run = _Evaluator(first, preprocess, subjects, chosen, checks.whole(seed, "seed", 0), options, journal)
        for i, of_image in enumerate(zip(listed, wanted, objects, strict=True)):
            for row in run.rows(i, *of_image):
                rows.append(row)
                if report is not None:
                    report(len(rows), total)
                if len(rows) < total and cancelled is not None and cancelled():
                    raise Cancelled("The evaluation was cancelled.")
    if run.first_error is not None and all(each.error for each in rows):
        raise run.first_error
    return Evaluation(rows, run.seed)


@dataclass(frozen=True)
class _Scene:
    """One image with its target.

    Attributes:
        index: index of the image.
        prepared: the model with the image.
        target: as the user passed it.
        label: its name.
        case: what metrics are computed on.
        digest: a hash of the model's outputs, the image, the target, the object and the seed.
    """

    index: int
    prepared: Prepared
    target: Any
    label: str
    case: Case[Any]
    digest: bytes


@dataclass
class _Evaluator:
    """Measures the masks of one image after another.

    Attributes:
        first: the adapted model, with any picture.
        preprocess: of the pictures.
        subjects: by name, a method, or masks for each image.
        metrics: the metrics by name.
        seed: see :func:`evaluate`.
        options: of sessions.
        journal: the file of rows.
        first_error: the first error of an image, a method or a metric.
    """

    first: Prepared
    preprocess: Preprocess | None
    subjects: Mapping[str, Method | Sequence[Any]]
    metrics: Mapping[str, Metric]
    seed: int
    options: Mapping[str, Any]
    journal: Journal | None
    first_error: Exception | None = None

    def rows(self, index: int, image: Any, target: Any, given: Any) -> Iterator[EvaluationRow]:
        """Yield the rows of one image."""
        scene, error = self._attempt(lambda: self._scene(index, image, target, given))
        for name, subject in self.subjects.items():
            if scene is None:
                label = "" if target is None else target if isinstance(target, str) else brief(target)
                yield from (self._row(index, label, name, each, error=error) for each in self.metrics)
            else:
                yield from self._measured(scene, name, subject)

    def _scene(self, index: int, image: Any, target: Any, given: Any) -> _Scene:
        """Return an image with its target, prepared for the model."""
        prepared = self.first.with_image(image, self.preprocess)
        picture: Any = prepared.picture
        truth = None if given is None else truth_of(given, picture)
        if target is None:
            own = [each[index] for each in self.subjects.values() if not isinstance(each, Method)]
            explained = [each.target for each in own if isinstance(each, Explanation) and isinstance(each.target, int)]
            target = explained[0] if explained else None
        resolved = target_of(prepared, target)
        case = case_of(prepared, target, truth=truth, seed=self.seed, **self.options)
        outputs: np.ndarray = only(prepared.outputs)
        # rounded: another number of threads may change the last digits
        model = f"{outputs.argmax()} {outputs.max():.4g} {np.linalg.norm(outputs):.4g}"
        digest = hashlib.blake2b(repr((model, picture.fed.shape, resolved.name, self.seed)).encode(), digest_size=16)
        for each in (picture.fed, truth):
            digest.update(b"" if each is None else np.ascontiguousarray(each).tobytes())
        return _Scene(index, prepared, target, resolved.label, case, digest.digest())

    def _measured(self, scene: _Scene, name: str, subject: Method | Sequence[Any]) -> Iterator[EvaluationRow]:
        """Yield the rows of one method, or of masks of the user's own, on one image."""
        known = self._known(scene, subject)
        made, error = None, ""
        if len(known) < len(self.metrics):
            made, error = self._attempt(lambda: self._mask(scene, subject))
        for each, metric in self.metrics.items():
            if each in known:
                yield known[each]._replace(image=scene.index, method=name, metric=each)
            elif made is None:
                yield self._row(scene.index, scene.label, name, each, error=error)
            else:
                mask, cost = made
                row = self._value(scene, mask, name, each, metric)._replace(**cost)
                if self.journal is not None and not row.error:
                    self.journal.add(self._key(scene, subject, metric), row._asdict())
                yield row

    def _known(self, scene: _Scene, subject: Method | Sequence[Any]) -> dict[str, EvaluationRow]:
        """Return the rows that the file contains, by metric."""
        if self.journal is None:
            return {}
        keys, _ = self._attempt(lambda: {each: self._key(scene, subject, one) for each, one in self.metrics.items()})
        rows = self.journal.rows
        return {each: EvaluationRow(**rows[key]) for each, key in (keys or {}).items() if key in rows}

    def _mask(self, scene: _Scene, subject: Method | Sequence[Any]) -> tuple[Attribution, dict[str, Any]]:
        """Return the mask to be measured, and fields of its rows: its cost. The case can run its method again."""
        scene.case.runner = None
        if isinstance(subject, Method):
            started = time.perf_counter()
            run = scene.prepared.run(subject, scene.target, {})
            explanation = only(explained(run, started, **self.options))
            scene.case.runner = Rerun(scene.prepared, run, scene.case.session, self.options)
            cost = {"method_images": explanation.images, "method_seconds": explanation.seconds}
            return Attribution.of(explanation), cost
        given = subject[scene.index]
        if isinstance(given, Explanation) and isinstance(given.target, int) and given.target != scene.case.target:
            raise BadTarget(
                f"The explanation is of {given.label!r}, and the target of this image is {scene.label!r}: pass "
                "explanations of one target for each image, or targets."
            )
        return attribution_of(given), {}

    def _value(self, scene: _Scene, mask: Attribution, method: str, name: str, metric: Metric) -> EvaluationRow:
        """Measure one mask with one metric."""
        started = time.perf_counter()
        values, error = self._attempt(lambda: _numbers(metric(scene.case, mask)))
        seconds = time.perf_counter() - started
        return self._row(scene.index, scene.label, method, name, error=error, seconds=seconds, **(values or {}))

    def _row(self, index: int, label: str, method: str, metric: str, **values: Any) -> EvaluationRow:
        better = {True: "higher", False: "lower", None: "neither"}[self.metrics[metric].higher_is_better]
        return EvaluationRow(index, label, method, metric, better=better, **values)

    def _key(self, scene: _Scene, subject: Method | Sequence[Any], metric: Metric) -> str:
        """Return the key of a row in the file."""
        if isinstance(subject, Method):
            which = subject.key()
        else:
            mask = attribution_of(subject[scene.index])
            ranking = b"" if mask.ranking is None else mask.ranking.tobytes()
            rest = repr((mask.sign, mask.gap)).encode() + ranking
            which = hashlib.blake2b(mask.digest + rest, digest_size=16).hexdigest()
        return f"{scene.digest.hex()}-{which}-{metric.key()}"

    def _attempt(self, compute: Callable[[], T]) -> tuple[T | None, str]:
        """Return the result, or None and the error as text."""
        try:
            return compute(), ""
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001  # the other rows do not depend on it
            self.first_error = self.first_error or error
            return None, f"{type(error).__name__}: {error}"


def _numbers(found: Measurement) -> dict[str, Any]:
    """Return the fields of a row from a measurement."""
    values = {"value": float(found.value), "reason": found.reason, "images": int(found.images)}
    if (band := found.band) is None:
        return values
    return {**values, "random": band.mean, "random_low": band.low, "random_high": band.high}


def _first(model: Any, images: Sequence[Any], *given: Any) -> Prepared:
    """Return the model, adapted with the first image that can be read.

    Raises:
        BadImage: no image can be read.
    """
    failure: Exception = BadImage("There is no image.")
    for image in images:
        try:
            return prepare(model, [image], *given)
        except (BadImage, OSError) as error:
            failure = error
    raise failure
