"""Threads and locks: two things at once where there are threads, and locks that a forked child finds free."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

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
