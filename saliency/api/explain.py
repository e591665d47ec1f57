"""The one place that sees both methods and models."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from saliency import checks
from saliency.api.prepare import prepare
from saliency.core.method import Method
from saliency.core.method import run as masks_of
from saliency.pictures.presets import Preprocess
from saliency.results.assemble import Assembly
from saliency.results.run import Run
from saliency.session.baselines import Baseline
from saliency.session.progress import ProgressBar
from saliency.session.session import Progress, Session

SHOWINGS = 20
"""How many partial results a run shows at most."""


def explain(
    model: Any,
    image: Any,
    method: str | Method | type[Method] = "auto",
    target: Any = None,
    *,
    labels: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    layer: Any = None,
    baseline: Baseline | None = None,
    batch_size: int | str = "auto",
    progress: bool | Progress = True,
    seed: int | None = None,
    cancelled: Callable[[], bool] | None = None,
    shared: Callable[[], bool] | None = None,
    partial: Callable[[Any], None] | None = None,
    framework: str | None = None,
    activation: str = "auto",
    output: Any = None,
    **fields_of_the_method: Any,
) -> Any:
    """Why the model decided: one mask over the image.

    Args:
        model: see :func:`saliency.adapt`, or what it gave.
        image: PIL image, path, bytes of a file, open file, array or tensor (H, W), (H, W, C) or (C, H, W) of any number
            of channels; with or without a batch axis of one. Integers are scaled to 0–1 by the range of their type,
            floats fed as they are, unless `preprocess` is given or the model declares one. See :func:`saliency.read`.
            Or a list of arrays, of any shape: the model is called with them as they are, each with its batch axis of
            one, and explained by each. For methods that need no picture.
        method: an id of :func:`methods`, a method as a value, or "auto": XRAI where the model gives gradients, RISE
            where it gives only scores.
        target: class index, label, None (the top class), a callable from the model's own outputs to one number per
            image (N,), or a list of these: one explanation each, from shared forward passes.
        labels: names of the classes.
        preprocess: from the image, in the kind it came, to what the model is fed; or a preset, "imagenet", "0..1",
            "0..255" or "-1..1"; see :func:`saliency.read`. Without it, what the model declares is used for pictures
            that are no floats. A note names it, or a preset under which the model is much surer.
        layer: name of the layer, or the torch module or Keras layer itself, for methods that read one; a list of these
            for those that read several; automatic by default.
        baseline: for methods that have one: "black", "white", "grey", "mean", "blur", "noise" (in picture space),
            a number, an array or a tensor (in model space), or a list of these, averaged. For a list of inputs: a
            number for all, a list with one for each, or a list of such lists, averaged.
        batch_size: images a question; "auto" measures.
        progress: True for a bar, False for none, or a callable told (images asked, images in all).
        seed: for methods that draw.
        cancelled: asked between questions; when true, :class:`saliency.Cancelled` is raised.
        shared: asked between questions; while true, somebody else asks the model too, and questions whose size is
            measured are of one image, so that they wait least.
        partial: given explanations on the way, at most 20 a run, each a fair estimate.
        framework: whose arrays a plain function takes ("numpy", "torch", "tensorflow", "jax"); found out by asking it
            once.
        activation: what the model's outputs are: "softmax" or "sigmoid": logits, which are explained; "none": numbers
            that are what they are; "auto": decided from the model's last operator, the labels and the shape. See
            :func:`saliency.adapt`.
        output: which of several outputs is explained: an index, a key, an attribute or a callable. A callable `target`
            then receives that output alone.
        **fields_of_the_method: see the method's class.

    Returns:
        :class:`Explanation`; a list of them, one per input, when `image` is a list; a list of that when `target` is.

    Raises:
        SaliencyError: everything that can be told about wrong input, see :mod:`saliency.errors`.
    """
    started = time.perf_counter()
    _check_callables(progress, cancelled, shared, partial)
    prepared = prepare(
        model,
        image,
        labels=labels,
        preprocess=preprocess,
        framework=framework,
        activation=activation,
        output=output,
    )
    fields = {"layer": layer, "baseline": baseline, "seed": seed, **fields_of_the_method}
    ready = prepared.run(method, target, fields)
    several = isinstance(target, list | tuple)
    show = None if partial is None else lambda found: partial(found if several else found[0])
    options: dict[str, Any] = {"batch_size": batch_size, "cancelled": cancelled, "shared": shared}
    with ProgressBar(progress, ready.total, ready.method.title, bool(ready.method.beyond)) as report:
        session = ready.session(progress=report, streaming=partial is not None, **options)
        found = _explained(ready, session, started, show)
    return found if several else found[0]


def _explained(run: Run, session: Session[Any], started: float, show: Callable[[Any], None] | None) -> list[Any]:
    """Run a method; give partial results to `show` on the way."""
    assemble, shown = Assembly(run, session, started), 0
    for mask in masks_of(run.method, session, run.images):
        share = session.images / max(session.total, 1)
        if show is not None and shown < share * SHOWINGS < SHOWINGS:
            shown = int(share * SHOWINGS) + 1
            show(assemble(mask))
    assemble.measure()
    return assemble(mask)


def _check_callables(progress: Any, cancelled: Any, shared: Any, partial: Any) -> None:
    """Refuse what cannot be called in the places where :func:`explain` calls it."""
    if callable(progress):
        checks.function(progress, "progress", ("done", "total"))
    elif progress is not None:
        checks.flag(progress, "progress")
    for name, given, takes in (("cancelled", cancelled, ()), ("shared", shared, ()), ("partial", partial, ("found",))):
        if given is not None:
            checks.function(given, name, takes)
