"""Threads that call models: one for each model, which runs the most urgent job first."""

from __future__ import annotations

import atexit
import contextvars
import logging
import threading
import time
import weakref
from collections.abc import Callable

logger = logging.getLogger(__name__.partition(".")[0])

IDLE_TIMEOUT = 5.0
"""Seconds that an idle thread waits for more jobs: a new one would restart its numerical libraries' threads."""

CONTENTION_PERIOD = 1.5
"""Seconds in which another urgent job is likely to follow one that interrupted: a slider is being moved."""

SHUTDOWN_TIMEOUT = 1.0
"""Seconds that the interpreter waits at exit for a running model call."""


class Job:
    """A job for a model's thread.

    Args:
        run: the work; handles its own errors.
        urgency: smaller runs sooner. It is evaluated each time the next job is chosen, as the screen may have changed.
    """

    def __init__(self, run: Callable[[], None], urgency: Callable[[], int]) -> None:
        self.urgency = urgency
        self.cancelled = threading.Event()
        self._run = run
        # ipykernel 7.0 sends messages only in the context of the cell or message that is being handled
        self._context = contextvars.copy_context()

    def __call__(self) -> None:
        try:
            self._context.run(self._run)
        except BaseException:  # the thread must survive, as it runs other jobs too
            logger.exception("A job raised an error that it should have handled itself.")


class Worker:
    """The thread that calls one model. It starts with the first job, and ends when it has no users left."""

    def __init__(self) -> None:
        self._waiting: list[Job] = []
        self._running: list[Job] = []
        self._changed = threading.Condition()
        self._users: weakref.WeakSet[object] = weakref.WeakSet()
        self._thread: threading.Thread | None = None
        self._last_interruption = float("-inf")

    def join(self, user: object) -> None:
        """Keep the thread ready for `user`, which is held weakly."""
        self._users.add(user)

    def leave(self, user: object) -> None:
        """Remove `user`, who submits no more jobs. Without users the thread ends after its last job."""
        with self._changed:
            self._users.discard(user)
            self._changed.notify_all()

    def submit(self, job: Job) -> None:
        """Add a job to those waiting."""
        with self._changed:
            self._waiting.append(job)
            # a thread that is not alive was started before this process was forked
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="saliency-widget", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def withdraw(self, job: Job) -> bool:
        """Remove a waiting job. Return False if it has begun."""
        with self._changed:
            if job not in self._waiting:
                return False
            self._waiting.remove(job)
            return True

    def give_way(self) -> None:
        """Run more urgent jobs now. Called by the running job between two model calls."""
        while (job := self._next(below=self._running[-1].urgency())) is not None:
            self._do(job)
            self._last_interruption = time.monotonic()

    @property
    def in_demand(self) -> bool:
        """Whether more urgent jobs are likely to come soon."""
        return time.monotonic() - self._last_interruption < CONTENTION_PERIOD

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on this thread."""
        return threading.current_thread() is self._thread

    def stop(self) -> None:
        """Cancel all jobs, and wait up to :data:`SHUTDOWN_TIMEOUT` for the running model call."""
        with self._changed:
            self._waiting.clear()
            self._users.clear()
            for job in self._running:
                job.cancelled.set()
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(SHUTDOWN_TIMEOUT)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or not self._users, IDLE_TIMEOUT)
                job = self._next()
                if job is None:
                    self._thread = None
                    return
            self._do(job)
            # an idle thread must not hold the last job, which refers to the model
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
    """Return the worker of a model, shared by its users.

    A user must hold the model as long as the worker, so that the model's id is not reused.
    """
    with _LOCK:
        return _WORKERS.setdefault(id(model), Worker())


@atexit.register
def _stop_all() -> None:
    for worker in list(_WORKERS.values()):
        worker.stop()
