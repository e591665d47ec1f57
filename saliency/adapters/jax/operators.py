"""JAX's implementation of :class:`saliency.adapters.traced.operators.Work`, which evaluates operators again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from saliency.adapters.jax.trace import Step, widely
from saliency.adapters.traced.operators import KINDS, moved

WHOLE = frozenset(name for name, kind in KINDS.items() if kind in ("rectifier", "activation")) | {"clip"}
"""Jitted functions that are one operator."""


class JaxWork:
    """Evaluates steps that are JAX equations."""

    def evaluated(self, step: Step, values: list[Any]) -> list[Any]:
        """See :class:`~saliency.adapters.traced.operators.Work`; so for the other methods."""
        return widely(step.equation, values)

    def vjp(self, function: Callable[..., list[Any]], inputs: Sequence[Any]) -> tuple[list[Any], Callable[..., Any]]:
        answer, pullback = jax.vjp(function, *inputs)

        def back(given: Sequence[Any]) -> Any:
            return pullback([_nothing(y) if each is None else each for each, y in zip(given, answer, strict=True)])

        return answer, back

    def softmax(self, x: Any, axis: int) -> Any:
        return jax.nn.softmax(x, axis)

    def channels(self, step: Step, place: int) -> int:
        params = step.equation.params
        if step.primitive == "conv_general_dilated":
            return int(params["dimension_numbers"].out_spec[1])
        if place == 1:
            return len(step.equation.outvars[0].aval.shape) - 1
        (left, _), _ = params["dimension_numbers"]
        return len(step.equation.invars[0].aval.shape) - len(left) - 1

    def to_weights(self, step: Step, place: int, factor: Any, axis: int, kernel: Any) -> Any:
        along = jnp.moveaxis(factor, axis, -1).reshape(-1, factor.shape[axis])[0]
        params = step.equation.params
        if step.primitive == "conv_general_dilated":
            own = int(params["dimension_numbers"].rhs_spec[0])
        else:
            contracted, batch = (each[place] for each in params["dimension_numbers"])
            own = max(each for each in range(kernel.ndim) if each not in contracted and each not in batch)
        shape = [1] * kernel.ndim
        shape[own] = -1
        return along.reshape(shape)

    def moved(self, step: Step, axis: int) -> int | None:
        equation = step.equation
        match step.primitive:
            case "transpose":
                return int(equation.params["permutation"].index(axis))
            case "reshape" | "squeeze" | "expand_dims" | "broadcast_in_dim":
                return moved(equation.invars[0].aval.shape, equation.outvars[0].aval.shape, axis)
        return axis


def _nothing(y: Any) -> Any:
    """Return the cotangent of an output without relevance."""
    return jnp.zeros_like(y) if jnp.issubdtype(y.dtype, jnp.inexact) else np.zeros(y.shape, jax.dtypes.float0)
