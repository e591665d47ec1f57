"""Random maps are evaluated once for all maps of one image and target."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import saliency
from tests.nets import LABELS, picture, small_net


def check(
    explanation: saliency.Explanation | np.ndarray, image: np.ndarray | None = None, **options: Any
) -> saliency.Verdict:
    """Check an explanation of the small network."""
    image = picture() if image is None else image
    return saliency.check(small_net(), image, explanation, labels=LABELS, rerun=0, progress=False, **options)


def explain(method: str, target: int = 1) -> saliency.Explanation:
    """Explain the small network."""
    return saliency.explain(small_net(), picture(), method, target, labels=LABELS, progress=False)


def test_bands_of_another_verdict_change_no_number() -> None:
    """With the bands of another map a verdict is the same, and evaluates no random map; the cost is as announced."""
    first, other = explain("gradient"), explain("occlusion")
    given = check(other)
    alone, shared = check(first), check(first, bands=given)

    assert shared.images_of_bands == 0
    assert alone.images_of_bands == given.images_of_bands > 0
    assert repr(shared).splitlines()[:3] == repr(alone).splitlines()[:3]
    assert shared.strength == pytest.approx(alone.strength)
    cost = saliency.check_cost(first, rerun=0)
    assert alone.images <= cost.map  # on a small image the two SRGs share images
    assert (alone.images_of_bands, alone.images_of_reruns) == cost[1:]
    assert saliency.check_cost(first).reruns == 5 * first.images
    assert saliency.check_cost(first, rerun=4).reruns == 0


def test_bands_of_another_target_or_image_are_refused() -> None:
    """The random maps of another class or another image give another band: they are refused."""
    given = check(explain("gradient", 0))
    with pytest.raises(saliency.BadArgument, match="same model, image and target"):
        check(explain("gradient"), bands=given)
    same_class = check(explain("gradient").mask, picture()[::-1].copy(), target=1)
    with pytest.raises(saliency.BadArgument, match="another value"):
        check(explain("gradient"), bands=same_class)
