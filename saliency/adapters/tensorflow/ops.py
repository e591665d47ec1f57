"""TensorFlow's implementation of :class:`saliency.model.protocols.Ops`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from saliency.model.protocols import Axis


class TensorFlowOps:
    """Array functions of TensorFlow."""

    def __init__(self, dtype: Any = np.float32) -> None:
        self.dtype = np.dtype(dtype)

    def asarray(self, host: Any) -> Any:
        return tf.constant(np.asarray(host, self.dtype))

    def tohost(self, array: Any) -> np.ndarray:
        return np.array(array)

    def wait(self, array: Any) -> None:
        if "GPU" in array.device:
            tf.test.experimental.sync_devices()

    def sum(self, array: Any, axis: Axis = None) -> Any:
        return tf.reduce_sum(array, axis)

    def max(self, array: Any, axis: Axis = None) -> Any:
        return tf.reduce_max(array, axis)

    def abs(self, array: Any) -> Any:
        return tf.abs(array)

    def maximum(self, array: Any, other: Any) -> Any:
        return tf.maximum(array, other)

    def where(self, condition: Any, array: Any, other: Any) -> Any:
        return tf.where(condition, array, other)

    def concat(self, arrays: Sequence[Any], axis: int = 0) -> Any:
        return tf.concat(list(arrays), axis)

    def repeat(self, array: Any, times: int) -> Any:
        return tf.repeat(array, times, axis=0)

    def reshape(self, array: Any, shape: tuple[int, ...]) -> Any:
        return tf.reshape(array, shape)

    def transpose(self, array: Any, axes: tuple[int, ...]) -> Any:
        return tf.transpose(array, axes)

    def flip(self, array: Any, axis: int) -> Any:
        return tf.reverse(array, [axis])

    def take(self, array: Any, indices: np.ndarray) -> Any:
        return tf.gather(array, indices, axis=-1)

    def matmul(self, array: Any, other: Any) -> Any:
        batch = np.broadcast_shapes(tuple(array.shape[:-2]), tuple(other.shape[:-2]))
        # TensorFlow's oneDNN kernel (2.21) writes out of bounds if the ranks differ
        array, other = (tf.broadcast_to(each, (*batch, *each.shape[-2:])) for each in (array, other))
        return tf.matmul(array, other)

    def logsumexp(self, array: Any) -> Any:
        return tf.reduce_logsumexp(array, axis=-1)

    def finite(self, array: Any) -> bool:
        return bool(tf.reduce_all(tf.math.is_finite(array)))
