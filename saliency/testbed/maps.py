"""Maps of known quality, to test metrics and verdicts with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency.testbed.scene import Scene


def degraded(mask: NDArray[Any], share: float, seed: int) -> NDArray[Any]:
    """Return a mask with a share of its pixels swapped at random."""
    random, values = np.random.default_rng([seed, 1]), mask.copy().ravel()
    places = random.permutation(values.size)[: round(share * values.size)]
    values[places] = values[random.permutation(places)]
    return values.reshape(mask.shape)


def graded_maps(scene: Scene, seed: int = 0) -> Iterator[tuple[float, NDArray[np.float64]]]:
    """Yield (quality, map) of a scene with a truth, best first.

    They are the truth, the truth with half of its pixels swapped, three maps without any truth (noise, the truth in
    the wrong place, and the edges of the picture outside of it), and the negative of the truth.
    """
    from scipy import ndimage

    assert scene.truth is not None
    random, shape = np.random.default_rng([seed, 2]), scene.truth.shape

    def noise() -> NDArray[np.float64]:
        return random.normal(0, 0.05, shape)

    truth = scene.truth + noise()
    moved = np.roll(scene.truth, (shape[0] // 2, shape[1] // 2), (0, 1)) & ~scene.truth
    yield 1.0, truth
    yield 0.5, degraded(truth, 0.5, seed)
    yield 0.0, random.normal(size=shape)
    yield 0.0, moved + noise()
    yield 0.0, np.hypot(*(ndimage.sobel(scene.image.mean(2), axis) for axis in (0, 1))) * ~scene.truth
    yield -1.0, -truth
