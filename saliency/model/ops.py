"""NumPy's array functions, in the form of :class:`saliency.model.protocols.Ops`.

Those of each framework are beside its adapter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saliency.model.protocols import Axis


class NumpyOps:
    """NumPy's array functions. Arrays keep their floating type.

    Args:
        dtype: type of the model's input.
    """

    def __init__(self, dtype: Any = np.float32) -> None:
        self.dtype = np.dtype(dtype)

    def asarray(self, host: Any) -> np.ndarray:
        return np.asarray(host, self.dtype)

    def tohost(self, array: np.ndarray) -> np.ndarray:
        return np.array(array)

    def wait(self, array: np.ndarray) -> None:
        pass

    def sum(self, array: np.ndarray, axis: Axis = None) -> np.ndarray:
        return np.asarray(np.sum(array, axis=axis))

    def max(self, array: np.ndarray, axis: Axis = None) -> np.ndarray:
        return np.asarray(np.max(array, axis=axis))

    def abs(self, array: np.ndarray) -> np.ndarray:
        return np.abs(array)

    def maximum(self, array: np.ndarray, other: np.ndarray | float) -> np.ndarray:
        return np.maximum(array, other)

    def where(self, condition: Any, array: np.ndarray, other: np.ndarray | float) -> np.ndarray:
        # the same result as np.where, three times as fast for broadcast arguments
        shape = np.broadcast_shapes(np.shape(condition), np.shape(array), np.shape(other))
        chosen = np.empty(shape, np.result_type(array, other))
        np.copyto(chosen, other)
        np.copyto(chosen, array, where=condition)
        return chosen

    def concat(self, arrays: Sequence[np.ndarray], axis: int = 0) -> np.ndarray:
        return np.concatenate(arrays, axis)

    def repeat(self, array: np.ndarray, times: int) -> np.ndarray:
        return np.repeat(array, times, axis=0)

    def reshape(self, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return array.reshape(shape)

    def transpose(self, array: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        return array.transpose(axes)

    def flip(self, array: np.ndarray, axis: int) -> np.ndarray:
        return np.flip(array, axis)

    def take(self, array: np.ndarray, indices: np.ndarray) -> np.ndarray:
        return array[..., indices]

    def matmul(self, array: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.matmul(array, other)

    def logsumexp(self, array: np.ndarray) -> np.ndarray:
        most = array.max(-1, keepdims=True)
        return np.asarray(most[..., 0] + np.log(np.exp(array - most).sum(-1)))

    def finite(self, array: np.ndarray) -> bool:
        return bool(np.isfinite(array).all())
