"""Recommend methods for a model and an image: :func:`recommend`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency import checks
from saliency.api.check import CONTRAST, RANDOM, Checking
from saliency.api.methods import not_over_image, offered
from saliency.api.prepare import Prepared, only, prepare
from saliency.core.catalogue import METHODS
from saliency.core.method import Method, as_method
from saliency.errors import BadField, Cancelled, SaliencyError, Unsupported, unknown
from saliency.metrics.verdict import Recommendation, Recommendations, Verdict
from saliency.model.protocols import lacking
from saliency.pictures.presets import Preprocess
from saliency.results.assemble import explained
from saliency.session.progress import ProgressBar
from saliency.session.session import Progress

CANDIDATES = (
    "gradient",
    "smooth_grad_squared",
    "integrated_gradients",
    "guided_ig",
    "xrai",
    "lrp",
    "deep_lift",
    "grad_cam",
    "layer_cam",
    "guided_grad_cam",
    "attention_relevance",
    "occlusion",
    "rise",
    "partition_shap",
)
"""Methods of every family, for which maps are measured by default."""

SCALED = ("samples", "steps")
"""Fields in proportion to which the cost of a method grows."""


def recommend(
    model: Any,
    image: Any,
    target: Any = None,
    methods: Sequence[str | Method | type[Method]] = CANDIDATES,
    *,
    images: int = 200,
    labels: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    activation: str = "auto",
    output: Any = None,
    framework: str | None = None,
    batch_size: int | str = "auto",
    progress: bool | Progress = True,
    seed: int = 0,
    cancelled: Callable[[], bool] | None = None,
    shared: Callable[[], bool] | None = None,
) -> Recommendations:
    """Rank methods by how strongly measurements on the model support their maps of this image, at equal cost.

    Each map is measured as by :func:`saliency.check`, with class contrast, and random maps are evaluated once for all.
    A ranking on one image is an observation, not a law: :func:`saliency.evaluate` compares methods on many.

    Args:
        model: see :func:`saliency.explain`.
        image: see :func:`saliency.explain`.
        target: index or label of a class; by default the top class.
        methods: ids, methods or classes; those that the model does not support are listed with the reason.
        images: how many images each method may evaluate. A method that needs more gets fewer samples or steps, or is
            left out with the reason.
        labels: names of the classes.
        preprocess: see :func:`saliency.explain`.
        activation: see :func:`saliency.adapt`.
        output: see :func:`saliency.adapt`.
        framework: see :func:`saliency.explain`.
        batch_size: images per model call; "auto" measures the fastest size.
        progress: True for a progress bar, False for none, or a callable (images evaluated, images in total).
        seed: seed of random maps and noise.
        cancelled: called between model calls; when it returns true, :class:`saliency.Cancelled` is raised.
        shared: see :func:`saliency.explain`.

    Returns:
        the methods, the strongest verdict first, those without a verdict last.

    Raises:
        BadField: there is no method.
        BadTarget: there is no such class.
        Unsupported: the model supports none of the methods.
    """
    images, seed = checks.whole(images, "images", 1), checks.whole(seed, "seed", 0)
    checks.callbacks(bar=True, progress=progress, cancelled=cancelled, shared=shared)
    wanted = [_method(each) for each in checks.several(methods, "methods")]
    if not wanted:
        raise BadField("methods is an empty list: pass at least one method, or omit it for methods of every family.")
    prepared = prepare(model, [image], labels, preprocess, framework, activation, output)
    total = RANDOM + len(wanted) * (images + 60)
    with ProgressBar(progress, total, "Methods", False) as report:
        options = {"batch_size": batch_size, "progress": report, "cancelled": cancelled, "shared": shared}
        trial = Trial(prepared, target, seed, images, options)
        found = [trial.measured(each) for each in wanted]
    if all(each.verdict is None for each in found):
        raise Unsupported(f"None of these methods can be measured. {offered(prepared.adapted, False)}")
    strengths = np.array([np.nan if each.verdict is None else each.verdict.strength for each in found])
    order = np.argsort(-np.nan_to_num(strengths, nan=-np.inf), kind="stable")
    return Recommendations(found[i] for i in order)


@dataclass
class Trial:
    """Methods tried on one picture, with one band of random maps.

    Attributes:
        prepared: the model with the picture.
        target: see :func:`recommend`.
        seed: see :func:`recommend`.
        images: see :func:`recommend`.
        options: of the sessions.
        bands: the first verdict, whose random maps the others take.
    """

    prepared: Prepared
    target: Any
    seed: int
    images: int
    options: Mapping[str, Any]
    bands: Verdict | None = None

    def measured(self, method: Method) -> Recommendation:
        """Return a method with the verdict on its map, or with the reason why there is none."""
        if (why := lacking(self.prepared.adapted, method.needs)) is not None:
            return Recommendation(method, None, why)
        if (why := not_over_image(method)) is not None:
            return Recommendation(method, None, why)
        fitted = at_cost(method, tuple(self.prepared.picture.fed.shape), self.images)
        if fitted is None:
            return Recommendation(method, None, f"needs more than {self.images} images")
        try:
            run = self.prepared.run(fitted, self.target, {})
            exp = only(explained(run, time.perf_counter(), **self.options))
            checking = Checking(self.prepared, exp, self.target, None, self.seed, self.bands, CONTRAST)
            *_, verdict = checking.verdicts(**self.options)
        except Cancelled:
            raise
        except SaliencyError as error:
            return Recommendation(fitted, None, str(error))
        self.bands = self.bands or verdict
        return Recommendation(fitted, verdict, verdict.sentence, exp.images)


def at_cost(method: Method, shape: tuple[int, ...], images: int) -> Method | None:
    """Return a method with as many samples or steps as a number of images allows, at most its own; None without any.

    Args:
        method: the method.
        shape: (1, H, W, C).
        images: number of images that it may evaluate.
    """
    if method.cost(shape) <= images:
        return method
    for name in SCALED:
        most = getattr(method, name, None)
        if not isinstance(most, int):
            continue
        for count in range(min(most, images), 0, -1):
            try:
                fewer = method.but(**{name: count})
            except SaliencyError:
                break  # below the smallest value that the field allows
            if fewer.cost(shape) <= images:
                return fewer
    return None


def _method(value: Any) -> Method:
    """Return a method given by its id, as an instance or as a class."""
    if isinstance(value, str):
        if value not in METHODS:
            raise unknown("method", value, METHODS)
        return METHODS[value]()
    return as_method(value, "methods")
