"""Maps that never see the model, and must lose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from saliency import testbed
from saliency.metrics.metric import random_maps

REFERENCES = {
    "random": "random values, as smooth as most maps",
    "sobel": "edges of the picture (Sobel)",
    "centre": "Gaussian in the centre",
    "colour_filter": "colours of the truth in other scenes",
}
"""The references, with what they are."""

BLIND = {"random_logit": 0.0, "mprt": 1.0}
"""Metrics whose value follows from never seeing the model: the map is equal for all classes and all weights."""

LEVELS = 8
"""Number of levels of each channel of a colour histogram."""

OTHERS = 64
"""Number of scenes from which a colour filter learns."""


class ColourFilter:
    """The log ratio of a colour's frequency in the truth of other scenes, and elsewhere in them.

    Frequencies are taken from scenes with the same target, or from all scenes where there is none. This is the best
    that the colours of single pixels allow. Where no truth is known, it is the distance to the picture's mean colour.

    Args:
        scenes: other scenes than those that are explained.
    """

    def __init__(self, scenes: Sequence[testbed.Scene]) -> None:
        self._ratios: dict[int | None, np.ndarray] = {}
        known = [each for each in scenes if each.truth is not None]
        for target in {None, *(each.target for each in known)}:
            chosen = [each for each in known if target in (None, each.target)]
            inside, outside = np.ones(LEVELS**3), np.ones(LEVELS**3)
            for each in chosen:
                colours = _levels(each.image)
                inside += np.bincount(colours[each.truth], minlength=LEVELS**3)
                outside += np.bincount(colours[~np.asarray(each.truth)], minlength=LEVELS**3)
            if chosen:
                self._ratios[target] = np.log(inside / inside.sum()) - np.log(outside / outside.sum())

    def __call__(self, scene: testbed.Scene) -> np.ndarray:
        """Return the map of a scene, (H, W)."""
        if self._ratios:
            values = self._ratios.get(scene.target, self._ratios[None])[_levels(scene.image)]
        else:
            values = np.linalg.norm(scene.image - scene.image.mean((0, 1)), axis=2)
        return np.asarray(ndimage.gaussian_filter(values, min(scene.image.shape[:2]) / 28))


def references_of(scene: testbed.Scene, colour_filter: ColourFilter, seed: int) -> dict[str, np.ndarray]:
    """Return the map of each reference, (H, W), by its name in :data:`REFERENCES`."""
    height, width = scene.image.shape[:2]
    grey = scene.image.mean(2)
    rows, columns = np.ogrid[:height, :width]
    distance = ((rows - (height - 1) / 2) / height) ** 2 + ((columns - (width - 1) / 2) / width) ** 2
    (random, *_) = random_maps((height, width), 1, seed + 4096)  # not those of the bands
    return {
        "random": random.values,
        "sobel": np.hypot(ndimage.sobel(grey, 0), ndimage.sobel(grey, 1)),
        "centre": np.exp(-distance * 8),
        "colour_filter": colour_filter(scene),
    }


def _levels(image: np.ndarray) -> np.ndarray:
    """Return the index of each pixel's colour in a histogram, int (H, W)."""
    levels = np.minimum((image * LEVELS).astype(int), LEVELS - 1)
    return np.asarray((levels[..., 0] * LEVELS + levels[..., 1]) * LEVELS + levels[..., 2])
