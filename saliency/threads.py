"""Threads, locks and interrupts: a map on two threads, locks that survive a fork, and delayed Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
U = TypeVar("U")


def in_threads(function: Callable[[T], U], values: Iterable[T]) -> Generator[U, None, None]:
    """Map a function that releases the GIL over values, on two threads where threads are available."""
    if sys.platform == "emscripten":
        yield from map(function, values)
        return
    pool = ThreadPoolExecutor(2, "saliency")
    try:
        yield from pool.map(function, values)
    finally:
        pool.shutdown(cancel_futures=True)


_LOCKS: weakref.WeakSet[threading.RLock] = weakref.WeakSet()
"""Every lock created by :func:`lock`."""


def lock() -> threading.RLock:
    """Return a new lock that is free in a forked child even where another thread held it during the fork."""
    made = threading.RLock()
    _LOCKS.add(made)
    return made


def _free() -> None:
    """Reinitialize all locks in a forked child, where no thread is left that could release them."""
    for each in _LOCKS:
        each._at_fork_reinit()  # type: ignore[attr-defined]  # as logging and threading do


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free)


class _Deferring:
    """A SIGINT handler that delays the first signal and forwards a second one.

    Args:
        handler: the handler that was installed before.
    """

    def __init__(self, handler: Callable[..., Any]) -> None:
        self._handler, self._event = handler, tuple[Any, ...]()

    def __call__(self, *event: Any) -> None:
        if self._event:
            self._handler(*event)
        self._event = event

    def deliver(self) -> None:
        """Handle the delayed signal, if there is one."""
        if self._event:
            self._handler(*self._event)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C until the block ends, because an interrupt in a framework's C++ code leaves modes and patches set.

    A second Ctrl-C interrupts at once. Python handles signals in the main thread only.
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
