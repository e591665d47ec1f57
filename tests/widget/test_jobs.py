from __future__ import annotations

import gc
import threading

import pytest

from saliency_widget.work import jobs
from saliency_widget.work.jobs import Job, Worker, worker_for
from tests.widget.front_end import PATIENCE


class User:
    """A user of a worker."""


@pytest.fixture
def user() -> User:
    """Provide a user."""
    return User()


@pytest.fixture
def worker(user: User) -> Worker:
    """Provide a worker with one user."""
    worker = Worker()
    worker.join(user)
    return worker


def job(run: object, urgency: int = 1) -> Job:
    """Return a job of constant urgency."""
    assert callable(run)
    return Job(run, lambda: urgency)


class Pause:
    """Work that takes until it is released."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.thread = threading.current_thread()

    def __call__(self) -> None:
        self.thread = threading.current_thread()
        self.begun.set()
        assert self.go.wait(PATIENCE)


def thread_of(worker: Worker) -> threading.Thread:
    """Return the thread of a worker."""
    pause = Pause()
    worker.submit(job(pause))
    assert pause.begun.wait(PATIENCE)
    pause.go.set()
    return pause.thread


def test_the_most_urgent_goes_first(worker: Worker) -> None:
    """Waiting jobs run by urgency, and in the order of submission if it is equal."""
    order: list[str] = []
    pause, done = Pause(), threading.Event()
    worker.submit(job(pause))
    assert pause.begun.wait(PATIENCE)
    for name, urgency in {"late": 2, "first": 0, "middle": 1, "middle too": 1}.items():
        worker.submit(job(lambda name=name: order.append(name), urgency))
    worker.submit(job(done.set, 3))
    pause.go.set()

    assert done.wait(PATIENCE)
    assert order == ["first", "middle", "middle too", "late"]


def test_a_running_job_gives_way(worker: Worker) -> None:
    """Between two model calls only more urgent jobs run, and then the job goes on."""
    order: list[str] = []
    done = threading.Event()

    def long() -> None:
        for name, urgency in {"same": 2, "urgent": 0}.items():
            worker.submit(job(lambda name=name: order.append(name), urgency))
        worker.give_way()
        order.append("long")

    worker.submit(job(long, 2))
    worker.submit(job(done.set, 3))

    assert done.wait(PATIENCE)
    assert order == ["urgent", "long", "same"]


def test_who_has_broken_in_is_expected_again(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker is in demand after a more urgent job interrupted, and for a moment longer."""
    seen: list[bool] = []
    done = threading.Event()

    def long() -> None:
        worker.give_way()
        seen.append(worker.in_demand)
        worker.submit(job(lambda: None, 0))
        worker.give_way()
        seen.append(worker.in_demand)
        monkeypatch.setattr(jobs, "CONTENTION_PERIOD", 0.0)
        seen.append(worker.in_demand)
        done.set()

    worker.submit(job(long, 2))

    assert done.wait(PATIENCE)
    assert seen == [False, True, False]


def test_a_job_that_fails_ends_nothing_else(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    """Any error of a job, SystemExit included, is logged, and the same thread goes on."""
    thread = thread_of(worker)

    def leave() -> None:
        raise SystemExit

    worker.submit(job(leave))

    assert thread_of(worker) is thread
    assert "should have handled itself" in caplog.text


def test_the_thread_ends_with_its_last_user(worker: Worker, user: User) -> None:
    """A thread runs as long as it has users, ends with the last one, and starts again."""
    thread = thread_of(worker)
    other = User()
    worker.join(other)
    worker.leave(other)
    assert thread_of(worker) is thread

    worker.leave(user)

    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert thread_of(worker) is not thread


def test_an_idle_thread_ends_for_a_user_that_was_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users need not leave: an idle thread ends after a while."""
    monkeypatch.setattr("saliency_widget.work.jobs.IDLE_TIMEOUT", 0.01)
    worker = Worker()
    worker.join(User())
    gc.collect()

    thread = thread_of(worker)

    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_the_end_of_the_interpreter_is_not_held_up(worker: Worker) -> None:
    """Stopping cancels the running job and drops the others; the thread is a daemon."""
    pause = Pause()
    running = job(pause)
    # as a computation does between two batches
    pause.go = running.cancelled
    worker.submit(running)
    assert pause.begun.wait(PATIENCE)
    worker.submit(job(pytest.fail))

    worker.stop()

    assert running.cancelled.is_set()
    assert pause.thread.daemon
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "saliency-widget")


def test_one_worker_a_model() -> None:
    """A model has the same worker as long as somebody holds it; another model has another."""
    model, other = User(), User()
    worker = worker_for(model)

    assert worker_for(model) is worker
    assert worker_for(other) is not worker


def test_a_job_that_waits_can_be_taken_back(worker: Worker) -> None:
    """A waiting job is withdrawn; a running one is not."""
    pause = Pause()
    running, waiting = job(pause), job(pytest.fail)
    worker.submit(running)
    assert pause.begun.wait(PATIENCE)
    worker.submit(waiting)

    assert worker.withdraw(waiting)
    assert not worker.withdraw(running)
    assert not worker.withdraw(waiting)
    pause.go.set()
    thread_of(worker)
