"""Maps of known quality."""

from __future__ import annotations

import numpy as np

from saliency.testbed.maps import degraded, graded_maps
from saliency.testbed.wired import wired_beds


def test_maps_have_the_quality_that_they_claim() -> None:
    """The correlation with the truth falls with the quality: 1 near 1, 0.5 near 0.5, 0 at most 0, -1 near -1."""
    for bed in wired_beds():
        (scene,) = bed.scenes(1)
        assert scene.truth is not None
        for quality, found in graded_maps(scene):
            correlation = float(np.corrcoef(found.ravel(), scene.truth.ravel())[0, 1])
            assert abs(correlation - quality) < 0.35


def test_degraded_masks_keep_their_values() -> None:
    """A swapped mask has the same values; a share of 0 changes nothing."""
    mask = np.arange(100.0).reshape(10, 10)

    np.testing.assert_array_equal(np.sort(degraded(mask, 0.5, 0), axis=None), mask.ravel())
    np.testing.assert_array_equal(degraded(mask, 0.0, 0), mask)
    assert 0.3 < (degraded(mask, 0.5, 0) != mask).mean() <= 0.5
