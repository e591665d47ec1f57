"""Tasks: explanations that were requested, and their reports to the browser."""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import saliency
from saliency_widget.pictures.placement import Placement
from saliency_widget.protocol.cells import Key
from saliency_widget.protocol.messages import Message, message, readable, result_message
from saliency_widget.traits.methods import OfferedMethod
from saliency_widget.work.jobs import Job

BETWEEN_PROGRESS = 0.1
BETWEEN_PARTIALS = 0.125
"""Minimum seconds between two messages."""

PREFETCH_TIME = 10.0
"""Maximum seconds, by the measured speed, that an explanation may still take that nobody requested."""

PARTIALS_SHARE = 0.25
"""Maximum share of the time that is spent on partial results."""


class Post(Protocol):
    """Sends a message to the browser, see :meth:`saliency_widget.protocol.outbox.Outbox.post`."""

    def __call__(self, message: Message, *, answering: bool = False) -> None: ...


@dataclass(frozen=True)
class Listener:
    """Callbacks of an explainer. They run on the model's thread or on the caller's."""

    post: Post
    shown: Callable[[], Key | None]
    """Returns the key on the screen; None while another model or image is shown."""
    target: Callable[[], int]
    """Returns the class that is shown."""
    on_prediction: Callable[[Sequence[saliency.Prediction]], None]
    """Called with the model's prediction."""
    on_result: Callable[[], None]
    """Called after a new or updated result, and after curves of one."""
    on_unsupported: Callable[[str], None]
    """Called with the id of a method that the model turns out not to support."""


class Task:
    """An explanation to be computed.

    Args:
        key: method and class; the class may be resolved later.
        rid: the browser's id of the request; empty for a request from Python.
        requested: whether the browser or Python requested it; otherwise it is computed while the model is idle, and
            reports no progress. A request changes this.
    """

    job: Job

    def __init__(self, key: Key, rid: str, *, requested: bool = True) -> None:
        self.key, self.rid, self.requested = key, rid, requested
        self.explanation: saliency.Explanation | None = None
        self.error: Exception | None = None
        self.ended = threading.Event()


class Reports:
    """Sends progress and partial results of a task, at a limited rate."""

    def __init__(self, listener: Listener, task: Task, offered: OfferedMethod, placement: Placement) -> None:
        self._listener, self._task, self._offered, self._placement = listener, task, offered, placement
        self._began: tuple[float, int] | None = None
        self._latest: tuple[float, int] | None = None
        self._fastest = math.inf
        self._next_progress = self._next_partial = 0.0
        self._share = 0.0

    def progress(self, done: int, total: int) -> None:
        now = time.monotonic()
        self._share = min(done / max(total, 1), 1.0)
        if not self._task.requested:
            self._end_if_slow(now, done, total)
            return
        if now < self._next_progress:
            return
        self._next_progress = now + BETWEEN_PROGRESS
        # counted from the first report on, as the first model call includes warm-up
        since, at = self._began = self._began or (now, done)
        left = (now - since) / (done - at) * (total - done) if done > at else None
        self._post(message("progress", done=done, total=total, seconds_left=left))

    def partial(self, explanation: saliency.Explanation) -> None:
        began = time.monotonic()
        if began < self._next_partial or not self._task.requested:
            return
        whole = result_message(explanation, self._offered.id, self._offered.method, self._placement)
        self._post(whole.but(op="partial", share=self._share))
        ended = time.monotonic()
        self._next_partial = ended + max(BETWEEN_PARTIALS, (ended - began) / PARTIALS_SHARE)

    def _end_if_slow(self, now: float, done: int, total: int) -> None:
        """Cancel what nobody requested if it takes long even at the highest speed so far, without interruptions."""
        since, at = self._latest or (now, done)
        if done > at:
            self._fastest = min(self._fastest, (now - since) / (done - at))
            if self._fastest * (total - done) > PREFETCH_TIME:
                self._task.job.cancelled.set()
        self._latest = now, done

    def _post(self, message: Message) -> None:
        self._listener.post(message.but(rid=self._task.rid))


def class_row(prediction: saliency.Prediction) -> dict[str, Any]:
    """Return a class, or a value, as it is sent to the browser."""
    row = {"index": prediction.index, "label": readable(prediction.label), "probability": prediction.probability}
    return row if prediction.probability is not None else {**row, "value": prediction.score}


def error_message(rid: str, error: BaseException) -> Message:
    """Return an `error` with the text and traceback of an exception."""
    text, details = readable(_text_of(error)), readable("".join(traceback.format_exception(error)))
    return message("error", rid, kind=type(error).__name__, message=text, details=details)


def as_exception(error: BaseException) -> Exception:
    """Return an error that is an Exception itself, or a RuntimeError in its place.

    A model that raises SystemExit or the like must not end its user's program.
    """
    if isinstance(error, Exception):
        return error
    wrapped = RuntimeError(f"The model raised {type(error).__name__}: {_text_of(error)}")
    wrapped.__cause__ = error
    return wrapped


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # a user's __str__ may raise
        return f"{type(error).__name__} (its message cannot be read)."
