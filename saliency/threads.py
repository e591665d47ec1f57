"""Two things at once, where there are threads."""

from __future__ import annotations

import sys
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
