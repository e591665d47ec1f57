"""How many images to ask a model about at once."""

from __future__ import annotations

from collections.abc import Hashable, MutableMapping
from typing import Any


class BatchSize:
    """How many images to ask at once: given, or found by timing the real questions.

    A constant is not a choice: on a CPU 8 to 16 is often faster and smaller than 32, on a GPU 64 may be best. So the
    size doubles from 4 while images get cheaper, then stays at the best. What was found is kept with the model, and a
    size beside the best is tried again until it has had `TRIES` chances: one slow question on a busy machine shall
    not decide for good.

    Args:
        fixed: the size asked for, or None to measure.
        kept: what earlier sessions found, by `key`.
        key: kind of question and shape of an image.
    """

    WARM_UP, FIRST, LAST = 1, 4, 256
    TRIES = 2

    def __init__(self, fixed: int | None, kept: MutableMapping[Hashable, Any], key: Hashable) -> None:
        self._timings: dict[int, list[float]] = {} if fixed is not None else kept.setdefault(key, {})
        self._fixed, self._most = fixed, self.LAST
        # the first question pays for allocations and kernel choice: it says nothing
        self.now = fixed or (self._next() if self._timings else self.WARM_UP)

    @property
    def least(self) -> int:
        """The smallest size that may be asked at all."""
        return self._fixed or self.WARM_UP

    def measured(self, count: int, seconds: float) -> None:
        """Take note of what `count` images cost."""
        if self._fixed is not None or count < self.now:
            return
        if count >= self.FIRST:
            self._timings.setdefault(count, []).append(seconds / count)
        self.now = self._next()

    def shrink(self) -> bool:
        """Halve the size after running out of memory; False if it is 1 already."""
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
        # noise only ever adds: the least of a size's timings is the nearest to the truth
        best = min(self._timings, key=lambda size: min(self._timings[size]))
        for near in (2 * best, best // 2):
            if self.FIRST <= near <= self._most and len(self._timings.get(near, ())) < self.TRIES:
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
"""What the frameworks say when memory runs out. `CUDNN_STATUS_NOT_SUPPORTED` has other causes as well."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that it was raised from, says that memory ran out; no framework is imported for it."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        cause = cause.__cause__
    return any(map(_says_so, seen))


def _says_so(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ in {"OutOfMemoryError", "ResourceExhaustedError"}:
        return True
    try:
        said = str(error).lower()
    except Exception:  # noqa: BLE001  # an error of the user's may fail at this, too
        return False
    return any(sign.lower() in said for sign in OUT_OF_MEMORY)
