"""What is asked of a model, as the user meant it: targets by index, label, or as functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from saliency.errors import BadOutput, Unsupported
from saliency.images import Picture
from saliency.inputs import Inputs
from saliency.method import Method
from saliency.model import CAPABILITY, Adapted, Layered, Target, lacking
from saliency.targets import OfScores, Unit, index_of, label_of, names_of, single_logit


class Asked(NamedTuple):
    """A target as it was meant: what is asked of the model, and what it is called."""

    ask: int | Target
    name: int | str
    label: str


def outputs_of(adapted: Adapted[Any], picture: Picture) -> np.ndarray:
    """What the model says of the picture, (classes,)."""
    with adapted.lock:
        said = adapted.ops.tohost(adapted.outputs(adapted.ops.asarray(picture.fed)))[0].astype(np.float64)
    if not np.isfinite(said).all():
        raise BadOutput(
            f"The model's output holds {np.count_nonzero(~np.isfinite(said))} NaN or infinite values of {said.size} "
            "for this image, so there is nothing to explain. Check its weights and the preprocessing."
        )
    return np.asarray(said)


def asked_of(wanted: Iterable[Any], adapted: Adapted[Any], picture: Picture, notes: list[str]) -> list[Asked]:
    """The targets as they were meant, told in `notes` where something was decided.

    Args:
        wanted: indices, labels, None, or callables.
        adapted: the model.
        picture: whose top class None means.
        notes: added to.
    """
    scores: np.ndarray | None = None
    found = []
    for target in wanted:
        if isinstance(target, Unit):
            if (why := lacking(adapted, Layered)) is not None:
                raise Unsupported(f"A unit as a target needs {CAPABILITY[Layered]}: {why}.")
            found.append(Asked(target, target.named(), target.named()))
            continue
        if callable(target) and not isinstance(target, OfScores):
            name = getattr(target, "__name__", type(target).__name__)
            found.append(Asked(target, name, name))
            continue
        scores = outputs_of(adapted, picture) if scores is None else scores
        labels = names_of(adapted.labels, len(scores))
        if labels is not adapted.labels:
            notes.append("the classes have no names, and are 1,000: called by ImageNet's")
        if isinstance(target, OfScores):
            asked = target.resolved(labels, scores)
            found.append(Asked(asked, asked.named(labels), asked.named(labels)))
        elif len(scores) == 1:
            found.append(_single(target, adapted.labels, float(scores[0]), notes))
        else:
            if target is None:
                notes.append("target: the top class")
            index = int(scores.argmax()) if target is None else index_of(target, labels, len(scores))
            found.append(Asked(index, index, label_of(index, labels)))
    return found


def for_inputs(method: Method, inputs: Inputs, offered: str) -> Method:
    """The method for inputs laid side by side: its baselines, and those of methods inside it, are laid out likewise.

    Args:
        method: as it was given.
        inputs: what the model is fed.
        offered: which other methods there are, in a sentence.

    Raises:
        Unsupported: it reads a picture.
    """
    changes: dict[str, Any] = {}
    for each in fields(method):
        value = getattr(method, each.name)
        if isinstance(value, Method):
            changes[each.name] = for_inputs(value, inputs, offered)
        elif each.name == "baseline" and not method.images_only:
            changes[each.name] = inputs.baseline(value)
    if method.images_only:
        raise Unsupported(
            f"{type(method).__name__} reads a picture, by its rows, columns and colours, and was given a list of "
            f"inputs. {offered}"
        )
    return method.but(**changes)


def _single(target: Any, labels: Sequence[str] | None, score: float, notes: list[str]) -> Asked:
    """What is meant by a target of a model with one output: a logit with two classes, or a value."""
    two = labels is not None and len(labels) == 2
    if target is None and not two:
        notes.append("the model has one output: explained as it is")
        return Asked(0, 0, label_of(0, labels))
    index = int(score > 0) if target is None else index_of(target, labels, 2)
    what = "itself" if index else "with its sign turned"
    notes.append(f"the model has one output, taken for the logit of class 1: class {index} is that output {what}")
    return Asked(single_logit(index), index, label_of(index, labels))
