"""Threads, locks and interrupts: two things at once where there are threads, locks that a forked child finds free."""

from __future__ import annotations

import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
U = TypeVar("U")


def in_threads(function: Callable[[T], U], values: Iterable[T]) -> Iterator[U]:
    """`map`, on two threads where there are threads: for work that lets go of Python's lock."""
    if sys.platform == "emscripten":
        yield from map(function, values)
        return
    pool = ThreadPoolExecutor(2, "saliency")
    try:
        yield from pool.map(function, values)
    finally:
        pool.shutdown(cancel_futures=True)


_LOCKS: weakref.WeakSet[threading.RLock] = weakref.WeakSet()
"""Every lock of ours that there is."""


def lock() -> threading.RLock:
    """Return a new lock, free in a child process even where another thread held it when the process was forked."""
    made = threading.RLock()
    _LOCKS.add(made)
    return made


def _free() -> None:
    """In a forked child no thread is left that could release a lock."""
    for each in _LOCKS:
        each._at_fork_reinit()  # type: ignore[attr-defined]  # as logging and threading do


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free)


class _Deferring:
    """A handler of SIGINT that keeps the first event for later, and passes a second one on.

    Args:
        handler: the one that was installed before.
    """

    def __init__(self, handler: Callable[..., Any]) -> None:
        self._handler, self._event = handler, tuple[Any, ...]()

    def __call__(self, *event: Any) -> None:
        if self._event:
            self._handler(*event)
        self._event = event

    def deliver(self) -> None:
        """Handle the event that came meanwhile, if one did."""
        if self._event:
            self._handler(*self._event)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the block is done: inside a framework's C++ code it would leave modes and patches behind.

    Pressed twice, it interrupts at once. Python handles signals in the main thread alone.
    """
    before = signal.getsignal(signal.SIGINT)
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or not callable(before) or isinstance(before, _Deferring):
        yield
        return
    deferring = _Deferring(before)
    signal.signal(signal.SIGINT, deferring)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        deferring.deliver()
