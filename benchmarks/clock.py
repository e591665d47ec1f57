"""CPU time and peak memory of a call in this process."""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

Side = Callable[[], Any]
"""What one of the compared packages does."""


class Taken(NamedTuple):
    """The result of a side that measures itself, as it runs in another process."""

    amount: float
    """Seconds of CPU time, or MiB."""
    result: Any


def seconds(run: Side) -> Taken:
    """Return the CPU time of a call, in seconds, and its result."""
    started = time.process_time()
    found = run()
    return Taken(time.process_time() - started, found)


def mebibytes(run: Side) -> Taken:
    """Return the peak of the resident memory that a call needs beyond what is held before it, and its result."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # free memory that the process holds would not count when it is used again
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak
    before = high_water()
    found = run()
    return Taken((high_water() - before) / 1024, found)


def high_water() -> int:
    """Return the peak of this process's resident memory, in KiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
