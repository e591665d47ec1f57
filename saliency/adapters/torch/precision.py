"""The type in which a torch module computes, and its conversion to the type of the methods' arithmetic.

A model computes as its user runs it: in the type of its weights, or under the active autocast. Backward passes, rules
and methods compute outside of autocast, in float32 (float64 if the model is float64).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain

import torch
from torch import Tensor, nn

HALF = (torch.float16, torch.bfloat16)
"""Half-precision types, too coarse for sums and quotients."""

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
"""Layers whose input must have the type of their weights."""


def fed_as(modules: Iterable[nn.Module]) -> tuple[torch.device, torch.dtype]:
    """Return the device and type that modules take as input: those of their first layer; by default CPU and float32.

    Norms and embeddings may have another type than the layers, and the type of quantised weights is no input type.
    """
    modules = list(modules)
    first = next(chain(_weights(modules), _floating(modules)), torch.zeros(0))
    return first.device, first.dtype


def _weights(modules: Iterable[nn.Module]) -> Iterator[Tensor]:
    parts = (part for each in modules for part in each.modules() if isinstance(part, LAYERS))
    weights = (getattr(part, "weight", None) for part in parts)
    return (weight for weight in weights if isinstance(weight, Tensor) and weight.is_floating_point())


def _floating(modules: Iterable[nn.Module]) -> Iterator[Tensor]:
    tensors = (tensor for each in modules for tensor in chain(each.parameters(), each.buffers()))
    return (tensor for tensor in tensors if tensor.is_floating_point())


def computed_in(device: torch.device, dtype: torch.dtype) -> torch.dtype:
    """Return the type of a product of two arrays of type `dtype`, which differs under autocast."""
    one = torch.zeros((1, 1), device=device, dtype=dtype)
    return (one @ one).dtype


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context that switches autocast off."""
    try:
        return torch.autocast(device.type, enabled=False)
    except RuntimeError:  # a device without autocast
        return nullcontext()


def wide(tensor: Tensor) -> Tensor:
    """Convert a half-precision tensor to float32; return all others unchanged."""
    return tensor.float() if tensor.dtype in HALF else tensor
