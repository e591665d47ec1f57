"""Threads that ask models: one for each model, and what is most urgent goes first."""

from __future__ import annotations

import atexit
import contextvars
import logging
import threading
import time
import weakref
from collections.abc import Callable

logger = logging.getLogger(__name__.partition(".")[0])

LINGER = 5.0
"""How long an idle thread waits for more work: a new one would start its numerical libraries' threads anew."""

IN_DEMAND = 1.5
"""Who has broken into a running job is likely to come again within so many seconds: a slider is being moved."""

FAREWELL = 1.0
"""How long the interpreter's end waits for a running question."""


class Job:
    """A piece of work for a model's thread.

    Args:
        run: does the work; tells its own errors.
        urgency: the smaller, the sooner. Asked anew at each choice, as what is on the screen may have changed.
    """

    def __init__(self, run: Callable[[], None], urgency: Callable[[], int]) -> None:
        self.urgency = urgency
        self.cancelled = threading.Event()
        self._run = run
        # ipykernel 7.0 sends only where it knows the cell or message that is being answered
        self._context = contextvars.copy_context()

    def __call__(self) -> None:
        try:
            self._context.run(self._run)
        except BaseException:  # the thread serves others too, whatever this one came to
            logger.exception("A job failed that should have told its own errors.")


class Worker:
    """The thread that asks one model. It starts with the first job, and ends when nobody is left to bring another."""

    def __init__(self) -> None:
        self._waiting: list[Job] = []
        self._running: list[Job] = []
        self._changed = threading.Condition()
        self._users: weakref.WeakSet[object] = weakref.WeakSet()
        self._thread: threading.Thread | None = None
        self._broken_into = float("-inf")

    def join(self, user: object) -> None:
        """Keep the thread ready for `user`, which is held weakly."""
        self._users.add(user)

    def leave(self, user: object) -> None:
        """`user` brings no more jobs; without users the thread ends after those it has."""
        with self._changed:
            self._users.discard(user)
            self._changed.notify_all()

    def submit(self, job: Job) -> None:
        """Have a job done when its time comes."""
        with self._changed:
            self._waiting.append(job)
            # not alive: this is a fork of the process that started it
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="saliency-widget", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def withdraw(self, job: Job) -> bool:
        """Take back a job; False if it has begun."""
        with self._changed:
            if job not in self._waiting:
                return False
            self._waiting.remove(job)
            return True

    def give_way(self) -> None:
        """Called by the running job between two questions: what is more urgent is done now."""
        while (job := self._next(below=self._running[-1].urgency())) is not None:
            self._do(job)
            self._broken_into = time.monotonic()

    @property
    def in_demand(self) -> bool:
        """Whether the running job should give way soon again."""
        return time.monotonic() - self._broken_into < IN_DEMAND

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on this very thread."""
        return threading.current_thread() is self._thread

    def stop(self) -> None:
        """End as soon as the running question is answered, and wait a moment for it."""
        with self._changed:
            self._waiting.clear()
            self._users.clear()
            for job in self._running:
                job.cancelled.set()
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(FAREWELL)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or not self._users, LINGER)
                job = self._next()
                if job is None:
                    self._thread = None
                    return
            self._do(job)
            # while idle, nothing of the last job may be held: it knows the model
            del job

    def _do(self, job: Job) -> None:
        self._running.append(job)
        try:
            job()
        finally:
            self._running.remove(job)

    def _next(self, below: int | None = None) -> Job | None:
        with self._changed:
            job = min(self._waiting, key=lambda each: each.urgency(), default=None)
            if job is None or (below is not None and job.urgency() >= below):
                return None
            self._waiting.remove(job)
            return job


_WORKERS: weakref.WeakValueDictionary[int, Worker] = weakref.WeakValueDictionary()
_LOCK = threading.Lock()


def worker_for(model: object) -> Worker:
    """The worker of a model, shared by all who ask for it.

    Whoever holds the worker must hold the model too, so that its identity stays its own.
    """
    with _LOCK:
        return _WORKERS.setdefault(id(model), Worker())


@atexit.register
def _stop_all() -> None:
    for worker in list(_WORKERS.values()):
        worker.stop()
