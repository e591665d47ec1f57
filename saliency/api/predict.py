"""What a model says: of a picture, and of what is left of it when a part is taken away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from saliency import checks
from saliency.adapters import adapt, read_as
from saliency.api.feeding import picture_for
from saliency.errors import BadField, BadShape
from saliency.metrics.perturbation import Kept, PerturbationCurves, curves, order_of
from saliency.model.head import Head
from saliency.model.inputs import Inputs, inputs_of
from saliency.model.protocols import FRAMEWORKS, Adapted
from saliency.model.resolve import index_for, outputs_of
from saliency.pictures.picture import FILLS, Picture, read
from saliency.pictures.presets import Preprocess
from saliency.results.explanation import Explanation
from saliency.session.session import Progress, Session
from saliency.targets import label_of


@dataclass(frozen=True)
class Prediction:
    """One class or value, and what the model gives it."""

    index: int
    label: str
    probability: float | None
    """0–1; None where the model's outputs are values in a unit of their own: see `score`."""
    score: float
    """What the model gave, before any activation of ours; of two classes that share one output, each one's own."""

    @property
    def shown(self) -> float:
        """What is shown: the probability, or the value."""
        return self.score if self.probability is None else self.probability


class WhatIf(NamedTuple):
    """What the model says of the two halves of a picture, each beside what was filled in for the other."""

    only: list[Prediction]
    """Of the selected pixels alone: its top classes, best first."""
    without: list[Prediction]
    """Of the picture without them."""


def predict(
    model: Any,
    image: Any,
    top: int = 5,
    labels: Sequence[str] | None = None,
    *,
    preprocess: Preprocess | None = None,
    activation: str = "auto",
    output: Any = None,
    framework: str | None = None,
) -> list[Prediction]:
    """What the model sees in the image: its top classes, best first.

    Args:
        model: see :func:`saliency.adapt`.
        image: see :func:`saliency.explain`.
        top: how many classes.
        labels: names of the classes.
        preprocess: see :func:`saliency.explain`.
        activation: see :func:`saliency.adapt`.
        output: see :func:`saliency.adapt`.
        framework: see :func:`saliency.explain`.

    Raises:
        BadOutput: NaN or infinity; or several outputs, and nothing says which one is meant.
    """
    top = checks.whole(top, "top", 1)
    image = inputs_of(image)
    adapted = adapted_for(model, image, labels, preprocess, framework, activation, output)
    picture = picture_for(image, preprocess, adapted)
    return _ranked(outputs_of(adapted, picture), adapted, top)


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
    adapted = adapted_for(model, image, labels, preprocess, framework, activation, output)
    picture = picture_for(image, preprocess, adapted)
    keep = _of_shape(chosen, picture, "selection")
    shown, filled = _shown_and_filled(adapted, picture, fill)
    session = Session(adapted, batch_size=2)
    halves = Kept(adapted.ops, shown, filled, np.stack([keep, ~keep]), 2)
    said = np.concatenate([outputs for _, outputs in session.outputs(halves)])
    return WhatIf(*(_ranked(each, adapted, top) for each in said))


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
    adapted = adapted_for(model, image, labels, preprocess, framework, activation, output)
    picture = picture_for(image, preprocess, adapted)
    order = order_of(_of_shape(_salience(mask), picture, "mask"))
    session = Session(
        adapted,
        batch_size=batch_size,
        progress=progress,
        cancelled=cancelled,
        shared=shared,
        total=2 * points,
        streaming=True,
    )
    if target is None and isinstance(mask, Explanation) and isinstance(mask.target, int):
        target = mask.target
    outputs = outputs_of(adapted, picture)
    head: Head = adapted.head
    index = index_for(target, head, outputs, head.names(adapted.labels, len(outputs)))
    shown, filled = _shown_and_filled(adapted, picture, fill)
    return curves(session, shown, filled, order, index, points)


def adapted_for(
    model: Any,
    image: Any,
    labels: Sequence[str] | None,
    preprocess: Preprocess | None,
    framework: str | None,
    activation: str = "auto",
    output: Any = None,
) -> Adapted[Any]:
    """The model, which may be a function that is asked the image to know whose arrays it takes."""
    if isinstance(image, Inputs):
        from saliency.adapters.multi_input import adapt_several

        if preprocess is not None:
            raise BadField("preprocess is for a picture; a list of inputs is fed to the model as it is.")
        if framework is not None:
            checks.choice(framework, "framework", FRAMEWORKS)
        labels = checks.names(labels)
        several = adapt_several(model, image.packing, labels=labels, framework=framework, row=lambda: image.fed)
        return read_as(several, activation, output)

    def fed() -> np.ndarray:
        return (image if isinstance(image, Picture) else read(image, preprocess)).fed

    return adapt(model, labels=labels, framework=framework, image=fed, activation=activation, output=output)


def _ranked(outputs: np.ndarray, adapted: Adapted[Any], top: int) -> list[Prediction]:
    """The best targets of outputs (K,)."""
    head: Head = adapted.head
    names = head.names(adapted.labels, len(outputs))
    scores, shares = head.scores(outputs), head.shares(outputs)
    best = np.argsort(-scores, kind="stable")[:top]
    return [
        Prediction(int(i), label_of(int(i), names), None if shares is None else float(shares[i]), float(scores[i]))
        for i in best
    ]


def _shown_and_filled(adapted: Adapted[Any], picture: Picture, fill: str) -> tuple[Any, Any]:
    """What the model is fed, and the same without its content, in the model's own arrays."""
    return adapted.ops.asarray(picture.fed), adapted.ops.asarray(picture.without(fill))


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


def _of_shape(array: np.ndarray, picture: Picture, what: str) -> np.ndarray:
    if array.shape != picture.fed.shape[1:3]:
        raise BadShape(
            f"The {what} must have the shape that the model is fed, {picture.fed.shape[1:3]}, got {array.shape}."
        )
    return array
