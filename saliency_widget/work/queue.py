"""The jobs of one explainer on its model's thread."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from saliency_widget.work.jobs import Job, worker_for

NOW, SHOWN, LATER, LAST, IDLE = range(5)
"""Urgencies of jobs: single model calls, what is on the screen, the rest, tidying up, what nobody requested."""

HEARTBEAT = 0.2
"""Seconds between two checks of a waiting thread, so that it sees an interrupt that came just before the wait."""


class JobQueue:
    """One explainer's jobs on the thread of a model.

    Args:
        model: the model whose thread runs the jobs. The queue's owner must hold the model until :meth:`close`.
    """

    def __init__(self, model: object) -> None:
        self._worker = worker_for(model)
        self._worker.join(self)
        self._idle = threading.Condition(threading.RLock())
        self._open: set[Job] = set()

    def enqueue(self, run: Callable[[], None], urgency: int | Callable[[], int]) -> Job:
        """Create a job and submit it to the model's thread.

        Args:
            run: the work; handles its own errors.
            urgency: smaller runs sooner. A function is evaluated each time the next job is chosen.
        """
        job = self.create(run, urgency)
        self.submit(job)
        return job

    def create(self, run: Callable[[], None], urgency: int | Callable[[], int]) -> Job:
        """Return a job that is not submitted yet."""

        def run_and_finish() -> None:
            try:
                run()
            finally:
                self._finish(job)

        job = Job(run_and_finish, urgency if callable(urgency) else lambda: urgency)
        return job

    def submit(self, job: Job) -> None:
        """Submit a job to the model's thread."""
        with self._idle:
            self._open.add(job)
        self._worker.submit(job)

    def withdraw(self, job: Job) -> bool:
        """Cancel a job. Return True if it had not begun, and thus never will."""
        job.cancelled.set()
        if not self._worker.withdraw(job):
            return False
        self._finish(job)
        return True

    def interrupted(self, job: Job) -> bool:
        """Run more urgent jobs between two model calls of `job`. Return whether `job` is cancelled."""
        if not job.cancelled.is_set():
            self._worker.give_way()
        return job.cancelled.is_set()

    @property
    def in_demand(self) -> bool:
        """Whether more urgent jobs are likely to come soon."""
        return self._worker.in_demand

    @property
    def idle(self) -> bool:
        """Whether no requested job is waiting or running."""
        with self._idle:
            return all(job.urgency() >= IDLE for job in self._open)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no requested job waits or runs. Return False if that took longer than `timeout` seconds."""
        self.refuse_own_thread()
        deadline = time.monotonic() + (math.inf if timeout is None else timeout)
        with self._idle:
            while not self.idle:
                if (left := deadline - time.monotonic()) <= 0:
                    return False
                self._idle.wait(min(left, HEARTBEAT))
        return True

    def refuse_own_thread(self) -> None:
        """Raise if waiting on the current thread would never end.

        Raises:
            RuntimeError: the caller runs on the model's thread.
        """
        if self._worker.is_current:
            raise RuntimeError(
                "Cannot wait on the model's own thread, as in an observer of a trait: the wait would never end."
            )

    def close(self) -> None:
        """Withdraw the waiting jobs, cancel the running one, and leave the model's thread."""
        with self._idle:
            jobs = list(self._open)
        for job in jobs:
            self.withdraw(job)
        self._worker.leave(self)

    def _finish(self, job: Job) -> None:
        with self._idle:
            self._open.discard(job)
            self._idle.notify_all()
