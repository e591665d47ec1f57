"""Read a torch model's outputs, and turn torch's shape errors into messages about the image."""

from __future__ import annotations

import torch
from torch import Tensor

from saliency.adapters.answers import Arrays, unfit
from saliency.errors import SaliencyError

SIGNS = (
    "channels",
    "size mismatch",
    "shapes cannot be multiplied",
    "normalized_shape",
    "doesn't match model",
    "Kernel size",
    "Output size is too small",
    "Padding size",
    "output sizes should be greater",
    "is invalid for input of size",
    "must match the size",
)
"""Words in torch's error messages that mark an error about the input's shape."""

TORCH = Arrays(torch.is_tensor, torch.reshape, "a tensor", channels_first=True)


def shape_error(error: Exception, fed: Tensor, name: str) -> Exception | None:
    """Return the BadImage for torch's error about an input's shape; None for any other error."""
    message = str(error)
    if isinstance(error, SaliencyError):
        return None
    if not isinstance(error, RuntimeError | ValueError | AssertionError) or not any(sign in message for sign in SIGNS):
        return None
    _, channels, height, width = fed.shape if fed.ndim == 4 else (0, 0, 0, 0)
    return unfit(f"{tuple(fed.shape)} (N, C, H, W)", channels, height, width, message.splitlines()[0], name)
