"""Check whether a model's outputs for an image depend on the rest of its batch, or change from call to call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from saliency.errors import BadOutput
from saliency.model.names import subject_of
from saliency.model.protocols import Adapted
from saliency.session.batch_size import is_out_of_memory

TOLERANCE = 0.02
"""Largest relative difference of outputs that is still a rounding error: bfloat16 has two digits."""


class Inconsistency(NamedTuple):
    """A way in which a model's outputs for an image depend on more than the image."""

    note: str
    alone: bool
    """Whether images must be explained one at a time."""


def inconsistency(adapted: Adapted[Any], fed: np.ndarray) -> Inconsistency | None:
    """Call a model with an image paired with another one, again, and alone; once per model and mode of its parts.

    NumPy functions are skipped, because a call may be expensive.

    Args:
        adapted: the model.
        fed: the image, (1, H, W, C).

    Raises:
        BadOutput: the outputs' first axis is not the batch, or other axes change with the batch size.
    """
    if not adapted.comparable or fed.ndim != 4:
        return None
    key = getattr(adapted, "modes", None)
    if key not in adapted.consistency:
        adapted.consistency[key] = _compared(adapted, fed)
    found: Inconsistency | None = adapted.consistency[key]
    return found


def size_for(adapted: Adapted[Any], fed: np.ndarray, batch_size: int | str = "auto") -> int | str:
    """Return the batch size, or 1 where the outputs for an image depend on the rest of its batch.

    Args:
        adapted: the model.
        fed: an image, (1, H, W, C).
        batch_size: images per model call, or "auto".
    """
    found = inconsistency(adapted, fed)
    return 1 if found is not None and found.alone else batch_size


def batches(images: Any, *, alone: bool) -> list[Any]:
    """Return images (N, …) as the batches with which to call the model: all together, or each image alone."""
    return [images[i : i + 1] for i in range(int(images.shape[0]))] if alone else [images]


def _compared(adapted: Adapted[Any], fed: np.ndarray) -> Inconsistency | None:
    def called(images: np.ndarray) -> np.ndarray:
        with adapted.lock:
            return np.asarray(adapted.ops.tohost(adapted.outputs(adapted.ops.asarray(images))), np.float64)

    pair = np.concatenate([fed, fed / 2])
    try:
        # the pair first: code compiled for two images also serves one
        with_another, again = called(pair), called(pair)
    except Exception as error:  # noqa: BLE001  # a model may raise anything for two images
        return None if is_out_of_memory(error) else _of_one(called, fed, error)
    try:
        alone = called(fed)
    except Exception:  # noqa: BLE001  # the explanation will raise the same error
        return None
    if len(alone) != 1 or len(with_another) != 2 or alone.shape[1:] != with_another.shape[1:]:
        raise BadOutput(
            f"{subject_of(adapted)} returns outputs of shape {alone.shape} for one image and "
            f"{with_another.shape} for two. The "
            "first axis must be the batch, and the number of classes must not change with it: (N, classes)."
        )
    if (changed := _difference(with_another[0], again[0])) > TOLERANCE:
        return Inconsistency(
            f"the model's outputs change from call to call, by {100 * changed:.0f} % of the largest, as with active "
            "dropout: the mask depends on chance",
            alone=False,
        )
    if (changed := _difference(with_another[0], alone[0])) > TOLERANCE:
        return Inconsistency(
            f"the model's outputs for an image depend on the rest of the batch, by {100 * changed:.0f} % of the "
            "largest, as with batch norm in training mode: images are evaluated one at a time",
            alone=True,
        )
    return None


def _of_one(called: Callable[[np.ndarray], np.ndarray], fed: np.ndarray, error: Exception) -> Inconsistency | None:
    """Return the inconsistency of a model that fails on two images; None if it fails on one as well."""
    try:
        called(fed)
    except Exception:  # noqa: BLE001  # the explanation will raise the same error
        return None
    why = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return Inconsistency(f"the model fails on two images ({why}): images are evaluated one at a time", alone=True)


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference relative to the largest value; 0 for values that are not finite (checked later)."""
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return 0.0
    largest = float(np.abs(one).max(initial=0))
    return float(np.abs(one - other).max(initial=0)) / largest if largest > 0 else 0.0
