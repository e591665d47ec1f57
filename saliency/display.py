"""From a mask's values to what a picture shows."""

from __future__ import annotations

import numpy as np


def magnitude(mask: np.ndarray) -> np.ndarray:
    """The sign dropped, channels summed: (H, W, C) or (H, W) -> (H, W)."""
    return np.abs(mask).sum(2) if mask.ndim == 3 else np.abs(mask)


def summed(mask: np.ndarray) -> np.ndarray:
    """The sign kept, channels summed: (H, W, C) or (H, W) -> (H, W)."""
    return np.asarray(mask.sum(2)) if mask.ndim == 3 else mask


def heat(values: np.ndarray, percentile: float = 99) -> np.ndarray:
    """Values (H, W) from their minimum to a percentile, as [0, 1]; zeros where they are constant."""
    low, high = values.min(), np.percentile(values, percentile)
    if not high > low:
        return np.zeros_like(values)
    return np.asarray(np.clip((values - low) / (high - low), 0, 1))


def signed(values: np.ndarray, span: float) -> np.ndarray:
    """Values (H, W) by `span`, as [-1, 1]: zero stays zero. Zeros where the span is zero."""
    return np.asarray(np.clip(values / span, -1, 1)) if span > 0 else np.zeros_like(values)
