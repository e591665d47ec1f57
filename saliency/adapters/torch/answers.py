"""Reading what a torch model returned, and retelling its complaints."""

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
"""Words by which torch's complaint about what it was fed is known."""

TORCH = Arrays(torch.is_tensor, torch.reshape, "a tensor", channels_first=True)


def told_by_the_model(error: Exception, fed: Tensor) -> Exception | None:
    """The model's own complaint about what it was fed, retold with the image's shape; None if it is about another."""
    told = str(error)
    if isinstance(error, SaliencyError):
        return None
    if not isinstance(error, RuntimeError | ValueError | AssertionError) or not any(sign in told for sign in SIGNS):
        return None
    _, channels, height, width = fed.shape if fed.ndim == 4 else (0, 0, 0, 0)
    return unfit(f"{tuple(fed.shape)} (N, C, H, W)", channels, height, width, told.splitlines()[0])
