"""Convert a mask's values to the values and colours that are shown."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency import checks


def magnitude(mask: np.ndarray) -> np.ndarray:
    """Return the absolute values, summed over channels: (H, W, C) or (H, W) -> (H, W)."""
    return np.abs(mask).sum(2) if mask.ndim == 3 else np.abs(mask)


def summed(mask: np.ndarray) -> np.ndarray:
    """Return the signed values, summed over channels: (H, W, C) or (H, W) -> (H, W)."""
    return np.asarray(mask.sum(2)) if mask.ndim == 3 else mask


def heat(values: np.ndarray, percentile: float = 99) -> np.ndarray:
    """Scale values (H, W) from their minimum and a percentile to [0, 1]; zeros if they are constant."""
    low, high = values.min(), np.percentile(values, percentile)
    if not high > low:
        return np.zeros_like(values)
    return np.asarray(np.clip((values - low) / (high - low), 0, 1))


def signed(values: np.ndarray, span: float) -> np.ndarray:
    """Scale values (H, W) by `span` to [-1, 1]: zero stays zero. Zeros if the span is zero."""
    return np.asarray(np.clip(values / span, -1, 1)) if span > 0 else np.zeros_like(values)


def colormap(name: str | None, signed: bool) -> Any:
    """Return a matplotlib colormap by name; by default one for signed or unsigned values."""
    import matplotlib as mpl

    wanted = ("RdBu_r" if signed else "inferno") if name is None else name
    return mpl.colormaps[checks.choice(wanted, "colormap", sorted(mpl.colormaps))]


def coloured(values: np.ndarray, signed: bool, name: str | None = None) -> np.ndarray:
    """Return the colours, (H, W, 3) in [0, 1], of values in [-1, 1] if signed, otherwise in [0, 1]."""
    share = (values + 1) / 2 if signed else values
    return np.asarray(colormap(name, signed)(share)[..., :3])
