"""Small copies of pictures: :func:`thumbnail`."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency import checks
from saliency.pictures.files import reduced
from saliency.pictures.picture import read

LARGEST = 1 << 14
"""Largest side in pixels."""


def thumbnail(image: Any, side: int = 160) -> np.ndarray:
    """Return a small copy of a picture, as it is shown.

    A JPEG file is decoded at a fraction of its size, which is several times as fast as to decode all of it.

    Args:
        image: see :func:`saliency.read`.
        side: largest side in pixels; a smaller picture keeps its size.

    Returns:
        uint8 (h, w, 3).

    Raises:
        BadImage: the picture cannot be read.
        FileNotFoundError: there is no such file.
    """
    from PIL import Image

    side = checks.whole(side, "side", 1, LARGEST)
    found = reduced(image, side)
    shown = read(image if found is None else found).shown
    if max(shown.shape[:2]) <= side:
        return shown
    small = Image.fromarray(shown)
    small.thumbnail((side, side))
    return np.asarray(small)
