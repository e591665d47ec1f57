"""Predict a picture with a part of it removed: one selection, or more and more of its pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from saliency import checks
from saliency.api.predict import Prediction, ranked
from saliency.api.prepare import prepare
from saliency.errors import BadShape
from saliency.metrics.perturbation import Kept, PerturbationCurves, curves, order_of
from saliency.model.inputs import Inputs
from saliency.pictures.picture import FILLS, Picture
from saliency.pictures.presets import Preprocess
from saliency.results.explanation import Explanation
from saliency.session.session import Progress, Session


class WhatIf(NamedTuple):
    """What the model says of the two halves of a picture, each beside what was filled in for the other."""

    only: list[Prediction]
    """Of the selected pixels alone: its top classes, best first."""
    without: list[Prediction]
    """Of the picture without them."""


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
    """What the model would see in the selected pixels alone, and in the picture without them: one question of two.

    Args:
        model: see :func:`saliency.adapt`.
        image: see :func:`saliency.explain`.
        selection: bool (h, w), at the resolution the model is fed: that of a mask, as from :meth:`Explanation.top`.
        fill: what is put where pixels are taken away: "blur", "mean", "grey", "black", "white" or "noise".
        top: how many classes.
        labels: names of the classes.
        preprocess: see :func:`saliency.explain`.
        activation: see :func:`saliency.adapt`.
        output: see :func:`saliency.adapt`.
        framework: see :func:`saliency.explain`.

    Raises:
        BadShape: the selection has not the shape of what the model is fed.
        BadOutput: the model's answer is NaN or infinite.
    """
    top, fill = checks.whole(top, "top", 1), checks.choice(fill, "fill", FILLS)
    chosen = checks.selection(selection, "selection")
    prepared = prepare(
        model,
        image,
        labels=labels,
        preprocess=preprocess,
        framework=framework,
        activation=activation,
        output=output,
    )
    keep = _of_shape(chosen, prepared.picture, "selection")
    adapted = prepared.adapted
    halves = Kept(adapted.ops, prepared.images, prepared.filled(fill), np.stack([keep, ~keep]), 2)
    outputs = np.concatenate([each for _, each in Session(adapted, batch_size=2).outputs(halves)])
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
    """Insertion and deletion: what the target's probability, or value, does as the most salient pixels come, or go.

    2 * `points` images are asked. The paper (arXiv:1806.07421, section 4.3) inserts onto a blurred picture and deletes
    to grey; which of the two a mask is best at depends much on the fill.

    Args:
        model: see :func:`saliency.adapt`.
        image: see :func:`saliency.explain`.
        mask: an explanation of this image: its regions in their order, or its pixels as its `sign` shows them; or an
            array (h, w) or (h, w, C) at the resolution the model is fed, larger where more salient.
        target: index or label of a class; by default the explanation's, or else the top class.
        fill: see :func:`what_if`.
        points: into how many equal shares the pixels are cut.
        labels: names of the classes.
        preprocess: see :func:`saliency.explain`.
        activation: see :func:`saliency.adapt`.
        output: see :func:`saliency.adapt`.
        framework: see :func:`saliency.explain`.
        batch_size: images a question; "auto" measures.
        progress: told (images asked, images in all).
        cancelled: asked between questions; when true, :class:`saliency.Cancelled` is raised.
        shared: see :func:`saliency.explain`.

    Raises:
        BadShape: the mask has not the shape of what the model is fed.
        BadTarget: there is no such class.
    """
    points, fill = checks.whole(points, "points"), checks.choice(fill, "fill", FILLS)
    callables = ("progress", progress, ("done", "total")), ("cancelled", cancelled, ()), ("shared", shared, ())
    for name, given, takes in callables:
        if given is not None:
            checks.function(given, name, takes)
    prepared = prepare(
        model,
        image,
        labels=labels,
        preprocess=preprocess,
        framework=framework,
        activation=activation,
        output=output,
    )
    order = order_of(_of_shape(_salience(mask), prepared.picture, "mask"))
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
    return curves(session, prepared.images, prepared.filled(fill), order, prepared.index(target), points)


def _salience(mask: Explanation | np.ndarray) -> np.ndarray:
    """(h, w), larger where more salient."""
    if not isinstance(mask, Explanation):
        values = checks.array(mask, "mask, by which pixels are ordered,").astype(np.float64)
        if not values.size:
            raise BadShape(f"The mask is empty: its shape is {values.shape}.")
        return values.sum(2) if values.ndim == 3 else values
    if mask.regions is not None:
        return -mask.regions.ranks.astype(np.int64)
    return mask.salience()


def _of_shape(array: np.ndarray, picture: Picture | Inputs, what: str) -> np.ndarray:
    if array.shape != picture.fed.shape[1:3]:
        raise BadShape(
            f"The {what} must have the shape that the model is fed, {picture.fed.shape[1:3]}, got {array.shape}."
        )
    return array
