"""Questions about parts of a picture: what the model says to a selection, and to ever more or less of the picture."""

from __future__ import annotations

import hashlib
import json
import sys
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import saliency
from saliency_widget.pictures.drawing import View, selection_of
from saliency_widget.pictures.placement import Place
from saliency_widget.protocol.messages import Message, message
from saliency_widget.work.tasks import BETWEEN_PROGRESS, class_row

REMEMBERED = 512
"""How many answers are kept: a slider has a thousand places, and is moved back and forth."""

POINTS = 24
"""Into how many shares the pixels are cut for a curve."""

TOP_CLASSES = 5

SHARES = range(5, 100, 5)
"""Percentages of the pixels that are asked about where nobody is there to choose."""


class Answers:
    """What was answered before; what was used longest ago goes first."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, Message] = OrderedDict()
        # in which words an explanation was asked about, as long as it lives
        self._words: weakref.WeakKeyDictionary[saliency.Explanation, OrderedDict[str, Hashable]]
        self._words = weakref.WeakKeyDictionary()

    def get(
        self, key: Hashable, ask: Callable[[], Message], about: saliency.Explanation, words: Mapping[str, Any]
    ) -> Message:
        """The answer to what `key` names, which is what `words`, those of the request, mean for an explanation."""
        if key not in self._known:
            self._known[key] = ask()
        self._known.move_to_end(key)
        spoken = self._words.setdefault(about, OrderedDict())
        spoken[json.dumps(words)] = key
        for one in (self._known, spoken):
            while len(one) > REMEMBERED:
                one.popitem(last=False)
        return self._known[key]

    def about(self, explanation: saliency.Explanation) -> Iterator[Message]:
        """What is known of an explanation, each answer with the request that it answers as `asked`."""
        for words, key in list(self._words.get(explanation, {}).items()):
            if (told := self._known.get(key)) is not None:
                yield told.but(asked=json.loads(words))


@dataclass(frozen=True)
class Asker:
    """Whom to ask, about which picture. Made anew for each question: layers and weights may have changed since."""

    model: saliency.Adapted[Any]
    picture: saliency.Picture
    place: Place
    batch_size: int | str
    answers: Answers = field(default_factory=Answers)
    cancelled: Callable[[], bool] = lambda: False
    """Asked between two questions of several; see :func:`saliency.explain`, as for…"""
    shared: Callable[[], bool] = lambda: False

    def what_if(self, explanation: saliency.Explanation, view: View, fill: str) -> Message:
        """A `what_if`: the best classes of the selection alone and of the rest, the explained one among them."""
        mask = selection_of(explanation, view, self.place)

        def ask() -> Message:
            found = saliency.what_if(self.model, self.picture, mask, fill, top=sys.maxsize)
            only, without = (_rows(each, explanation.target) for each in found)
            return message("what_if", only=only, without=without, area=float(mask.mean()))

        key = ("what_if", self.model.version, fill, explanation.target, _digest(mask))
        view_words = {"sign": view.sign, "keep": view.keep, "region": view.region, "picked": dict(view.picked)}
        return self.answers.get(key, ask, explanation, {"op": "what_if", **view_words, "fill": fill})

    def curve(
        self, explanation: saliency.Explanation, fill: str, progress: Callable[[int, int], None] = lambda *_: None
    ) -> Message:
        """A `curve`: insertion and deletion of an explanation."""

        def ask() -> Message:
            found = saliency.perturbation_curves(
                self.model,
                self.picture,
                explanation,
                fill=fill,
                points=min(POINTS, explanation.salience().size),
                batch_size=self.batch_size,
                progress=progress,
                cancelled=self.cancelled,
                shared=self.shared,
            )
            return message("curve", **{name: np.asarray(value).tolist() for name, value in found._asdict().items()})

        order = explanation.salience() if explanation.regions is None else explanation.regions.ranks
        key = ("curve", self.model.version, fill, explanation.target, _digest(order))
        return self.answers.get(key, ask, explanation, {"op": "curve", "fill": fill})

    def ahead(self, explanation: saliency.Explanation, view: View, fill: str) -> None:
        """Have all known of an explanation that can be looked up where nobody is there to ask.

        That is its curves, and what the model says to its top shares, or to as many regions.
        """
        self.curve(explanation, fill)
        for keep in SHARES:
            if self.cancelled():
                return
            self.what_if(explanation, view._replace(keep=float(keep), region=0, picked={}), fill)


def at_intervals(post: Callable[[Message], None], rid: str) -> Callable[[int, int], None]:
    """Tells of progress no more often than can be looked at."""
    due = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal due
        if (now := time.monotonic()) >= due:
            due = now + BETWEEN_PROGRESS
            post(message("progress", rid, done=done, total=total, seconds_left=None))

    return progress


def _digest(array: np.ndarray) -> bytes:
    return hashlib.blake2b(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes()).digest()


def _rows(predictions: list[saliency.Prediction], target: int | str) -> list[dict[str, Any]]:
    rows = predictions[:TOP_CLASSES]
    rows += [row for row in predictions[TOP_CLASSES:] if row.index == target]
    return [class_row(row) for row in rows]
