"""Find a small part of a picture whose removal changes the model's answer: :func:`counterfactual`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from saliency import checks
from saliency.api.cases import target_of
from saliency.api.prepare import Prepared, only, prepare
from saliency.api.what_if import salience_of
from saliency.counterfactuals.composites import Composites
from saliency.counterfactuals.goal import goal_of
from saliency.counterfactuals.result import Counterfactual
from saliency.counterfactuals.search import Chosen, Found, Search, Sets
from saliency.errors import BadImage, BadShape, NotReached
from saliency.metrics.metric import in_words
from saliency.model.inputs import Inputs
from saliency.model.protocols import Adapted, Differentiable, lacking
from saliency.model.resolve import Resolved
from saliency.pictures.picture import FILLS, Picture, held
from saliency.pictures.picture import fill as fill_of
from saliency.pictures.placement import onto
from saliency.pictures.presets import Preprocess
from saliency.pictures.segments import SEGMENTERS, Segments, labelled, masks_of, split, touching
from saliency.results.explanation import Explanation
from saliency.session.consistency import size_for
from saliency.session.progress import ProgressBar
from saliency.session.samples import Originals
from saliency.session.session import Progress, Session

KINDS = ("remove", "keep")

BUDGET = 100
"""Number of images evaluated at most."""

LEAST_FOR_FILLS = 20
"""The smallest budget of which some is used to test other fills."""


def counterfactual(
    model: Any,
    image: Any,
    target: Any = None,
    *,
    kind: str = "remove",
    to: Any = None,
    segments: Segments = "slic",
    count: int = 49,
    fill: str = "blur",
    order: Explanation | np.ndarray | None = None,
    budget: int | None = None,
    labels: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    activation: str = "auto",
    output: Any = None,
    framework: str | None = None,
    batch_size: int | str = "auto",
    progress: bool | Progress = True,
    cancelled: Callable[[], bool] | None = None,
    shared: Callable[[], bool] | None = None,
) -> Counterfactual:
    """Find a small set of segments whose removal changes the model's answer, or that is enough for its answer.

    The answer is the top class for exclusive classes, whether the target's probability is at least 0.5 for independent
    labels, and whether the value has reached `to` for values and functions. The search assumes nothing about the
    model, and what is returned has been tested on it: see `minimal`, `smallest` and `holds_under` of the result. It
    need not be the smallest set. With the smallest sets, others of the same size are found along the way.

    Segments are evaluated one by one, along their order by bisection, by a greedy search, and by leaving members out.
    With kind="keep", where a single segment says little, the search starts with each segment and its neighbours. With
    kind="remove", gradients at the changed picture name the next segments to try, if the model provides them; each
    gradient counts as one image.

    Args:
        model: see :func:`saliency.adapt`.
        image: see :func:`saliency.explain`.
        target: index or label of the class or label, the model's top class by default; or a function, see
            :func:`saliency.explain`.
        kind: "remove": the smallest set without which the answer changes. "keep": the smallest set that alone gives the
            same answer.
        to: the class that the answer is to change to, by index or label, or that the kept segments are to give; any
            other one by default. For values and functions, the number that is to be reached; with kind="keep", that
            is not to be reached.
        segments: "slic", "grid", "felzenszwalb" or "quickshift"; or a label map (H, W) at the resolution of the model's
            input, in which every id, 0 included, is a segment; or masks; or a function from the model's input.
        count: number of segments of a named segmentation.
        fill: replacement of removed pixels, see :func:`what_if`.
        order: a map by which segments are tried first: an explanation of this image, or an array (h, w) at the
            resolution of the model's input, larger where more salient.
        budget: how many images may be evaluated; by default 100, and 3/2 of the number of segments where that is more.
        labels: names of the classes.
        preprocess: see :func:`saliency.explain`.
        activation: see :func:`saliency.adapt`.
        output: see :func:`saliency.adapt`.
        framework: see :func:`saliency.explain`.
        batch_size: images per model call; "auto" measures the fastest size.
        progress: True for a progress bar, False for none, or a callable (images evaluated, images in total).
        cancelled: called between model calls; when it returns true, :class:`saliency.Cancelled` is raised.
        shared: see :func:`saliency.explain`.

    Raises:
        NotReached: no set that was evaluated within the budget reaches the goal; the message says how near one came.
        BadTarget: there is no such class, or it is not the model's answer.
        BadArgument: `to` is missing or does not fit the outputs.
        BadShape: the segments or the order do not fit the model's input.
    """
    checks.choice(kind, "kind of counterfactual", KINDS)
    checks.choice(fill, "fill", FILLS)
    if isinstance(segments, str):
        checks.choice(segments, "segmentation called", SEGMENTERS)
    count = checks.whole(count, "count", 1)
    budget = None if budget is None else checks.whole(budget, "budget", 3)
    checks.callbacks(bar=True, progress=progress, cancelled=cancelled, shared=shared)
    prepared = prepare(model, [image], labels, preprocess, framework, activation, output)
    if isinstance(prepared.picture, Inputs):
        raise BadShape("A counterfactual removes segments of a picture, and was given a list of inputs.")
    ids, places = _segmented(segments, count, prepared.picture.fed[0])
    salience = None if order is None else _by_segment(salience_of(order, prepared, "order"), places)
    allowed = max(BUDGET, 3 * len(ids) // 2) if budget is None else budget
    with ProgressBar(progress, allowed, "Smallest change", False) as report:
        size = size_for(prepared.adapted, prepared.picture.fed, batch_size)
        options = {"batch_size": size, "cancelled": cancelled, "shared": shared}
        composites = _composites(
            prepared, target, to, kind == "keep", places, {**options, "progress": report, "total": allowed}
        )
        # the first image is the picture itself, whose answer is known by now
        found = _searched(composites, fill, allowed - 1, salience, _climbing(prepared, composites, options))
        return _result(prepared, composites, found, fill, allowed - 1, ids)


def _segmented(segments: Segments, count: int, fed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids of the segments, (d,), and the index of each pixel's segment, int (H, W), -1 for none."""
    given = held(split(fed, held(segments), count))
    places = labelled(given, fed.shape[:2])
    if isinstance(given, np.ndarray) and given.dtype.kind in "iu":
        return np.unique(given), places
    return np.array([i for i, each in enumerate(masks_of(given)) if np.any(each)]), places


