"""Corruptions of a picture, each with one number for its strength; 0 leaves the picture as it is."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

Change = Callable[[np.ndarray, float], np.ndarray]
"""From a picture (H, W, C) in 0–1 and a strength to the changed picture; what leaves 0–1 is clipped."""


class Corruption(NamedTuple):
    """A corruption by name."""

    change: Change
    most: float
    """The largest strength, which is tried by default; for a user's function any larger one may be passed."""
    unit: str
    """What the strength is measured in."""


def blur(picture: np.ndarray, strength: float) -> np.ndarray:
    """Blur with a Gaussian whose standard deviation is a share of the longer side."""
    from scipy import ndimage

    sigma = strength * max(picture.shape[:2])
    return np.asarray(ndimage.gaussian_filter(picture, sigma, mode="nearest", axes=(0, 1)))


def noise(picture: np.ndarray, strength: float, seed: int = 0) -> np.ndarray:
    """Add Gaussian noise of a standard deviation; the pattern depends on the seed only."""
    return picture + strength * np.random.default_rng(seed).standard_normal(picture.shape)


def occlusion(picture: np.ndarray, strength: float) -> np.ndarray:
    """Cover a centred rectangle, with sides that are a share of the picture's, with grey."""
    height, width = picture.shape[:2]
    high, wide = round(strength * height), round(strength * width)
    top, left = (height - high) // 2, (width - wide) // 2
    covered = picture.copy()
    covered[top : top + high, left : left + wide] = 0.5
    return covered


def brightness(picture: np.ndarray, strength: float) -> np.ndarray:
    """Add a number to all values."""
    return picture + strength


def darkness(picture: np.ndarray, strength: float) -> np.ndarray:
    """Subtract a number from all values."""
    return picture - strength


def contrast(picture: np.ndarray, strength: float) -> np.ndarray:
    """Move all values towards the picture's mean, by a share of the distance."""
    return picture + strength * (picture.mean() - picture)


def rotation(picture: np.ndarray, strength: float) -> np.ndarray:
    """Rotate about the centre, counterclockwise in degrees; what is outside is reflected at the border."""
    from scipy import ndimage

    return np.asarray(ndimage.rotate(picture, strength, axes=(0, 1), reshape=False, order=1, mode="reflect"))


def jpeg(picture: np.ndarray, strength: float) -> np.ndarray:
    """Save as JPEG with a quality of 100 minus the strength, and read again; other than three channels one by one."""
    from PIL import Image

    if strength == 0:
        return picture
    pixels = np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)
    planes = [pixels] if pixels.shape[-1] == 3 else [pixels[..., i] for i in range(pixels.shape[-1])]
    found = []
    for each in planes:
        file = io.BytesIO()
        Image.fromarray(each).save(file, "JPEG", quality=round(100 - strength))
        found.append(np.asarray(Image.open(file)).reshape(*each.shape[:2], -1))
    return np.concatenate(found, -1) / 255


CORRUPTIONS: Mapping[str, Corruption] = {
    "blur": Corruption(blur, 0.25, "of the longer side (σ)"),
    "noise": Corruption(noise, 1.0, "of 0–1 (σ)"),
    "occlusion": Corruption(occlusion, 1.0, "of each side"),
    "brightness": Corruption(brightness, 1.0, "of 0–1, added"),
    "darkness": Corruption(darkness, 1.0, "of 0–1, subtracted"),
    "contrast": Corruption(contrast, 1.0, "of the contrast, removed"),
    "rotation": Corruption(rotation, 180.0, "degrees"),
    "jpeg": Corruption(jpeg, 99.0, "below quality 100"),
}
"""The corruptions by name."""
