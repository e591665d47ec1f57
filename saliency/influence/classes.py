"""The classes of training images, from the labels that a collection gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saliency.errors import BadShape, BadTarget, SaliencyError, brief
from saliency.influence.head import LinearHead
from saliency.targets import index_of, label_of

NAMED = 5
"""Maximum number of classes that a note names."""


def classes_of(
    labels: Sequence[Any], names: Sequence[str], head: LinearHead, class_names: Sequence[str] | None
) -> tuple[np.ndarray, list[str]]:
    """Return the labels of images as the head takes them, and notes.

    Labels that are text are names of classes. Where the classes have no names, numbers in text are their indices, and
    as many other names as there are classes stand for them in alphabetical order, as folders do in torchvision.

    Args:
        labels: index, name or None of each image; (n, C) of 0 and 1 for independent labels.
        names: names of the images, for messages.
        head: the classifier.
        class_names: names of its classes.

    Raises:
        BadTarget: a label is missing, or is no class of the head.
        BadShape: there are not as many labels as images.
    """
    if len(labels) != len(names):
        raise BadShape(f"targets has {len(labels)} entries for {len(names)} images: pass one for each.")
    if head.loss == "sigmoid" and head.outputs > 1:
        if any(each is None or np.ndim(each) == 0 for each in labels):
            raise BadTarget(
                f"The model has {head.outputs} independent labels: pass targets=, an array ({len(names)}, "
                f"{head.outputs}) of 0 and 1."
            )
        return head.labels(np.asarray(labels), len(names)), []
    if all(each is None for each in labels):
        raise BadTarget(
            "The collection gives no labels, and influence needs the label that each image was trained with: pass "
            "(image, label) pairs, a folder with one subfolder for each class, or targets=."
        )
    known: dict[Any, int] = {}
    ordered, notes = _by_order(labels, head, class_names)
    found = np.empty(len(labels), np.int64)
    for i, each in enumerate(labels):
        if each is None:
            raise BadTarget(f"Image {names[i]!r} of the collection has no label: pass targets=, one for each image.")
        key = each.item() if hasattr(each, "item") else each
        if key not in known:
            known[key] = _index(key, names[i], head, class_names, ordered)
        found[i] = known[key]
    counts = np.bincount(found, minlength=head.classes)
    return found, [*notes, *_without_images(counts, class_names)]


def _by_order(
    labels: Sequence[Any], head: LinearHead, class_names: Sequence[str] | None
) -> tuple[dict[str, int], list[str]]:
    """Return the classes of names that stand for them in alphabetical order, with a note."""
    distinct = sorted({each for each in labels if isinstance(each, str)})
    if class_names is not None or len(distinct) != head.classes or all(each.isdecimal() for each in distinct):
        return {}, []
    note = f"labels are classes in alphabetical order: {distinct[0]!r} is class 0; pass labels= for another order"
    return {each: i for i, each in enumerate(distinct)}, [note]


def _index(label: Any, name: str, head: LinearHead, class_names: Sequence[str] | None, ordered: dict[str, int]) -> int:
    if label in ordered:
        return ordered[label]
    if isinstance(label, str) and label.isdecimal() and (class_names is None or label not in class_names):
        label = int(label)
    try:
        index = index_of(label, class_names, head.classes)
    except SaliencyError as reason:
        raise BadTarget(
            f"The label {brief(label)} of image {name!r} is no class of the model, which has {head.classes}: {reason}"
        ) from None
    if isinstance(label, int) and label < 0:
        raise BadTarget(f"The label of image {name!r} is {label}: a label is a class index from 0.")
    return index


def _without_images(counts: np.ndarray, class_names: Sequence[str] | None) -> list[str]:
    missing = np.flatnonzero(counts == 0)
    if not len(missing):
        return []
    some = ", ".join(label_of(int(i), class_names) for i in missing[:NAMED])
    more = ", …" if len(missing) > NAMED else ""
    return [f"{len(missing)} of {len(counts)} classes have no training image here: {some}{more}"]
