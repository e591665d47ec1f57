"""Wired networks: gradients and scores equal their closed forms."""

from __future__ import annotations

import numpy as np
import pytest

import saliency
from saliency.testbed.wired import PLACES, WiredBed, checkerboard, wired_beds


def closed_form(bed: WiredBed, image: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the first logit and its gradient (H, W) with respect to one channel, derived by hand."""
    pattern = checkerboard() if bed.texture else np.ones(image.shape[:2])
    grey = image.mean(2).astype(np.float64)
    shown = pattern * (grey - 0.5) + 0.5 if bed.texture else grey
    s = np.array([1 / (1 + np.exp(-20 * (shown[PLACES[name]].mean() - 0.68))) for name in bed.read])
    kind = bed.id.split("_")[1]
    if kind == "or":
        value, slopes = s[0] + s[1] - s[0] * s[1], [1 - s[1], 1 - s[0]]
    elif kind == "xor":
        value, slopes = s[0] * (1 - s[1]) + s[1] * (1 - s[0]), [1 - 2 * s[1], 1 - 2 * s[0]]
    elif kind == "and":
        value, slopes = s[0] * s[1], [s[1], s[0]]
    else:
        value, slopes = s[0], [1.0]
    gradient = np.zeros(image.shape[:2])
    for name, each, slope in zip(bed.read, s, slopes, strict=True):
        place = PLACES[name]
        size = gradient[place].size
        gradient[place] = 8 * slope * 20 * each * (1 - each) * pattern[place] / (3 * size)
    return 8 * value - 3, gradient


@pytest.mark.parametrize("bed", wired_beds(), ids=lambda bed: bed.id)
def test_scores_and_gradients_are_closed_forms(bed: WiredBed) -> None:
    """The gradient method returns the derivative derived by hand, and exact zeros elsewhere."""
    (scene,) = bed.scenes(1)
    # a dim picture, where no sigmoid is saturated
    image = scene.image * 0.8 + 0.05 if not bed.texture else 0.5 + (scene.image - 0.5) * 0.5
    score, gradient = closed_form(bed, image)
    exp = saliency.explain(bed.model, image, saliency.GradientSaliency(), 0, progress=False)

    assert exp.score == pytest.approx(score, rel=1e-4)
    np.testing.assert_allclose(
        exp.mask.mean(2) if exp.mask.ndim == 3 else exp.mask, gradient, atol=1e-4 * np.abs(gradient).max()
    )
    assert not exp.mask[~bed.truth].any()


def test_removal_renders_the_noise_that_was_there() -> None:
    """A scene without a place shows the noise of a scene that never had it; other pixels are unchanged."""
    bed = next(each for each in wired_beds() if each.id == "wired_distractor_texture")
    (scene,) = bed.scenes(1)
    without = scene.without(["decoy"])
    changed = (without != scene.image).any(2)

    assert not changed[~scene.parts["decoy"]].any()
    assert without[scene.parts["decoy"]].std() < 0.08
    assert abs(without[scene.parts["decoy"]].mean() - 0.45) < 0.02
