"""Simulate another processor's rounding: each number that a model returns is multiplied by 1 ± a small amount.

Frameworks and processors agree with each other on all but the last digits. A test that compares two implementations
must not depend on those. Discrete choices do (which pixels Guided IG moves, in which order XRAI grows), and pass only
where rounding happens to agree. Environment variables enable the jitter, so that child processes have it too:
``JITTER=1e-6 JITTER_SEED=3 pytest -m agreement``, which `make test-long` runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

AMOUNT = "JITTER"
SEED = "JITTER_SEED"
DOUBLE = 2.0**-29
"""Ratio of the precisions of float64 and float32: numbers change by the same number of units in the last place."""


class Jitter:
    """Factors 1 ± `amount`, different ones in each call, so that two compared models never get the same.

    Args:
        amount: the largest relative change of a float32 number.
        seed: seed of the factors.
    """

    def __init__(self, amount: float, seed: int | Sequence[int] = 0) -> None:
        self.amount, self._random = amount, np.random.default_rng(seed)

    def __call__(self, value: Any) -> Any:
        """Return `value`, an array of any framework or a container of arrays, with its floats changed."""
        if isinstance(value, dict):
            return {key: self(each) for key, each in value.items()}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(self, value))
        if isinstance(value, tuple | list):
            return type(value)(map(self, value))
        if not hasattr(value, "shape") or "float" not in str(value.dtype):
            return value
        amount = self.amount * (DOUBLE if "64" in str(value.dtype) else 1)
        return value * _like(1 + amount * self._random.uniform(-1, 1, tuple(value.shape)), value)


def amount() -> float:
    """Return the jitter that the environment sets, or 0."""
    return float(os.environ.get(AMOUNT, "0"))


def install(process: int = 0) -> None:
    """Change what models return to sessions and what each ``call_model_function`` returns, if the environment sets it.

    Args:
        process: each number gives different factors; for a child process that is compared with its parent.
    """
    if not amount():
        return
    from saliency.core.called import CalledModel
    from saliency.session.session import Session

    jitter = Jitter(amount(), [int(os.environ.get(SEED, "0")), process])
    stream: Any = Session._stream
    called: Any = CalledModel._call

    def _stream(self: Any, kind: str, call: Callable[[Any], Any], samples: Any) -> Any:
        return stream(self, kind, lambda batch: jitter(call(batch)), samples)

    def _call(self: Any, images: Any) -> Any:
        return jitter(called(self, images))

    Session._stream = _stream  # type: ignore[method-assign]
    CalledModel._call = _call  # type: ignore[method-assign]


def _like(factors: np.ndarray, array: Any) -> Any:
    """Return the factors as an array of the other's framework, type and device."""
    if hasattr(array, "new_tensor"):
        return array.new_tensor(factors)
    if "tensorflow" in type(array).__module__:
        import tensorflow as tf

        return tf.constant(factors, array.dtype)
    return factors.astype(array.dtype)
