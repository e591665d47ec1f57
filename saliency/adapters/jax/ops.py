"""JAX's implementation of :class:`saliency.model.protocols.Ops`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from saliency.model.protocols import Axis


class JaxOps:
    """Array functions of JAX."""

    def __init__(self, dtype: Any = np.float32) -> None:
        self.dtype = np.dtype(dtype)

    def asarray(self, host: Any) -> Any:
        return jnp.asarray(np.asarray(host, self.dtype))

    def tohost(self, array: Any) -> np.ndarray:
        return np.array(array)

    def wait(self, array: Any) -> None:
        array.block_until_ready()

    def sum(self, array: Any, axis: Axis = None) -> Any:
        return jnp.sum(array, axis=axis)

    def max(self, array: Any, axis: Axis = None) -> Any:
        return jnp.max(array, axis=axis)

    def abs(self, array: Any) -> Any:
        return jnp.abs(array)

    def maximum(self, array: Any, other: Any) -> Any:
        return jnp.maximum(array, other)

    def where(self, condition: Any, array: Any, other: Any) -> Any:
        return jnp.where(condition, array, other)

    def concat(self, arrays: Sequence[Any], axis: int = 0) -> Any:
        return jnp.concatenate(list(arrays), axis)

    def repeat(self, array: Any, times: int) -> Any:
        return jnp.repeat(array, times, axis=0)

    def reshape(self, array: Any, shape: tuple[int, ...]) -> Any:
        return jnp.reshape(array, shape)

    def transpose(self, array: Any, axes: tuple[int, ...]) -> Any:
        return jnp.transpose(array, axes)

    def flip(self, array: Any, axis: int) -> Any:
        return jnp.flip(array, axis)

    def take(self, array: Any, indices: np.ndarray) -> Any:
        return array[..., indices]

    def matmul(self, array: Any, other: Any) -> Any:
        return jnp.matmul(array, other)

    def logsumexp(self, array: Any) -> Any:
        return jax.nn.logsumexp(array, axis=-1)

    def finite(self, array: Any) -> bool:
        return bool(jnp.isfinite(array).all())
