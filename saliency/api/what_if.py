"""Predict a picture with part of it removed: for one selection, or for a growing share of its pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from saliency import checks
from saliency.api.predict import Prediction, ranked
from saliency.api.prepare import Prepared, prepare
from saliency.errors import BadShape
from saliency.metrics.case import Case
from saliency.metrics.metric import Attribution
from saliency.metrics.perturbation import PerturbationCurves, curves
from saliency.pictures.picture import FILLS
from saliency.pictures.presets import Preprocess
from saliency.results.explanation import Explanation
from saliency.session.samples import Originals
from saliency.session.session import Progress, Session


class WhatIf(NamedTuple):
    """Predictions for the two parts of a picture. In each, the other part is replaced by the fill."""

    only: list[Prediction]
    """The top classes of the selected pixels alone, best first."""
    without: list[Prediction]
    """The top classes of the picture without the selected pixels."""


def what_if(
    model: Any,
    image: Any,
    selection: np.ndarray,
    fill: str = "blur",
    top: int = 5,
    *,
    labels: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    activation: str = "auto",
    output: Any = None,
    framework: str | None = None,
) -> WhatIf:
    """Return the predictions for the selected pixels alone and for the picture without them, in one call.

    Args:
        model: see :func:`saliency.adapt`.
        image: see :func:`saliency.explain`.
        selection: bool (h, w), at the resolution of the model's input, as from :meth:`Explanation.top`.
        fill: replacement of removed pixels: "blur", "mean", "grey", "black", "white" or "noise".
        top: number of classes.
        labels: names of the classes.
        preprocess: see :func:`saliency.explain`.
        activation: see :func:`saliency.adapt`.
        output: see :func:`saliency.adapt`.
        framework: see :func:`saliency.explain`.

    Raises:
        BadShape: the selection does not have the height and width of the model's input.
        BadOutput: the model's output is NaN or infinite.
    """
    top, fill = checks.whole(top, "top", 1), checks.choice(fill, "fill", FILLS)
    chosen = checks.selection(selection, "selection")
    prepared = prepare(model, [image], labels, preprocess, framework, activation, output)
    keep = _of_shape(chosen, prepared, "selection")
    adapted, ops = prepared.adapted, prepared.adapted.ops
    kept: Any = ops.asarray(np.stack([keep, ~keep])[..., None])
    halves: Any = ops.where(kept > 0.5, prepared.images, prepared.filled(fill))
    outputs = np.concatenate([each for _, each in Session(adapted, batch_size=2).outputs(Originals(ops, halves))])
    return WhatIf(*(ranked(each, adapted, top) for each in outputs))


def perturbation_curves(
    model: Any,
    image: Any,
    mask: Explanation | np.ndarray,
    target: int | str | None = None,
    fill: str = "blur",
    points: int = 32,
    *,
    labels: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    activation: str = "auto",
    output: Any = None,
    framework: str | None = None,
    batch_size: int | str = "auto",
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    shared: Callable[[], bool] | None = None,
) -> PerturbationCurves:
    """Compute insertion and deletion curves: the target's probability as the most salient pixels are added or removed.

    2 * `points` images are evaluated. For outputs without probabilities, the curves are of the target's value. The
    paper (arXiv:1806.07421, section 4.3) inserts onto a blurred picture and deletes to grey; which masks score best
    depends much on the fill.

    Args:
        model: see :func:`saliency.adapt`.
        image: see :func:`saliency.explain`.
        mask: an explanation of this image, whose regions are used in their order, or its pixels as its `sign` shows
            them; or an array (h, w) or (h, w, C) at the resolution of the model's input, larger where more salient.
        target: index or label of a class; by default the explanation's, or else the top class.
        fill: see :func:`what_if`.
        points: number of equal shares into which the pixels are divided.
        labels: names of the classes.
        preprocess: see :func:`saliency.explain`.
        activation: see :func:`saliency.adapt`.
        output: see :func:`saliency.adapt`.
        framework: see :func:`saliency.explain`.
        batch_size: images per model call; "auto" measures the fastest size.
        progress: a callable (images evaluated, images in total).
        cancelled: called between model calls; when it returns true, :class:`saliency.Cancelled` is raised.
        shared: see :func:`saliency.explain`.

    Raises:
        BadShape: the mask does not have the height and width of the model's input.
        BadTarget: there is no such class.
    """
    points, fill = checks.whole(points, "points"), checks.choice(fill, "fill", FILLS)
    checks.callbacks(progress=progress, cancelled=cancelled, shared=shared)
    prepared = prepare(model, [image], labels, preprocess, framework, activation, output)
    salience = salience_of(mask, prepared)
    session = Session(
        prepared.adapted,
        batch_size=batch_size,
        progress=progress,
        cancelled=cancelled,
        shared=shared,
        total=2 * points,
        streaming=True,
    )
    if target is None and isinstance(mask, Explanation) and isinstance(mask.target, int):
        target = mask.target
    case = Case(session, prepared.images, prepared.index(target), filled=prepared.filled)
    return curves(case, salience, fill, points)


def salience_of(mask: Explanation | np.ndarray, prepared: Prepared, what: str = "mask") -> np.ndarray:
    """Return the salience of each pixel of the model's input, (h, w), larger where more salient.

    Args:
        mask: an explanation, or an array (h, w) or (h, w, C).
        prepared: the model with one picture.
        what: the name of the argument.

    Raises:
        BadShape: it does not have the height and width of the model's input.
    """
    if isinstance(mask, Explanation):
        return _of_shape(Attribution.of(mask).ranked(), prepared, what)
    values = checks.array(mask, f"{what}, by which pixels are ordered,").astype(np.float64)
    if not values.size:
        raise BadShape(f"The {what} is empty: its shape is {values.shape}.")
    return _of_shape(Attribution(values).pooled(), prepared, what)


def _of_shape(array: np.ndarray, prepared: Prepared, what: str) -> np.ndarray:
    plane = prepared.picture.fed.shape[1:3]
    if array.shape != plane:
        raise BadShape(f"The {what} must have the shape of the model's input, {plane}, got {array.shape}.")
    return array
