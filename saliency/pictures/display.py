"""From a mask's values to what a picture shows."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency import checks


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


def colormap(name: str | None, signed: bool) -> Any:
    """Return one of matplotlib's colormaps; the default for both signs or for one where there is no name."""
    import matplotlib as mpl

    wanted = ("RdBu_r" if signed else "inferno") if name is None else name
    return mpl.colormaps[checks.choice(wanted, "colormap", sorted(mpl.colormaps))]


def coloured(values: np.ndarray, signed: bool, name: str | None = None) -> np.ndarray:
    """Return the colours, (H, W, 3) in [0, 1], of values in [-1, 1] where they are signed, else in [0, 1]."""
    share = (values + 1) / 2 if signed else values
    return np.asarray(colormap(name, signed)(share)[..., :3])
