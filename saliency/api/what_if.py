"""Predict a picture with part of it removed: for selections, or for a growing share of its pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar, overload

import numpy as np

from saliency import checks
from saliency.api.predict import Prediction, ranked
from saliency.api.prepare import Prepared, prepare
from saliency.errors import BadField, BadShape
from saliency.metrics.case import Case
from saliency.metrics.metric import Attribution
from saliency.metrics.perturbation import PerturbationCurves, curves
from saliency.model.protocols import Ops
from saliency.pictures.picture import FILLS
from saliency.pictures.presets import Preprocess
from saliency.results.explanation import Explanation
from saliency.session.samples import PerImage
from saliency.session.session import Progress, Session

A = TypeVar("A")


class WhatIf(NamedTuple):
    """Predictions for the two parts of a picture. In each, the other part is replaced by the fill."""

    only: list[Prediction]
    """The top classes of the selected pixels alone, best first."""
    without: list[Prediction]
    """The top classes of the picture without the selected pixels."""


@overload
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
    batch_size: int | str = "auto",
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    shared: Callable[[], bool] | None = None,
) -> WhatIf: ...


@overload
def what_if(
    model: Any,
    image: Any,
    selection: Sequence[np.ndarray],
    fill: str = "blur",
    top: int = 5,
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
) -> list[WhatIf]: ...


def what_if(
    model: Any,
    image: Any,
    selection: np.ndarray | Sequence[np.ndarray],
    fill: str = "blur",
    top: int = 5,
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
) -> WhatIf | list[WhatIf]:
    """Return the predictions for the selected pixels alone and for the picture without them.

    Args:
        model: see :func:`saliency.adapt`.
        image: see :func:`saliency.explain`.
        selection: bool (h, w), at the resolution of the model's input, as from :meth:`Explanation.top`; or a list of
            these, which are evaluated in batches.
        fill: replacement of removed pixels: "blur", "mean", "grey", "black", "white" or "noise".
        top: number of classes.
        labels: names of the classes.
        preprocess: see :func:`saliency.explain`.
        activation: see :func:`saliency.adapt`.
        output: see :func:`saliency.adapt`.
        framework: see :func:`saliency.explain`.
        batch_size: images per model call, of which a selection takes two; "auto" measures the fastest size.
        progress: a callable (images evaluated, images in total).
        cancelled: called between model calls; when it returns true, :class:`saliency.Cancelled` is raised.
        shared: see :func:`saliency.explain`.

    Returns:
        The predictions; a list of these for a list of selections.

    Raises:
        BadField: the list of selections is empty.
        BadShape: a selection does not have the height and width of the model's input.
        BadOutput: the model's output is NaN or infinite.
    """
    top, fill = checks.whole(top, "top", 1), checks.choice(fill, "fill", FILLS)
    batch_size = checks.batch_size(batch_size)
    checks.callbacks(progress=progress, cancelled=cancelled, shared=shared)
    several = isinstance(selection, list | tuple)
    chosen = [checks.selection(each, "selection") for each in (selection if several else [selection])]
    if not chosen:
        raise BadField("selection is an empty list: pass at least one mask.")
    prepared = prepare(model, [image], labels, preprocess, framework, activation, output)
    keep = np.stack([_of_shape(each, prepared, "selection") for each in chosen])
    adapted = prepared.adapted
    halves: Any = _Halves(adapted.ops, prepared.images, prepared.filled(fill), keep)
    session: Session[Any] = Session(
        adapted,
        # two images are not enough to measure: they take one call
        batch_size=2 if len(chosen) == 1 and batch_size == "auto" else batch_size,
        progress=progress,
        cancelled=cancelled,
        shared=shared,
        total=len(halves),
    )
    outputs = np.concatenate([each for _, each in session.outputs(halves)])
    found = [WhatIf(*(ranked(each, adapted, top) for each in pair)) for pair in outputs.reshape(len(chosen), 2, -1)]
    return found if several else found[0]


class _Halves(PerImage[A]):
    """For each selection the picture with only its pixels, and the picture without them.

    Args:
        ops: the array functions of the model.
        image: (1, H, W, C).
        filled: (1, H, W, C), which replaces removed pixels.
        selections: bool (n, H, W).
    """

    def __init__(self, ops: Ops[A], image: A, filled: A, selections: np.ndarray) -> None:
        super().__init__(ops, image, each=2 * len(selections))
        self._filled, self._selections = filled, selections

    def copies(self, image: int, which: slice) -> A:
        at = np.arange(which.start, which.stop)
        kept = self._selections[at // 2] ^ (at % 2 == 1)[:, None, None]
        chosen: Any = self.ops.asarray(kept[..., None])
        return self.ops.where(chosen > 0.5, self.images, self._filled)


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
