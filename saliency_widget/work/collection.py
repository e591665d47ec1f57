"""The pictures of a gallery: their names, and reading one at a time."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import saliency
from saliency_widget.protocol.messages import readable
from saliency_widget.protocol.requests import index_of

MANY = 9
"""Number of pictures from which a list of them opens a gallery; fewer are shown side by side."""

UNKNOWN = -1
"""The class of a picture whose class is not known."""


class Collection:
    """Pictures that are read when they are needed, by one thread at a time.

    Attributes:
        names: the name of each picture.
        truth: index of the true class of each picture, int32 (N,); :data:`UNKNOWN` where it is not known.

    Args:
        names: the name of each picture.
        at: returns picture i with its class, an index, a label or None.
    """

    def __init__(self, names: Sequence[str], at: Callable[[int], tuple[Any, Any]]) -> None:
        self.names = list(names)
        self.truth = np.full(len(self.names), UNKNOWN, np.int32)
        self._at = at
        self._lock = threading.Lock()
        self._added: dict[int, Any] = {}
        self._given: dict[int, Any] = {}
        """The classes that the collection gave, until the labels are known."""
        self._labels: Sequence[str] | None = None
        self._judged = self._has_truth = False

    def judge(self, labels: Sequence[str] | None, truth: Any) -> None:
        """Set the true classes, once the labels are known.

        Args:
            labels: names of the classes.
            truth: the class of each picture; None for those that the collection gives.

        Raises:
            BadTarget: `truth` has not one class for each picture.
            UnknownName: a class is no label.
        """
        self._labels, self._judged, self._has_truth = labels, True, truth is not None
        self.truth = _classes(truth, len(self.names), labels)
        for index, label in self._given.items():
            self._take(index, label)

    @property
    def has_truth(self) -> bool:
        """Whether true classes are known."""
        return self._has_truth or bool((self.truth != UNKNOWN).any())

    def _take(self, index: int, label: Any) -> None:
        if not self._judged:
            self._given[index] = label
        elif label is not None and not self._has_truth and self.truth[index] == UNKNOWN:
            self.truth[index] = index_of(label, self._labels)

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> Any:
        """Return a picture, of any type that :func:`saliency.explain` accepts.

        Raises:
            Exception: any error of the collection.
        """
        if index in self._added:
            return self._added[index]
        # the collection's code may not be made for several threads
        with self._lock:
            image, label = self._at(index)
        self._take(index, label)
        return image

    def label(self, index: int) -> str:
        """Return the label of a class."""
        labels = self._labels
        return labels[index] if labels is not None and 0 <= index < len(labels) else f"class {index}"

    def append(self, image: Any, name: str) -> None:
        """Add a picture at the end."""
        self._added[len(self.names)] = image
        self.names.append(name)
        self.truth = np.append(self.truth, np.int32(UNKNOWN))


def several(given: Any) -> bool:
    """Return whether a list of models or pictures was given, rather than one of them."""
    # a tuple is a single JAX model: (f, weights), or (module, variables)
    return isinstance(given, list) and not (given and isinstance(given[0], int | float | list | tuple))


def is_collection(img: Any, truth: Any) -> bool:
    """Return whether the argument of a widget is a collection of pictures, for a gallery.

    Raises:
        BadArgument: there are classes for a picture that is no list.
    """
    if isinstance(img, Mapping) or several(img):
        return len(img) >= MANY or (truth is not None and len(img) > 0)
    if isinstance(img, str | os.PathLike):
        try:
            found = Path(img).is_dir()
        except (OSError, ValueError):
            found = False
    elif (shape := getattr(img, "shape", None)) is not None:
        found = len(shape) == 4 and int(shape[0]) > 1
    else:
        of_pil = type(img).__module__.partition(".")[0] == "PIL"
        found = not of_pil and not isinstance(img, bytes | bytearray | list | tuple | saliency.Picture)
        found = found and hasattr(img, "__getitem__") and hasattr(img, "__len__")
    if truth is not None and not found:
        raise saliency.BadArgument(
            "truth=… gives the classes of many pictures, and one picture was passed: pass a list of pictures, a folder "
            "or a data set."
        )
    return bool(found)


def collected(img: Any, name_of: Callable[[Any, int], str]) -> Collection:
    """Return the pictures of a gallery.

    Args:
        img: a list or a dict of pictures, a folder, an array or a data set.
        name_of: returns the name of a picture in a list.

    Raises:
        SaliencyError: these are no pictures.
    """
    if isinstance(img, Mapping):
        names, images = [readable(name) for name in img], list(img.values())
        return Collection(names, lambda i: (images[i], None))
    if several(img):
        images = list(img)
        names = distinct([name_of(each, i) for i, each in enumerate(images)])
        return Collection(names, lambda i: (images[i], None))
    source = saliency.collection(img)
    assert source.at is not None
    assert source.ids is not None
    ids = [readable(each) for each in source.ids]
    names = [f"image {i}" for i in range(len(ids))] if ids == [str(i) for i in range(len(ids))] else ids
    return Collection(names, source.at)


def distinct(names: Sequence[str]) -> list[str]:
    """Return names with a number appended to those that are repeated."""
    counts, seen = Counter(names), Counter[str]()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if counts[name] == 1 else f"{name} {seen[name]}")
    return found


def _classes(truth: Any, count: int, labels: Sequence[str] | None) -> np.ndarray:
    """Return the classes as indices.

    Raises:
        BadTarget: there is not one for each picture.
        UnknownName: one is no label.
    """
    if truth is None:
        return np.full(count, UNKNOWN, np.int32)
    given = saliency.checks.several(truth.tolist() if hasattr(truth, "tolist") else truth, "truth")
    if len(given) != count:
        raise saliency.BadTarget(
            f"truth must have one class for each of the {count:,} pictures, got {len(given):,}: pass None for a "
            "picture whose class is not known."
        )
    known = {label: i for i, label in reversed(list(enumerate(labels or ())))}
    found = [UNKNOWN if each is None else known[each] if _in(each, known) else index_of(each, labels) for each in given]
    return np.array(found, np.int32)


def _in(value: Any, known: Mapping[str, int]) -> bool:
    return isinstance(value, str) and value in known
