"""Questions about parts of a picture: what the model says to a selection, and to ever more or less of the picture."""

from __future__ import annotations

import hashlib
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import saliency
from saliency_widget.drawing import View, selection_of
from saliency_widget.place import Place
from saliency_widget.tasks import BETWEEN_PROGRESS, class_row
from saliency_widget.wire import Message, message

REMEMBERED = 512
"""How many answers are kept: a slider has a thousand places, and is moved back and forth."""

POINTS = 24
"""Into how many shares the pixels are cut for a curve."""

TOP_CLASSES = 5


class Answers:
    """What was answered before; what was used longest ago goes first."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, Message] = OrderedDict()

    def get(self, key: Hashable, ask: Callable[[], Message]) -> Message:
        """The answer to what `key` names."""
        if key not in self._known:
            self._known[key] = ask()
        self._known.move_to_end(key)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return self._known[key]


@dataclass(frozen=True)
class Asker:
    """Whom to ask, about which picture. Made anew for each question: layers and weights may have changed since."""

    model: saliency.Adapted[Any]
    picture: saliency.Picture
    place: Place
    activation: str
    batch_size: int | str
    answers: Answers = field(default_factory=Answers)

    def what_if(self, explanation: saliency.Explanation, view: View, fill: str) -> Message:
        """A `what_if`: the best classes of the selection alone and of the rest, the explained one among them."""
        mask = selection_of(explanation, view, self.place)

        def ask() -> Message:
            found = saliency.what_if(self.model, self.picture, mask, fill, top=sys.maxsize, activation=self.activation)
            only, without = (_rows(each, explanation.target) for each in found)
            return message("what_if", only=only, without=without, area=float(mask.mean()))

        return self.answers.get(("what_if", self.model.version, fill, explanation.target, _digest(mask)), ask)

    def curve(
        self,
        explanation: saliency.Explanation,
        fill: str,
        progress: Callable[[int, int], None],
        cancelled: Callable[[], bool],
        shared: Callable[[], bool],
    ) -> Message:
        """A `curve`: insertion and deletion of an explanation."""

        def ask() -> Message:
            found = saliency.perturbation_curves(
                self.model,
                self.picture,
                explanation,
                fill=fill,
                points=min(POINTS, explanation.salience().size),
                activation=self.activation,
                batch_size=self.batch_size,
                progress=progress,
                cancelled=cancelled,
                shared=shared,
            )
            return message("curve", **{name: np.asarray(value).tolist() for name, value in found._asdict().items()})

        order = explanation.salience() if explanation.regions is None else explanation.regions.ranks
        return self.answers.get(("curve", self.model.version, fill, explanation.target, _digest(order)), ask)


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
