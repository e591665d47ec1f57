"""torch's composite functions written with simpler ones, for which there are rules."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

DISPATCHES = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")
"""Names by which torch's Python functions check whether they are intercepted."""


@lru_cache(256)
def inside(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return the function with interception of its inner calls only; None if it is not written in Python."""
    if not isinstance(function, FunctionType) or not function.__module__.startswith("torch."):
        return None
    body = getattr(function, "__wrapped__", function)
    if not isinstance(body, FunctionType) or not any(name in body.__code__.co_names for name in DISPATCHES):
        return None
    scope = {**body.__globals__, **dict.fromkeys(DISPATCHES, lambda *_: False)}
    opened = FunctionType(body.__code__, scope, body.__name__, body.__defaults__, body.__closure__)
    opened.__kwdefaults__ = body.__kwdefaults__
    return opened


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    seen: Callable[[Tensor], Tensor] = lambda weights: weights,
) -> Tensor:
    """Compute ``scaled_dot_product_attention`` as two products and a softmax.

    Args:
        query: (…, T, d); all up to `enable_gqa` as torch has them.
        seen: receives the attention map (…, T, T); its result replaces the map.
    """
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    logits = (query * factor) @ key.transpose(-2, -1)
    if is_causal:
        attn_mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
    if attn_mask is not None:
        added = attn_mask.dtype != torch.bool
        logits = logits + attn_mask if added else logits.masked_fill(~attn_mask, -math.inf)
    return functional.dropout(seen(logits.softmax(-1)), dropout_p, training=dropout_p > 0) @ value


def product_and_sum(input: Tensor, left: Tensor, right: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:  # noqa: A002
    """Compute ``addmm`` and ``baddbmm``."""
    product = left @ right if alpha == 1 else (left @ right) * alpha
    return product if beta == 0 else input * beta + product


def layer_norm(
    input: Tensor,  # noqa: A002
    normalized_shape: tuple[int, ...],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Compute ``layer_norm`` by mean and variance of the last axes."""
    y = _standardised(input, tuple(range(-len(normalized_shape), 0)), eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def rms_norm(
    input: Tensor,  # noqa: A002
    normalized_shape: tuple[int, ...],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Compute ``rms_norm``."""
    eps = torch.finfo(input.dtype).eps if eps is None else eps
    y = input * ((input * input).mean(tuple(range(-len(normalized_shape), 0)), keepdim=True) + eps).rsqrt()
    return y if weight is None else y * weight


def group_norm(
    input: Tensor,  # noqa: A002
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Compute ``group_norm``."""
    y = _standardised(input.reshape(len(input), num_groups, -1), (-1,), eps).reshape(input.shape)
    channels = (1, -1) + (1,) * (input.ndim - 2)
    y = y if weight is None else y * weight.reshape(channels)
    return y if bias is None else y + bias.reshape(channels)


def instance_norm(
    input: Tensor,  # noqa: A002
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Compute ``instance_norm``."""
    if not use_input_stats:
        return functional.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    return group_norm(input, input.shape[1], weight, bias, eps)


def glu(input: Tensor, dim: int = -1) -> Tensor:  # noqa: A002
    """Compute ``glu``."""
    signal, gate = input.chunk(2, dim)
    return signal * gate.sigmoid()


def log_softmax(input: Tensor, dim: int | None = None, *_: Any, **__: Any) -> Tensor:  # noqa: A002
    """Compute ``log_softmax``."""
    return functional.softmax(input, dim, _stacklevel=4).log()


def variance(
    input: Tensor,  # noqa: A002
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: int | None = None,
) -> Tensor:
    """Compute ``var``."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    axes = tuple(range(input.ndim)) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    centred = input - input.mean(axes, keepdim=True)
    count = math.prod(input.shape[axis] for axis in axes)
    less = correction if correction is not None else int(unbiased is not False)
    return (centred * centred).sum(axes, keepdim=keepdim) / max(count - less, 0)


def vector_norm(x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Tensor:  # noqa: A002
    """Compute ``linalg.vector_norm``."""
    if ord != 2:
        return torch.linalg.vector_norm(x, ord, dim, keepdim, **kwargs)
    axes = tuple(range(x.ndim)) if dim is None else dim
    return (x * x).sum(axes, keepdim=keepdim).sqrt()


def quotient(input: Tensor, other: Tensor) -> Tensor:  # noqa: A002
    """Compute ``div``."""
    return input * other.reciprocal()


def _standardised(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    centred = x - x.mean(axes, keepdim=True)
    return centred * ((centred * centred).mean(axes, keepdim=True) + eps).rsqrt()


ALWAYS: dict[str, Callable[..., Any]] = {
    "scaled_dot_product_attention": attention,
    "addmm": product_and_sum,
    "baddbmm": product_and_sum,
    "glu": glu,
    "rsub": lambda x, other: (-x) + other,
    "rsub_of": lambda x, other, alpha=1: (-other) * alpha + x,
}
"""Functions that no rule takes as a whole."""

OPENED: dict[str, Callable[..., Any]] = {  # by name or kind
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
    "log_softmax": log_softmax,
    "divide": quotient,
    "maximum": lambda x, other: other + (x - other).relu(),
    "minimum": lambda x, other: x - (x - other).relu(),
    "var": variance,
    "std": lambda *args, **kwargs: variance(*args, **kwargs).sqrt(),
    "linalg_vector_norm": vector_norm,
}
"""Functions that are decomposed if no rule takes them as a whole."""
