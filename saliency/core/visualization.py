"""PAIR's two functions to show a mask."""

from __future__ import annotations

import numpy as np

from saliency.pictures.display import heat, magnitude, signed, summed


def VisualizeImageGrayscale(image_3d: np.ndarray, percentile: float = 99) -> np.ndarray:
    """Return the sum of absolute values over the channels, scaled from the minimum to a percentile.

    Args:
        image_3d: (H, W, C).
        percentile: 0–100; values above it are shown as 1.

    Returns:
        (H, W) in [0, 1]; zeros where the mask is constant.
    """
    return heat(magnitude(image_3d), percentile)


def VisualizeImageDiverging(image_3d: np.ndarray, percentile: float = 99) -> np.ndarray:
    """Return the sum over the channels, scaled symmetrically about zero.

    Args:
        image_3d: (H, W, C).
        percentile: 0–100; sums beyond this percentile of the absolute values are shown as -1 or 1.

    Returns:
        (H, W) in [-1, 1]; zero stays zero, as in PAIR's documentation (its code maps it to 0.5).
    """
    values = summed(image_3d)
    return signed(values, abs(np.percentile(values, percentile)))