def _by_segment(salience: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the mean salience of each segment, (d,)."""
    inside = places >= 0
    return np.bincount(places[inside], salience[inside]) / np.bincount(places[inside])


def _composites(
    prepared: Prepared, target: Any, to: Any, keep: bool, places: np.ndarray, options: Mapping[str, Any]
) -> Composites[Any]:
    """Return what evaluates sets of segments. `options` are those of :class:`Session`."""
    adapted = prepared.adapted
    one = target_of(prepared, target)
    names = prepared.head.names(adapted.labels, prepared.outputs.shape[1])
    before = value_of(adapted, one, prepared)
    goal = goal_of(one, to, prepared.head, names, before)
    if keep and (goal.to is None or not goal.exclusive):
        goal = replace(goal, hold=True)
    session = Session(adapted.at([one.explained]), **options)
    return Composites(session, prepared.images, prepared.filled, places, keep, goal, before)


def _climbing(prepared: Prepared, composites: Composites[Any], options: Mapping[str, Any]) -> Session[Any] | None:
    """Return the session that computes gradients towards the goal; None if the model provides none."""
    adapted = prepared.adapted
    if lacking(adapted, Differentiable) is not None:
        return None
    ascent, _ = composites.goal.ascent(adapted.ops)
    return Session(composites.session.model if ascent is None else adapted.at([ascent]), **options)


def value_of(adapted: Adapted[Any], target: Resolved, prepared: Prepared) -> np.ndarray:
    """Return the model's outputs for the picture, (K,); for a function as target its value, (1,)."""
    if isinstance(target.name, int):
        outputs: np.ndarray = only(prepared.outputs)
        return outputs
    ((_, scores),) = Session(adapted.at([target.explained])).scores(Originals(adapted.ops, prepared.images))
    return adapted.ops.tohost(scores).astype(np.float64)[0]


def _searched(
    composites: Composites[Any], fill: str, budget: int, salience: np.ndarray | None, climbing: Session[Any] | None
) -> Found:
    """Search within a budget of images, of which some are left for other fills."""
    sets = Sets(
        lambda each: composites.outcomes(each, fill),
        np.bincount(composites.labels[composites.labels >= 0]),
        budget - (len(FILLS) - 1 if budget >= LEAST_FOR_FILLS else 0),
        None if climbing is None else lambda each: composites.slopes(each, fill, climbing),
    )
    return Search(sets, composites.original, salience, touching(composites.labels)).run()


def _result(
    prepared: Prepared, composites: Composites[Any], found: Found, fill: str, budget: int, ids: np.ndarray
) -> Counterfactual:
    goal, picture = composites.goal, prepared.picture
    assert isinstance(picture, Picture)
    if found.best is None:
        raise _not_reached(composites, found, fill, budget)
    changed = composites.outputs[found.best, fill]
    original = composites.before
    holds = {name: name == fill for name in FILLS if name == fill or composites.calls < budget}
    notes = [*picture.notes, *prepared.adapted.notes]
    for name in [each for each in holds if each != fill]:
        try:
            holds[name] = composites.outcomes([found.best], name)[0].reached
        except BadImage as error:
            del holds[name]
            notes.append(f"the fill {name!r} was not tested: {error}")

    def named(chosen: Chosen) -> tuple[int, ...]:
        return tuple(int(each) for each in ids[sorted(chosen)])

    (replaced,) = composites.replaced([found.best])
    return Counterfactual(
        kind="keep" if composites.keep else "remove",
        label=goal.label,
        segments=named(found.best),
        segmentation=np.where(composites.labels >= 0, ids[composites.labels], -1),
        minimal=found.minimal,
        smallest=found.smallest,
        before=float(goal.shown(original[None])[0]),
        after=float(goal.shown(changed[None])[0]),
        answers=(goal.answer(original), goal.answer(changed)),
        others=tuple(map(named, found.others)),
        fill=fill,
        holds_under=holds,
        calls=composites.calls + 1,
        percent=goal.percent,
        picture=picture.shown,
        changed=_changed(picture, replaced, fill),
        placement=picture.placement,
        notes=tuple(dict.fromkeys(notes)),
    )


def _changed(picture: Picture, replaced: np.ndarray, fill: str) -> np.ndarray:
    """Return the picture to show with some pixels of the model's input replaced, (H, W, 3) uint8."""
    height, width = picture.shown.shape[:2]
    there = onto(replaced.astype(np.float32), picture.placement, (height, width), smooth=False) > 0.5
    filled = fill_of(fill, picture.values[None], picture.low, picture.high)[0]
    without = Picture(filled, picture.low, picture.high, picture.enter)
    return np.where(there[..., None], without.shown, picture.shown)


def _not_reached(composites: Composites[Any], found: Found, fill: str, budget: int) -> NotReached:
    goal, count = composites.goal, len(found.nearest)
    outputs = composites.outputs[found.nearest, fill]
    target = goal.target if goal.to is None or not goal.exclusive else int(goal.to)
    shown = float((outputs if goal.head is None else goal.head.shown(outputs))[target])
    wanted = (
        f"the answer {goal.name(target)!r}"
        if goal.exclusive and goal.to is not None
        else f"{goal.to:.4g} for {goal.label!r}"
        if goal.to is not None
        else f"another answer than {goal.label!r}"
    )
    done, answer = "kept" if composites.keep else "replaced", goal.answer(outputs)
    if repr(goal.name(target)) not in answer:
        answer += f", with {goal.name(target)!r} at {in_words(shown, percent=goal.percent)}"
    return NotReached(
        f"No set of segments was found that gives {wanted} within {budget + 1} images. The nearest, {count} of "
        f"{composites.count} segments {done}, gives {answer}. Try another fill, other segments, or a larger budget."
    )
