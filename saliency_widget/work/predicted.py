"""The predictions of one model for the pictures of a gallery, and the orders in which they can be listed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

import saliency
from saliency_widget.work.collection import UNKNOWN, Collection

SORTS = {
    "image": "Original order",
    "name": "Name",
    "score": "Score",
    "label": "Predicted class",
    "truth": "True class",
    "evidence": "Evidence",
}
"""What pictures are sorted by, with its name in the gallery."""

SHOWS = {
    "all": "All pictures",
    "wrong": "Wrong",
    "confident": "Wrong and confident",
    "right": "Right",
    "unsupported": "Map not supported",
    "error": "Cannot be read",
}
"""What pictures are filtered by, with its name in the gallery."""

OF_TRUTH = ("truth", "wrong", "confident", "right")
"""Those that need true classes."""

OF_PREDICTIONS = ("score", "label", "wrong", "confident", "right")
"""Those that need the predictions of all pictures."""

CONFIDENT = 0.5
"""Least probability of a prediction that is confident."""


class Predicted:
    """The top class of each picture, where it is known.

    Attributes:
        index: index of the top class, int32 (N,); :data:`~saliency_widget.work.collection.UNKNOWN` where it is unknown.
        score: its probability, or the value in the model's own unit, float64 (N,); NaN where it is unknown.
        labels: the labels of the classes, by their indices.
        errors: the reasons why pictures have no prediction, by their indices.
        percent: whether the scores are probabilities.
        version: version of the weights.
    """

    def __init__(self, count: int) -> None:
        self.index = np.full(count, UNKNOWN, np.int32)
        self.score = np.full(count, np.nan)
        self.labels: dict[int, str] = {}
        self.errors: dict[int, str] = {}
        self.percent = True
        self.version: Hashable = None

    def __len__(self) -> int:
        return len(self.index)

    @property
    def done(self) -> int:
        """Number of pictures that have a prediction or an error."""
        return int((self.index != UNKNOWN).sum()) + len(self.errors)

    def missing(self, images: Sequence[int] | None = None) -> list[int]:
        """Return which of some pictures, or of all, have neither a prediction nor an error."""
        among = np.flatnonzero(self.index == UNKNOWN).tolist() if images is None else images
        return [i for i in among if self.index[i] == UNKNOWN and i not in self.errors]

    def add(self, image: int, found: Any) -> None:
        """Store the predictions of a picture, or its error."""
        if isinstance(found, Exception):
            self.errors[image] = str(found)
            return
        best: saliency.Prediction = found[0]
        self.index[image] = best.index
        self.labels[best.index] = best.label
        self.percent = best.probability is not None
        self.score[image] = best.score if best.probability is None else best.probability

    def grow(self, count: int) -> None:
        """Make room for pictures that were added."""
        more = count - len(self)
        self.index = np.append(self.index, np.full(more, UNKNOWN, np.int32))
        self.score = np.append(self.score, np.full(more, np.nan))

    def right(self, collection: Collection) -> np.ndarray:
        """Return 1 for a right prediction, 0 for a wrong one, and −1 where this is not known, int8 (N,)."""
        known = (self.index != UNKNOWN) & (collection.truth != UNKNOWN)
        return np.where(known, self.index == collection.truth, UNKNOWN).astype(np.int8)


def ordered(
    wanted: Mapping[str, Any],
    query: str,
    collection: Collection,
    predicted: Predicted,
    label_of: Callable[[int], str],
    verdicts: Mapping[int, saliency.Verdict],
) -> np.ndarray:
    """Return the pictures that are listed, in their order.

    Args:
        wanted: `sort`, a key of :data:`SORTS`, `descending`, and `show`, a key of :data:`SHOWS`.
        query: text that the name, the predicted or the true class contains.
        collection: the pictures.
        predicted: the predictions of the shown model.
        label_of: returns the label of a class.
        verdicts: the verdicts on maps that were measured, by the index of the picture.

    Returns:
        indices of pictures, int64; pictures without the value that they are sorted by are last.
    """
    shown = _shown(wanted["show"], collection, predicted, verdicts)
    found = np.flatnonzero(shown)
    if text := query.strip().casefold():
        of_class: dict[int, bool] = {UNKNOWN: False}

        def matches(i: int) -> bool:
            for each in (int(predicted.index[i]), int(collection.truth[i])):
                if each not in of_class:
                    of_class[each] = text in label_of(each).casefold()
            named = text in collection.names[i].casefold()
            return named or of_class[int(predicted.index[i])] or of_class[int(collection.truth[i])]

        found = found[[matches(i) for i in found.tolist()]] if len(found) else found
    keys = _keys(wanted["sort"], collection, predicted, label_of, verdicts)[found]
    known = ~np.isnan(keys)
    order = np.argsort(-keys[known] if wanted["descending"] else keys[known], kind="stable")
    return np.concatenate([found[known][order], found[~known]])


def _shown(
    show: str, collection: Collection, predicted: Predicted, verdicts: Mapping[int, saliency.Verdict]
) -> np.ndarray:
    right = predicted.right(collection)
    match show:
        case "wrong":
            return right == 0
        case "confident":
            sure = predicted.score >= CONFIDENT if predicted.percent else np.ones(len(right), bool)
            return np.asarray((right == 0) & sure)
        case "right":
            return right == 1
        case "unsupported":
            return _flags(len(right), [i for i, each in verdicts.items() if each.supported is False])
        case "error":
            return _flags(len(right), predicted.errors)
    return np.ones(len(right), bool)


def _flags(count: int, which: Any) -> np.ndarray:
    flags = np.zeros(count, bool)
    flags[list(which)] = True
    return flags


def _keys(
    sort: str,
    collection: Collection,
    predicted: Predicted,
    label_of: Callable[[int], str],
    verdicts: Mapping[int, saliency.Verdict],
) -> np.ndarray:
    """Return the number of each picture that it is sorted by, float64 (N,); NaN where it is unknown."""
    count = len(predicted)
    match sort:
        case "score":
            return predicted.score
        case "name":
            return ranks(collection.names)
        case "label" | "truth":
            classes = predicted.index if sort == "label" else collection.truth
            of_class = {each: label_of(each).casefold() for each in np.unique(classes).tolist() if each != UNKNOWN}
            place = dict(zip(of_class, ranks(list(of_class.values())).tolist(), strict=True))
            return np.array([place.get(each, np.nan) for each in classes.tolist()], float)
        case "evidence":
            keys = np.full(count, np.nan)
            for i, each in verdicts.items():
                keys[i] = each.strength
            return keys
    return np.arange(count, dtype=float)


def ranks(texts: Sequence[str]) -> np.ndarray:
    """Return the rank of each text in alphabetical order, float64; equal texts have one rank."""
    places = {text: i for i, text in enumerate(sorted(set(texts), key=str.casefold))}
    return np.array([places[each] for each in texts], float)
