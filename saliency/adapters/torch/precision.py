"""In which type a torch module computes, and the way from there to the type of our own arithmetic.

A model computes as its user runs it: in the type of its weights, or as ambient autocast has it. Backward passes, rules
and everything that methods compute are done outside of autocast, in float32 (float64 where the model is float64).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain

import torch
from torch import Tensor, nn

HALF = (torch.float16, torch.bfloat16)
"""Types of two bytes, too coarse for sums and quotients."""

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
"""Layers that take no input but of the type of their weights."""


def fed_as(modules: Iterable[nn.Module]) -> tuple[torch.device, torch.dtype]:
    """Return device and type of what modules must be fed: those of their first layer; CPU and float32 without any.

    Norms and embeddings may be of another type than the layers, and quantised weights are of none that can be fed.
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
    """Return the type of a product of two arrays of type `dtype`: another one under ambient autocast."""
    one = torch.zeros((1, 1), device=device, dtype=dtype)
    return (one @ one).dtype


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Switch autocast off, for as long as the context lasts."""
    try:
        return torch.autocast(device.type, enabled=False)
    except RuntimeError:  # a device that knows no autocast
        return nullcontext()


def wide(tensor: Tensor) -> Tensor:
    """Return a tensor of a type of two bytes in float32; all others as they are."""
    return tensor.float() if tensor.dtype in HALF else tensor
