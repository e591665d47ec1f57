"""The jobs that one explainer has brought to its model's thread: waited for, and taken back."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from saliency_widget.work.jobs import Job, worker_for

NOW, SHOWN, LATER, LAST = range(4)
"""How urgent a job is: answers that take one question, what is on the screen, the rest, tidying up."""

HEARTBEAT = 0.2
"""Seconds between two looks of whoever waits: else an interrupt just before a wait begins would go unseen."""


class Agenda:
    """One user's jobs on the thread of a model.

    Args:
        model: whose thread. Whoever holds the agenda holds the model too, until :meth:`close`.
    """

    def __init__(self, model: object) -> None:
        self._worker = worker_for(model)
        self._worker.join(self)
        self._idle = threading.Condition(threading.RLock())
        self._open: set[Job] = set()

    def bring(self, run: Callable[[], None], urgency: int | Callable[[], int]) -> Job:
        """Have something done on the model's thread.

        Args:
            run: does it; tells its own errors.
            urgency: the smaller, the sooner; a function is asked anew at each choice.
        """
        job = self.job(run, urgency)
        self.submit(job)
        return job

    def job(self, run: Callable[[], None], urgency: int | Callable[[], int]) -> Job:
        """A job that is yet to be submitted."""

        def run_and_close() -> None:
            try:
                run()
            finally:
                self._close(job)

        job = Job(run_and_close, urgency if callable(urgency) else lambda: urgency)
        return job

    def submit(self, job: Job) -> None:
        """Have a job done when its time comes."""
        with self._idle:
            self._open.add(job)
        self._worker.submit(job)

    def withdraw(self, job: Job) -> bool:
        """Cancel a job; whether it had not begun, and never will."""
        job.cancelled.set()
        if not self._worker.withdraw(job):
            return False
        self._close(job)
        return True

    def interrupted(self, job: Job) -> bool:
        """Between two questions of a job: what is more urgent is done now. Whether the job is to end."""
        if not job.cancelled.is_set():
            self._worker.give_way()
        return job.cancelled.is_set()

    @property
    def in_demand(self) -> bool:
        """Whether the running job should give way soon again."""
        return self._worker.in_demand

    @property
    def idle(self) -> bool:
        """Whether nothing is waiting or running."""
        return not self._open

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is waiting or running; False if that took longer than `timeout` seconds."""
        self.refuse_own_thread()
        deadline = time.monotonic() + (math.inf if timeout is None else timeout)
        with self._idle:
            while self._open:
                if (left := deadline - time.monotonic()) <= 0:
                    return False
                self._idle.wait(min(left, HEARTBEAT))
        return True

    def refuse_own_thread(self) -> None:
        """Raise where waiting would never end.

        Raises:
            RuntimeError: the caller runs on the model's thread.
        """
        if self._worker.is_current:
            raise RuntimeError("Waiting on the model's own thread, as in an observer, would be to wait for itself.")

    def close(self) -> None:
        """Take back what has not begun, end what has, and bring no more."""
        with self._idle:
            jobs = list(self._open)
        for job in jobs:
            self.withdraw(job)
        self._worker.leave(self)

    def _close(self, job: Job) -> None:
        with self._idle:
            self._open.discard(job)
            self._idle.notify_all()
