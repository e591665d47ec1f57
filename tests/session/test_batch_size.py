import os
import subprocess
import sys
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pytest

from saliency.session.batch_size import BatchSize, is_out_of_memory

MESSAGES = {
    "torch, CPU": "[enforce fail at alloc_cpu.cpp:114] err == 0. DefaultCPUAllocator: can't allocate memory: you tried "
    "to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)",
    "torch, CUDA": "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 139.00 GiB",
    "torch, MPS": "MPS backend out of memory (MPS allocated: 17.90 GB, max allowed: 18.13 GB)",
    "torch, MPS, one buffer": "Invalid buffer size: 24.00 GB",
    "cuBLAS": "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN": "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "ONNX Runtime": "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv. "
    "bfc_arena.cc:376 AllocateRawInternal Failed to allocate memory for requested buffer of size 6710886400",
    "TensorFlow": "OOM when allocating tensor with shape[256,512,512,64] and type float on CPU:0 by allocator cpu",
    "JAX": "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 68719476736 bytes.",
    "JAX, internal": "INTERNAL: Failed to allocate 68719476736 bytes for new constant",
    "C++": "std::bad_alloc",
    "NumPy, as text": "Unable to allocate 7.45 GiB for an array with shape (1000000000,) and data type float64",
}
"""What frameworks say when memory runs out."""


@pytest.mark.parametrize("framework", MESSAGES)
def test_out_of_memory_is_known_by_its_words(framework: str) -> None:
    """Each framework's words, also of an error that was raised from one; the batch is halved."""
    raised = RuntimeError("the model failed")
    raised.__cause__ = RuntimeError(MESSAGES[framework])

    assert is_out_of_memory(RuntimeError(MESSAGES[framework]))
    assert is_out_of_memory(raised)


def test_out_of_memory_is_known_by_its_type() -> None:
    """An error with any message."""
    assert all(
        is_out_of_memory(type(name, (RuntimeError,), {})()) for name in ("OutOfMemoryError", "ResourceExhaustedError")
    )
    assert is_out_of_memory(MemoryError())


@pytest.mark.parametrize("message", ["size mismatch", "CUDNN_STATUS_BAD_PARAM", "index out of range", "allocate"])
def test_other_errors_are_not_taken_for_it(message: str) -> None:
    """No other error halves the batch."""
    assert not is_out_of_memory(RuntimeError(message))


LIMITED = """
import resource, sys
import numpy as np
import saliency
from tests.memory_hungry import models
net, image = models()[sys.argv[1]], np.random.default_rng(0).random((64, 64, 3), np.float32)
def explained(size):
    return saliency.explain(net, image, "rise", 1, samples=64, seed=0, batch_size=size, progress=False)
whole = explained(2)
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 400 * 2**20,) * 2)
exp = explained(64)
assert 1 < exp.calls <= 32, exp.calls
np.testing.assert_allclose(exp.mask, whole.mask, atol=1e-5)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit is set from /proc")
@pytest.mark.parametrize("framework", ["torch", "numpy", "onnx"])
def test_real_exhaustion_halves_the_batch(checkout: Path, framework: str) -> None:
    """With 400 MiB to spare, a batch of 64 that takes 1 GiB is halved until it fits, and the mask is the same."""
    pytest.importorskip("onnxruntime" if framework == "onnx" else framework)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, framework],
        env={**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"},
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def run_tuner(cost: Any, kept: dict[Hashable, Any] | None = None, calls: int = 14) -> list[int]:
    """Return the sizes that a tuner tries under a law seconds = cost(count)."""
    size = BatchSize(None, {} if kept is None else kept, "key")
    sizes = []
    for _ in range(calls):
        sizes.append(size.now)
        size.measured(size.now, cost(size.now))
    return sizes


def test_auto_batch_size_stays_where_an_image_is_cheapest() -> None:
    """If images are cheapest in batches of 16, the neighbouring sizes are tried twice."""
    each = {1: 9.0, 4: 1.0, 8: 0.8, 16: 0.6, 32: 0.7}

    assert run_tuner(lambda n: n * each[n]) == [1, 4, 8, 16, 32, 32, 8] + [16] * 7


def test_auto_batch_size_follows_the_machine() -> None:
    """If each image costs the same, the smallest size wins; if only the call costs, the largest."""
    assert run_tuner(lambda n: n * 1.0)[-1] == BatchSize.FIRST
    assert run_tuner(lambda n: 1.0)[-1] == BatchSize.LAST


def test_a_gain_within_noise_is_not_worth_the_memory() -> None:
    """If images in larger batches are cheaper by 5 %, the size stays at the first, however many images there are."""
    tried = run_tuner(lambda n: n * (1.0 if n == 4 else 0.95), calls=100)

    assert tried == [1, 4, 8, 8] + [4] * 96


def test_larger_batches_are_not_tried_for_little() -> None:
    """A doubling that gained 10 % is expected to be followed by one of 5 %, which is not tried."""
    each = {1: 2.0, 4: 1.0, 8: 0.9, 16: 0.86}

    assert run_tuner(lambda n: n * each[n], calls=100) == [1, 4, 8, 4] + [8] * 96


def test_one_slow_call_does_not_decide() -> None:
    """A size that had bad luck the first time gets its second chance, in this session or the next."""
    each = {1: 9.0, 4: 1.0, 8: 0.8, 16: 0.6, 32: 0.7}
    unlucky = iter([9.0, 1.0, 0.8, 3.0])
    kept: dict[Hashable, Any] = {}
    run_tuner(lambda n: n * next(unlucky, each[n]), kept, calls=5)

    assert run_tuner(lambda n: n * each[n], kept)[-1] == 16


def test_auto_batch_size_is_remembered_with_the_model() -> None:
    """A second session on the same model goes on with what the first found."""
    kept: dict[Hashable, Any] = {}
    first = run_tuner(lambda n: 1.0, kept, calls=20)

    assert first[-1] == BatchSize.LAST
    assert run_tuner(lambda n: 1.0, kept, calls=2) == [BatchSize.LAST] * 2
