"""Choose the batch size."""

from __future__ import annotations

from collections.abc import Hashable, MutableMapping
from typing import Any


class BatchSize:
    """The batch size: fixed, or found by timing the model calls of the run.

    No constant fits everywhere: on a CPU 4 to 16 is often faster and smaller than 32, on a GPU 64 may be best.
    The size doubles from 4 while images are expected to get cheaper by more than `GAIN`, and stays at the smallest that
    is as good as the best: peak memory is proportional to the size, and would otherwise grow with the number of images,
    by gains that are noise. The timings are stored with the model. A size next to the best is tried again until it has
    had `TRIES` timings, so that one slow call on a busy machine does not decide for good.

    Args:
        fixed: the requested size, or None to measure.
        kept: timings of earlier sessions, by `key`.
        key: kind of call and shape of an image.
    """

    WARM_UP, FIRST, LAST = 1, 4, 256
    TRIES = 2
    GAIN = 0.06

    def __init__(self, fixed: int | None, kept: MutableMapping[Hashable, Any], key: Hashable) -> None:
        self._timings: dict[int, list[float]] = {} if fixed is not None else kept.setdefault(key, {})
        self._fixed, self._most = fixed, self.LAST
        # the first call includes allocations and kernel selection: its time is not representative
        self.now = fixed or (self._next() if self._timings else self.WARM_UP)

    @property
    def least(self) -> int:
        """The smallest size that can be used."""
        return self._fixed or self.WARM_UP

    def measured(self, count: int, seconds: float) -> None:
        """Record the time that `count` images took."""
        if self._fixed is not None or count < self.now:
            return
        if count >= self.FIRST:
            self._timings.setdefault(count, []).append(seconds / count)
        self.now = self._next()

    def shrink(self) -> bool:
        """Halve the size after running out of memory; return False if it is 1 already."""
        if self.now == 1:
            return False
        self.now //= 2
        self._most = self.now
        for size in [size for size in self._timings if size > self._most]:
            del self._timings[size]
        if self._fixed is not None or self._most < self.FIRST:
            self._fixed = self.now
        return True

    def _next(self) -> int:
        if not self._timings:
            return self.FIRST
        # noise only adds time: the shortest timing of a size is the most accurate
        each = {size: min(timings) for size, timings in self._timings.items()}
        most = min(each.values()) / (1 - self.GAIN)
        best = min(size for size, seconds in each.items() if seconds <= most)
        # a fixed cost of each call is shared by more images: the next doubling gains half as much as the last
        gained = 1 - each[best] / each[best // 2] if best // 2 in each else 1.0
        for near in (2 * best if gained > 2 * self.GAIN else best, best // 2):
            if self.FIRST <= near <= self._most and near != best and len(self._timings.get(near, ())) < self.TRIES:
                return near
        return best


OUT_OF_MEMORY = (
    "RESOURCE_EXHAUSTED",  # JAX, TensorFlow
    "Failed to allocate",  # JAX ("INTERNAL: …"), ONNX Runtime ("… memory for requested buffer of size …")
    "OOM when allocating",  # TensorFlow
    "out of memory",  # CUDA, MPS, HIP, XPU
    "DefaultCPUAllocator",  # torch
    "can't allocate memory",
    "Unable to allocate",  # NumPy
    "bad_alloc",  # C++
    "bfc_arena",  # ONNX Runtime
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUFFT_ALLOC_FAILED",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "Cannot allocate memory",  # the operating system
    "Invalid buffer size",  # MPS
)
"""Texts of the frameworks' errors when memory runs out. `CUDNN_STATUS_NOT_SUPPORTED` has other causes as well."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error, or one of its causes, reports that memory ran out; imports no framework."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        cause = cause.__cause__
    return any(map(_reports_it, seen))


def _reports_it(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ in {"OutOfMemoryError", "ResourceExhaustedError"}:
        return True
    try:
        text = str(error).lower()
    except Exception:  # noqa: BLE001  # an error of the user's may fail to print
        return False
    return any(sign.lower() in text for sign in OUT_OF_MEMORY)
