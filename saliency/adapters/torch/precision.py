"""The type in which a torch module computes, and its conversion to the type of the methods' arithmetic.

A model computes as its user runs it: in the type of its weights, or under the active autocast. Backward passes, rules
and methods compute outside of autocast, in float32 (float64 if the model is float64).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import cast

import torch
from torch import Tensor, nn

from saliency.errors import NoGradient
from saliency.model.protocols import Adapted, Differentiable, lacking

HALF = (torch.float16, torch.bfloat16)
"""Half-precision types, too coarse for sums and quotients."""

TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""By value of `precision`, the type of autocast."""

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


def deviation_note(reduced: Adapted[Tensor], own: Adapted[Tensor], images: Tensor, dtype: torch.dtype) -> str:
    """Return the note on how far scores and gradients under autocast are from those in float32.

    Args:
        reduced: the model under autocast.
        own: the same in float32.
        images: the first picture that is explained, (1, H, W, C).
        dtype: of autocast.
    """
    exact = own.outputs(images)
    spread = float(exact.max() - exact.min()) or 1.0
    change = float((reduced.outputs(images) - exact).abs().max()) / spread
    name = str(dtype).removeprefix("torch.")
    note = f"computed in {name} by autocast: for the first picture, scores differ from float32 by at most "
    note += f"{100 * change:.2g} % of their range"
    if lacking(own, Differentiable) is not None:
        return note
    bound = (cast(Differentiable[Tensor], each.at([int(exact[0].argmax())])) for each in (reduced, own))
    try:
        rounded, gradient = (each.gradients(images).gradients for each in bound)
    except NoGradient:
        return note
    changed = float((rounded - gradient).norm()) / (float(gradient.norm()) or 1.0)
    return f"{note}, and the gradient of the top score by {100 * changed:.2g} % of its norm"
