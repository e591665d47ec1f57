"""The model's input in units of the picture: 0 for black, 1 for white."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from saliency.errors import BadImage
from saliency.pictures.picture import Picture
from saliency.pictures.presets import UNITS

TOLERANCE = 0.01
"""Largest deviation of grey from the middle of black and white, as a share: 8-bit rounding is half of that."""


@dataclass(frozen=True)
class PictureSpace:
    """An affine map of each value of the model's input: black and white of its pixel and channel are 0 and 1.

    Attributes:
        black: the model's input for a black picture, (1, h, w, C) float64.
        scale: that for a white picture minus `black`; 0 where the picture is not seen, as in a border.
    """

    black: np.ndarray
    scale: np.ndarray

    def of(self, fed: np.ndarray) -> np.ndarray:
        """Return an input of the model in units of the picture; 0 where the picture is not seen."""
        scale = np.where(self.scale == 0, 1, self.scale)
        return np.where(self.scale == 0, 0, (fed - self.black) / scale)

    def fed(self, pixels: np.ndarray) -> np.ndarray:
        """Return the model's input for values in units of the picture."""
        return self.black + self.scale * pixels


def space_of(picture: Picture) -> PictureSpace:
    """Return the units of the picture for the model's input.

    Raises:
        BadImage: the values of black and white are not known, or the preprocessing is not affine in each channel.
    """
    if picture.values.dtype.kind == "f" and (picture.low, picture.high) not in UNITS:
        raise BadImage(
            f"The image has floats from {picture.low:.3g} to {picture.high:.3g}, as if already normalized, so that "
            "black and white are not known: pass the original picture, with preprocess=… ."
        )
    black, white, grey = (picture.without(name).astype(np.float64) for name in ("black", "white", "grey"))
    scale = white - black
    if not scale.any():
        raise BadImage(
            "preprocess maps black and white to the same input, as a standardization by the picture's own mean does: "
            "attacks need a preprocess that scales each channel by fixed numbers."
        )
    if (np.abs(grey - (black + white) / 2) > TOLERANCE * np.abs(scale).max()).any():
        raise BadImage(
            "preprocess does not map grey to the middle between black and white, so that it is not affine: attacks "
            "need a preprocess that scales each channel by fixed numbers."
        )
    return PictureSpace(black, scale)
