"""scikit-image's cubic resize of a large picture, equal to the last bit, without processing the zero padding.

``skimage.transform.resize`` makes ``scipy.ndimage.zoom`` pad every axis, also the channels, by twelve zeros before it
computes the spline's coefficients: three planes become 27. Along rows and columns a plane of zeros stays zero, so that
only the three are filtered here; along the channels only six of the 27 are ever read. The same functions of SciPy
compute the same sums in the same order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency.threads import in_threads

PADDED = 12
"""Number of zeros with which SciPy pads its input for "grid-constant" borders."""
BESIDE = 1, 2
"""Number of coefficients on either side of its position that a cubic spline reads."""
STRIP = 16
"""Number of rows filtered along their channels at once, small enough for the cache."""


def shrunk(picture: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Return ``resize(picture, (height, width), order=3, mode="constant", preserve_range=True, anti_aliasing=True)``.

    Args:
        picture: float32 or float64 (H, W, C), with a range that contains zero.
        height: height of the result.
        width: width of the result.

    Returns:
        (height, width, C), in the picture's dtype.
    """
    from scipy import ndimage

    shape, channels = picture.shape[:2], picture.shape[2]
    sizes = [now / then for now, then in zip(shape, (height, width), strict=True)]
    blur = [max(0.0, (size - 1) / 2) for size in sizes]
    smooth = ndimage.gaussian_filter(picture, (*blur, 0), mode="grid-constant", cval=0)
    coefficients = np.pad(smooth, [(PADDED, PADDED), (PADDED, PADDED), (0, 0)])
    for axis in (0, 1):
        coefficients = _filtered(coefficients, axis)

    read = slice(PADDED - BESIDE[0], PADDED + channels + BESIDE[1])
    lines = np.empty((*coefficients.shape[:2], read.stop - read.start))

    def along_channels(first: int) -> None:
        rows = slice(first, first + STRIP)
        deep = np.pad(coefficients[rows], [(0, 0), (0, 0), (PADDED, PADDED)])
        lines[rows] = _filtered(deep, 2)[..., read]

    for _ in in_threads(along_channels, range(0, len(lines), STRIP)):
        pass
    places = [(np.arange(n) + 0.5) * size - 0.5 + PADDED for n, size in zip((height, width), sizes, strict=True)]
    grid = np.meshgrid(*places, np.arange(float(channels)) + BESIDE[0], indexing="ij")
    found = ndimage.map_coordinates(lines, grid, order=3, prefilter=False, mode="grid-constant", output=picture.dtype)
    return np.clip(found, picture.min(), picture.max())


def _filtered(coefficients: NDArray[Any], axis: int) -> NDArray[Any]:
    from scipy.ndimage import spline_filter1d

    found: NDArray[Any] = spline_filter1d(coefficients, 3, axis=axis, output=np.float64, mode="grid-constant")
    return found
