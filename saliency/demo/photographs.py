"""Photographs that come with scikit-image and scikit-learn, read from their packages without a download."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saliency.errors import MissingPackage, unknown

PHOTOGRAPHS = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "coffee": ("skimage", "data/coffee.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
}
"""The package that each comes with, and its path there."""


def load(name: str) -> NDArray[np.uint8]:
    """Load a photograph, (H, W, 3) uint8.

    Raises:
        MissingPackage: its package is not installed.
        UnknownName: there is no such photograph.
    """
    if name not in PHOTOGRAPHS:
        raise unknown("demo picture", name, PHOTOGRAPHS)
    package, path = PHOTOGRAPHS[name]
    try:
        folder = files(package)
    except ModuleNotFoundError as error:
        raise MissingPackage(
            f"The photograph {name!r} comes with scikit-learn, which is not installed: "
            'pip install "saliency-widget[imagenet]"'
        ) from error
    with folder.joinpath(path).open("rb") as opened, Image.open(opened) as picture:
        return np.array(picture.convert("RGB"), np.uint8)
