"""Reading what a torch model returned, and retelling its complaints."""

from __future__ import annotations

import torch
from torch import Tensor

from saliency.adapters.answers import Arrays
from saliency.errors import BadImage, SaliencyError

TORCH = Arrays(torch.is_tensor, torch.reshape, "a tensor", channels_first=True)


def told_by_the_model(error: Exception, fed: Tensor) -> Exception | None:
    """The model's own complaint about what it was fed, retold with the image's shape; None if it is about another."""
    told = str(error)
    if isinstance(error, SaliencyError):
        return None
    signs = ("channels", "size mismatch", "shapes cannot be multiplied", "normalized_shape", "doesn't match model")
    if not isinstance(error, RuntimeError | ValueError | AssertionError) or not any(sign in told for sign in signs):
        return None
    _, channels, height, width = fed.shape if fed.ndim == 4 else (0, 0, 0, 0)
    return BadImage(
        f"The model cannot take this image: it was fed {tuple(fed.shape)} (N, C, H, W), that is {channels} channels "
        f"at {height}×{width} pixels. Pass preprocess=… that makes what the model was trained on. "
        f"The model says: {told.splitlines()[0]}"
    )
