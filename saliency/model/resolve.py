"""Resolve targets: from an index, a label, None or a callable to the function that is explained and its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from saliency import checks
from saliency.errors import BadOutput, BadTarget, Unsupported
from saliency.model.head import Head
from saliency.model.names import name_in_sentence, subject_of
from saliency.model.protocols import CAPABILITY, Adapted, Layered, Target, lacking
from saliency.targets import ClassScore, OfEach, OfScores, Unit, index_of, label_of


class Each(tuple[Any, ...]):
    """The target of each picture of a batch, where they differ."""

    __slots__ = ()


class Resolved(NamedTuple):
    """A target of one picture: the function that is explained, and its name."""

    explained: int | Target
    name: int | str
    label: str
    row: int = 0
    """Index of the function among those that are bound: its row of the scores and masks."""


def outputs_of(adapted: Adapted[Any], images: Any) -> np.ndarray:
    """Return the model's outputs for images (N, …), (N, K) float64 on the host.

    Raises:
        BadOutput: they are not finite.
    """
    with adapted.lock:
        rows = adapted.ops.tohost(adapted.outputs(images))
    count = int(images.shape[0])
    which, whose = ("one image", "this image") if count == 1 else (f"{count} images", "these images")
    if len(rows) != count:
        raise BadOutput(
            f"{subject_of(adapted)} returns scores of shape {rows.shape} for {which}. "
            "The first axis must be the batch: (N, classes)."
        )
    adapted.width = adapted.structure, int(rows.shape[1])
    outputs = rows.astype(np.float64)
    if broken := np.count_nonzero(~np.isfinite(outputs)):
        raise BadOutput(
            f"The output of {name_in_sentence(adapted)} contains {broken} NaN or infinite values of "
            f"{outputs.size} for {whose}, so it cannot be explained. Check the weights and the preprocessing."
        )
    return np.asarray(outputs)


def known_width(adapted: Adapted[Any]) -> int | None:
    """Return the number of outputs, if the model has been called and the meaning of the outputs is certain."""
    if adapted.head is None or adapted.head.guessed or adapted.width is None:
        return None
    structure, width = adapted.width
    return width if adapted.structure == structure else None


def scores_in(outputs: np.ndarray, targets: Sequence[int | Target], head: Head) -> np.ndarray | None:
    """Return the scores (k, N) that outputs (N, K) contain; None if a target is no class, or reads hidden logits."""
    indices = [each.index if isinstance(each, ClassScore) else each for each in targets]
    known = [each for each in indices if isinstance(each, int)]
    return None if head.to_logits or len(known) < len(indices) else outputs.T[known]


def resolved(
    wanted: Sequence[Any] | Each, adapted: Adapted[Any], outputs: Callable[[], np.ndarray], count: int
) -> tuple[list[list[Resolved]], list[list[str]]]:
    """Return the targets that the user named and notes on the settings used, for each picture.

    Args:
        wanted: indices, labels, None for the top class, or callables, for all pictures; or :class:`Each`.
        adapted: the model.
        outputs: returns the model's outputs, (B, K); called only where they are needed.
        count: number B of pictures.

    Raises:
        BadTarget: there is no target, or no such class.
    """
    if not wanted:
        raise BadTarget("target is an empty list: pass at least one class, or omit it for the top class.")
    notes: list[list[str]] = [[] for _ in range(count)]

    # an index or a label needs only the number of classes
    width = known_width(adapted) if any(isinstance(each, int | str) for each in wanted) else None

    def of_picture(i: int) -> list[Resolved]:
        own = [wanted[i]] if isinstance(wanted, Each) else wanted
        return _of_picture(own, adapted, lambda: outputs()[i], notes[i], width)

    return _with_rows([of_picture(i) for i in range(count)]), notes


def _of_picture(
    wanted: Iterable[Any],
    adapted: Adapted[Any],
    outputs: Callable[[], np.ndarray],
    notes: list[str],
    width: int | None,
) -> list[Resolved]:
    """Return the targets of a picture, from its outputs (K,), or from their number alone if it is known and sufficient.

    `notes` receives the settings used.
    """
    found = []
    for target in wanted:
        if isinstance(target, Unit):
            if (why := lacking(adapted, Layered)) is not None:
                raise Unsupported(f"A unit as a target needs {CAPABILITY[Layered]}: {why}.")
            found.append(Resolved(target, target.named(), target.named()))
            continue
        if callable(target) and not isinstance(target, OfScores):
            checks.function(target, "target, where it is no class,", ("outputs",), BadTarget)
            name = getattr(target, "__name__", type(target).__name__)
            found.append(Resolved(target, name, name))
            continue
        named = isinstance(target, int | str) and width is not None
        scores = np.empty(width) if named and width is not None else outputs()
        head: Head = adapted.head
        labels = head.names(adapted.labels, len(scores))
        if adapted.labels is None and labels is not None and len(labels) > 1:
            notes.append("the model has 1,000 classes without names: ImageNet's are used")
        if isinstance(target, OfScores):
            indexed = target.resolved(labels, scores, head.shares(scores))
            found.append(Resolved(indexed, indexed.named(labels), indexed.named(labels)))
            continue
        index = resolved_index(target, head, scores, labels)
        if target is None and head.count(len(scores)) > 1:
            notes.append("target: the top class")
        found.append(Resolved(head.target(index), index, label_of(index, labels)))
    return found


def _with_rows(targets: Sequence[Sequence[Resolved]]) -> list[list[Resolved]]:
    """Number the functions to bind: one that several pictures share has one row. Top classes, for example, may differ.

    Args:
        targets: for each picture the same targets, as resolved for it.
    """
    found: list[list[Resolved]] = [[] for _ in targets]
    rows = 0
    for same in zip(*targets, strict=True):
        distinct: list[int | Target] = []
        for own, each in zip(found, same, strict=True):
            if each.explained not in distinct:
                distinct.append(each.explained)
            own.append(each._replace(row=rows + distinct.index(each.explained)))
        rows += len(distinct)
    return found


def each_own(targets: Sequence[Sequence[Resolved]]) -> tuple[list[list[Resolved]], list[OfEach]]:
    """Return targets with one row for each that the user named, whose function may differ between the pictures.

    Args:
        targets: for each picture the same targets, as resolved for it.

    Returns:
        the targets with their new rows, and the functions by row; the targets as given and none where no function
        differs, or where one does not read the scores.
    """
    by_position = list(zip(*targets, strict=True))
    of_scores = all(isinstance(each.explained, int | OfScores) for own in targets for each in own)
    if not of_scores or all(each.row == same[0].row for same in by_position for each in same):
        return [list(own) for own in targets], []
    rows = [[each._replace(row=row) for row, each in enumerate(own)] for own in targets]
    return rows, [OfEach([each.explained for each in same]) for same in by_position]


def functions_of(targets: Sequence[Sequence[Resolved]]) -> list[int | Target]:
    """Return the functions of the targets of all pictures, by row."""
    by_row = {each.row: each.explained for own in targets for each in own}
    return [by_row[row] for row in sorted(by_row)]


def resolved_index(target: Any, head: Head, outputs: np.ndarray, labels: Sequence[str] | None) -> int:
    """Return the index of the class, or value, of a target; None stands for the top one.

    Args:
        target: index, label or None.
        head: the interpretation of the outputs.
        outputs: the image's outputs, (K,).
        labels: names of the classes.
    """
    count = head.count(len(outputs))
    if target is None:
        return int(head.scores(outputs).argmax())
    if head.meaning == "value" and count == 1 and isinstance(target, int) and not -1 <= target <= 0:
        raise BadTarget(
            f"The model has one output, which is interpreted as a value: its target is 0, got {target}. "
            "If it is the logit of two classes, pass two labels or activation='sigmoid'."
        )
    return index_of(target, labels, count)
