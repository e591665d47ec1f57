"""Reading what a torch model returned, and retelling its complaints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from saliency.errors import BadImage, BadOutput, BadTarget, SaliencyError


def class_scores(outputs: Any) -> Tensor:
    """The (N, classes) scores in whatever a model returned."""
    found: Any = outputs
    if isinstance(outputs, Mapping):
        keys = [key for key in ("logits", "out", "output") if key in outputs]
        found = outputs[keys[0]] if keys else next(iter(outputs.values())) if len(outputs) == 1 else None
    elif not isinstance(outputs, Tensor) and isinstance(getattr(outputs, "logits", None), Tensor):
        found = outputs.logits
    elif isinstance(outputs, tuple | list):
        found = next((part for part in outputs if isinstance(part, Tensor) and part.ndim == 2), None)
    if isinstance(found, Tensor):
        if found.ndim == 4 and found.shape[2:] == (1, 1):
            found = found.flatten(1)
        if found.ndim == 1:
            found = found[:, None]
        if found.ndim == 2:
            return found
    raise BadOutput(
        f"No class scores of shape (N, classes) were found in the model's output, {described(outputs)}. "
        "Say what to explain: target=lambda outputs: … -> one number per image."
    )


def described(outputs: Any) -> str:
    """What came, in words."""
    if isinstance(outputs, Tensor):
        return f"a tensor of shape {tuple(outputs.shape)}"
    if isinstance(outputs, Mapping):
        return "a mapping with " + ", ".join(f"{key!r}: {described(value)}" for key, value in outputs.items())
    if isinstance(outputs, tuple | list):
        return f"a {type(outputs).__name__} of " + ", ".join(map(described, outputs))
    return f"a {type(outputs).__name__}"


def one_number_each(row: Any, count: int, target: Callable[..., Any]) -> Tensor:
    """`row`, if it has one number for each of `count` images."""
    if not isinstance(row, Tensor) or row.shape != (count,):
        got = described(row)
        raise BadTarget(
            f"The target {getattr(target, '__name__', target)!r} must give one number per image, "
            f"a tensor of shape ({count},), got {got}."
        )
    return row


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
