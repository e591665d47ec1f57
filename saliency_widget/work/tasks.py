"""One explanation on its way: what was asked, who is told, and how often."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import saliency
from saliency_widget.pictures.placement import Place
from saliency_widget.protocol.cells import Key
from saliency_widget.protocol.messages import Message, message, readable, result_message
from saliency_widget.traits.methods import Choice
from saliency_widget.work.jobs import Job

BETWEEN_PROGRESS = 0.1
BETWEEN_PARTIALS = 0.125
"""Seconds at least."""

PARTIALS_SHARE = 0.25
"""How much of the time may go into showing what is not finished."""


class Post(Protocol):
    """Sends a message to the browser, see :meth:`saliency_widget.protocol.outbox.Outbox.post`."""

    def __call__(self, message: Message, *, answering: bool = False) -> None: ...


@dataclass(frozen=True)
class Listener:
    """Who is told, from the model's thread or the caller's."""

    post: Post
    shown: Callable[[], Key | None]
    """What is on the screen; None while another model or image is shown."""
    target: Callable[[], int]
    """The class that is shown."""
    predicted: Callable[[Sequence[saliency.Prediction]], None]
    """The model has said what it sees."""
    found: Callable[[], None]
    """There is a result, or another one for what had one; or curves of one."""


class Task:
    """One explanation that was asked for.

    Args:
        key: of what; the target may be resolved later.
        rid: the browser's name for it; empty where Python asked.
    """

    job: Job

    def __init__(self, key: Key, rid: str) -> None:
        self.key, self.rid = key, rid
        self.explanation: saliency.Explanation | None = None
        self.error: Exception | None = None
        self.ended = threading.Event()


class Reports:
    """What is told of a task on its way, no more often than can be looked at."""

    def __init__(self, listener: Listener, task: Task, choice: Choice, place: Place) -> None:
        self._listener, self._task, self._choice, self._place = listener, task, choice, place
        self._began: tuple[float, int] | None = None
        self._next_progress = self._next_partial = 0.0
        self._share = 0.0

    def progress(self, done: int, total: int) -> None:
        now = time.monotonic()
        self._share = min(done / max(total, 1), 1.0)
        if now < self._next_progress:
            return
        self._next_progress = now + BETWEEN_PROGRESS
        # counted from the first answer on, as the very first question pays for warming up
        since, at = self._began = self._began or (now, done)
        left = (now - since) / (done - at) * (total - done) if done > at else None
        self._post(message("progress", done=done, total=total, seconds_left=left))

    def partial(self, explanation: saliency.Explanation) -> None:
        began = time.monotonic()
        if began < self._next_partial:
            return
        whole = result_message(explanation, self._choice.id, self._choice.method, self._place)
        self._post(whole.but(op="partial", share=self._share))
        ended = time.monotonic()
        self._next_partial = ended + max(BETWEEN_PARTIALS, (ended - began) / PARTIALS_SHARE)

    def _post(self, told: Message) -> None:
        self._listener.post(told.but(rid=self._task.rid))


def class_row(prediction: saliency.Prediction) -> dict[str, Any]:
    """Return a class, or a value, as it is sent to the browser."""
    row = {"index": prediction.index, "label": readable(prediction.label), "probability": prediction.probability}
    return row if prediction.probability is not None else {**row, "value": prediction.score}


def error_message(rid: str, error: BaseException) -> Message:
    """What went wrong, in its own words and with its traceback."""
    details = "".join(traceback.format_exception(error))
    return message("error", rid, kind=type(error).__name__, message=readable(_said(error)), details=readable(details))


def tamed(error: BaseException) -> Exception:
    """The error itself, or one for whoever waits in its place: a model does not end its user's program."""
    if isinstance(error, Exception):
        return error
    told = RuntimeError(f"The model raised {type(error).__name__}: {_said(error)}")
    told.__cause__ = error
    return told


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # an error that fails to say what it is
        return f"{type(error).__name__}, which cannot say more."
