"""PAIR's two ways to make a picture of a mask."""

from __future__ import annotations

import numpy as np

from saliency.pictures.display import heat, magnitude, signed, summed


def VisualizeImageGrayscale(image_3d: np.ndarray, percentile: float = 99) -> np.ndarray:
    """Sum of absolute values over the channels, from the minimum to a percentile.

    Args:
        image_3d: (H, W, C).
        percentile: 0–100; what lies above is shown as 1.

    Returns:
        (H, W) in [0, 1]; zeros where the mask is constant.
    """
    return heat(magnitude(image_3d), percentile)


def VisualizeImageDiverging(image_3d: np.ndarray, percentile: float = 99) -> np.ndarray:
    """Sum over the channels, scaled symmetrically about zero.

    Args:
        image_3d: (H, W, C).
        percentile: 0–100; what is further from zero than this percentile of the sum is shown as -1 or 1.

    Returns:
        (H, W) in [-1, 1]; zero stays zero, as PAIR's documentation says (its code puts it at 0.5).
    """
    values = summed(image_3d)
    return signed(values, abs(np.percentile(values, percentile)))
