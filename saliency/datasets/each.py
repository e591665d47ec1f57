"""Explain or predict many pictures, one result after another: :func:`explain_each` and :func:`predict_each`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from saliency import checks
from saliency.api.methods import named
from saliency.api.predict import Prediction, ranked
from saliency.core.method import Method
from saliency.datasets.batches import Batches, Read, Setting
from saliency.datasets.sources import Source, decoded_ahead, source_of
from saliency.errors import BadTarget, Cancelled, brief
from saliency.pictures.presets import Preprocess
from saliency.session.baselines import Baseline
from saliency.session.progress import ProgressBar
from saliency.session.session import Progress

ERRORS = ("raise", "yield")


def explain_each(
    model: Any,
    images: Any,
    method: str | Method | type[Method] = "auto",
    targets: Any = None,
    *,
    labels: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    layer: Any = None,
    at: Any = None,
    baseline: Baseline | None = None,
    batch_size: int | str = "auto",
    progress: bool | Progress = False,
    seed: int | None = None,
    cancelled: Callable[[], bool] | None = None,
    framework: str | None = None,
    activation: str = "auto",
    output: Any = None,
    errors: str = "raise",
    **fields_of_the_method: Any,
) -> Iterator[Any]:
    """Explain a model's decision on each of many pictures; batches are filled across pictures.

    Each result equals that of :func:`saliency.explain` on the picture alone, up to rounding. Pictures are read when
    they are needed, at most 32 ahead with an automatic batch size, so that memory stays bounded. Random methods have
    the same seed for each picture.

    Args:
        model: see :func:`saliency.adapt`; or its result.
        images: a list, a generator or another iterable of pictures, see :func:`saliency.explain`; an array or tensor
            (N, H, W, C) or (N, C, H, W); a folder, whose pictures are read in the order of their names; a torch
            ``Dataset`` or ``DataLoader``; or a data set of Hugging Face. An item may be a pair (picture, class), or a
            mapping with the keys "image" and "label". Pictures that the model is fed at one size share batches.
        method: see :func:`saliency.explain`.
        targets: a class index, a label, or a callable for all pictures; or a list with one for each picture, in which
            None stands for the top class. By default the classes that the data set gives, otherwise the top class of
            each picture.
        labels: names of the classes.
        preprocess: see :func:`saliency.explain`.
        layer: see :func:`saliency.explain`.
        at: see :func:`saliency.explain`.
        baseline: see :func:`saliency.explain`.
        batch_size: images per model call; "auto" measures the fastest size.
        progress: True for a progress bar, False for none, or a callable (pictures done, pictures in total), whose total
            is 0 where it is unknown.
        seed: see :func:`saliency.explain`.
        cancelled: called between model calls; when it returns true, :class:`saliency.Cancelled` is raised.
        framework: see :func:`saliency.explain`.
        activation: see :func:`saliency.explain`.
        output: see :func:`saliency.explain`.
        errors: "raise" raises the error of a picture in its turn; "yield" yields it in place of the explanation. Errors
            of the model or the method, which all pictures share, are raised in both cases.
        **fields_of_the_method: see the method's class.

    Yields:
        what :func:`saliency.explain` returns, in the order of the pictures. `seconds` and `images` are the picture's
        share of its batch.

    Raises:
        SaliencyError: an argument, a picture, or the model's output is invalid.
    """
    checks.callbacks(bar=True, progress=progress, cancelled=cancelled)
    checks.choice(errors, "value of errors", ERRORS)
    source = source_of(images)
    setting = Setting(
        method if method == "auto" else named(method),
        {"layer": layer, "baseline": baseline, "seed": seed, **fields_of_the_method},
        at,
        preprocess,
        {"labels": checks.names(labels), "framework": framework, "activation": activation, "output": output},
        {"batch_size": checks.batch_size(batch_size), "cancelled": cancelled},
    )
    batches = Batches(model, setting, target_for(targets, source))
    return results(source, batches, batches.explanations, progress, cancelled, errors, "Explain")


def predict_each(
    model: Any,
    images: Any,
    top: int = 5,
    labels: Sequence[str] | None = None,
    *,
    preprocess: Preprocess | None = None,
    activation: str = "auto",
    output: Any = None,
    framework: str | None = None,
    batch_size: int | str = "auto",
    progress: bool | Progress = False,
    cancelled: Callable[[], bool] | None = None,
    errors: str = "raise",
) -> Iterator[list[Prediction]]:
    """Return the model's top classes for each of many pictures, best first.

    Args:
        model: see :func:`saliency.adapt`.
        images: see :func:`explain_each`.
        top: how many classes.
        labels: names of the classes.
        preprocess: see :func:`saliency.explain`.
        activation: see :func:`saliency.adapt`.
        output: see :func:`saliency.adapt`.
        framework: see :func:`saliency.explain`.
        batch_size: images per model call; "auto" stands for 32.
        progress: see :func:`explain_each`.
        cancelled: see :func:`explain_each`.
        errors: see :func:`explain_each`.

    Yields:
        what :func:`saliency.predict` returns, in the order of the pictures.

    Raises:
        SaliencyError: an argument, a picture, or the model's output is invalid.
    """
    top = checks.whole(top, "top", 1)
    checks.callbacks(bar=True, progress=progress, cancelled=cancelled)
    checks.choice(errors, "value of errors", ERRORS)
    source = source_of(images)
    model_options = {
        "labels": checks.names(labels), "framework": framework, "activation": activation, "output": output,
    }  # fmt: skip
    setting = Setting(None, {}, None, preprocess, model_options, {"batch_size": checks.batch_size(batch_size)})
    batches = Batches(model, setting, lambda _, label: None)

    def ranks(reads: Sequence[Read]) -> list[Any]:
        return [
            each if isinstance(each, Exception) else ranked(each, _adapted(batches), top)
            for each in batches.outputs(reads)
        ]

    return results(source, batches, ranks, progress, cancelled, errors, "Predict")


def _adapted(batches: Batches) -> Any:
    assert batches.first is not None
    return batches.first.adapted


def results(
    source: Source,
    batches: Batches,
    compute: Callable[[Sequence[Read]], list[Any]],
    progress: bool | Progress,
    cancelled: Callable[[], bool] | None,
    errors: str,
    title: str,
) -> Iterator[Any]:
    """Yield the results of all pictures in order."""
    total, done = len(source), 0
    with ProgressBar(progress, total, title, total == 0, "picture") as report:
        # a stream is read when it is needed
        items = iter(source.stream()) if source.at is None else decoded_ahead(source.stream())
        for reads in batches.groups(items, batches.setting.options["batch_size"]):
            if cancelled is not None and cancelled():
                raise Cancelled("The explanation was cancelled.")
            for read, result in zip(reads, compute(reads), strict=True):
                if isinstance(result, Exception) and errors == "raise":
                    result.add_note(f"Picture {read.id!r} of the collection.")
                    raise result
                done += 1
                if report is not None:
                    report(done, total)
                yield result


def target_for(targets: Any, source: Source) -> Callable[[int, Any], Any]:
    """Return a function from the number of a picture and the class that the collection gives to its target.

    Raises:
        BadTarget: there is not one target for each picture.
    """
    if targets is None:
        return lambda _, label: label
    listed = targets.tolist() if hasattr(targets, "tolist") and np.ndim(targets) == 1 else targets
    if not isinstance(listed, list | tuple):
        return lambda _, label: targets
    if source.ids is not None and len(listed) != len(source):
        raise BadTarget(f"targets has {len(listed)} entries for {len(source)} pictures: pass one for each picture.")
    known = tuple(listed)

    def of(index: int, _: Any) -> Any:
        if index >= len(known):
            raise BadTarget(f"targets has {len(known)} entries, and there are more pictures: pass one for each.")
        if isinstance(known[index], list | tuple):
            raise BadTarget(f"Each picture has one target, got {brief(known[index])} for picture {index}.")
        return known[index]

    return of
