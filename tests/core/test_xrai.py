from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from skimage.segmentation import felzenszwalb, slic

import saliency
from saliency.core.method import Method
from tests.nets import picture, small_net, uneven

IMAGE = picture(40, 36)
GRID = np.arange(40)[:, None] // 10 * 4 + np.arange(36) // 9
QUARTERS = [label == GRID for label in range(16)]


@pytest.fixture(scope="module")
def net() -> torch.nn.Module:
    """In float64, so that ranks do not hang on rounding."""
    return small_net().double()


def xrai(net: Any, **options: Any) -> Any:
    """XRAI of class 1, from few steps."""
    fields: dict[str, Any] = {} if "base_attribution" in options else {"steps": 4}
    return saliency.explain(net, IMAGE, "xrai", 1, progress=False, **fields, **options)


@pytest.mark.agreement
@pytest.mark.parametrize(
    "base",
    [
        saliency.GradientSaliency(),
        saliency.BlurIG(steps=3),
        saliency.GuidedIG(steps=3, baseline=uneven(*IMAGE.shape)),
        saliency.GradCam(),
    ],
    ids=repr,
)
def test_regions_hold_the_mean_of_any_method(net: Any, base: Method) -> None:
    """With disjoint segments each has the mean of the base attribution's strongest channel."""
    attribution = saliency.explain(net, IMAGE, base, 1, progress=False).mask.astype(np.float64)
    flat = attribution.max(-1) if attribution.ndim == 3 else attribution
    mask = xrai(net, base_attribution=base, segments=QUARTERS).mask

    for quarter in QUARTERS:
        np.testing.assert_allclose(mask[quarter], flat[quarter].mean(), rtol=1e-5, atol=1e-8)


def test_segments_may_be_a_label_map_or_a_function(net: Any) -> None:
    """Masks, their label map and a function that gives either are the same segments."""
    expected = xrai(net, segments=QUARTERS)

    for segments in (GRID, lambda shown: GRID, lambda shown: QUARTERS, np.stack(QUARTERS)):
        np.testing.assert_array_equal(xrai(net, segments=segments).mask, expected.mask)


@pytest.mark.parametrize(
    "segmenter",
    [lambda shown: slic(shown, n_segments=9), lambda shown: felzenszwalb(shown, scale=30, min_size=60)],
    ids=["slic", "felzenszwalb"],
)
def test_any_segmenter_of_skimage_will_do(net: Any, segmenter: Any) -> None:
    """A segmenter is handed the picture (H, W, C) that the model is fed; its regions have one value each."""
    labels = segmenter(IMAGE.astype(np.float32) / 255)
    mask = xrai(net, segments=segmenter, min_pixel_diff=1).mask

    assert all(np.ptp(mask[labels == label]) == 0 for label in np.unique(labels))


def test_growing_stops_at_the_threshold(net: Any) -> None:
    """Once more than `area_threshold` of the picture is covered, the rest is one region."""
    table = xrai(net, segments=QUARTERS, area_threshold=0.3).regions.table

    assert len(table) == 6
    assert table[4].cumulative == pytest.approx(5 / 16)
    assert table[-1].area == pytest.approx(11 / 16)


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        (GRID * 0.5, "label map must contain integers, got float64"),
        (lambda shown: None, "label map \\(H, W\\) or a list of masks, got NoneType"),
        ([np.ones((3, 3), bool)], r"\(40, 36\), got one of shape \(3, 3\)"),
    ],
    ids=["fractions", "nothing", "shape"],
)
def test_invalid_segments_are_refused(net: Any, segments: Any, message: str) -> None:
    """Invalid segmentations are refused with what was expected."""
    with pytest.raises(saliency.BadShape, match=message):
        xrai(net, segments=segments)


def test_captions_of_segments_are_short() -> None:
    """The repr of a method with arrays in its fields stays a line."""
    assert repr(saliency.XRAI(segments=QUARTERS)) == ("XRAI(segments=[array(40, 36), array(40, 36), array(40, 36), …])")
    assert repr(saliency.XRAI(segments=slic)) == "XRAI(segments=slic)"


def test_default_steps_are_fifteen_of_gauss_legendre(net: Any) -> None:
    """By default the attribution has 15 Gauss-Legendre steps for each baseline; a given number is placed as in PAIR."""
    ends = ("black", "white")
    inner = saliency.IntegratedGradients(steps=15, baseline=ends, quadrature="gauss_legendre")
    found = saliency.explain(net, IMAGE, saliency.XRAI(segments=QUARTERS), 1, progress=False)
    expected = xrai(net, base_attribution=inner, segments=QUARTERS)
    assert found.images == 30
    np.testing.assert_array_equal(found.mask, expected.mask)

    given = xrai(net, base_attribution=saliency.IntegratedGradients(steps=4, baseline=ends), segments=QUARTERS)
    np.testing.assert_array_equal(xrai(net, segments=QUARTERS).mask, given.mask)


def test_get_mask_has_the_steps_of_pair(net: Any) -> None:
    """PAIR's interface evaluates 100 steps for each of two baselines, whatever the default of the field is."""
    seen = []

    def function(x_value_batch: Any, call_model_args: Any = None, expected_keys: Any = None) -> Any:
        seen.append(len(x_value_batch))
        return dict.fromkeys(expected_keys, np.ones_like(x_value_batch))

    saliency.XRAI().GetMask(IMAGE.astype(np.float32), function, segments=QUARTERS, batch_size=20)
    assert sum(seen) == 200


def test_the_first_partial_result_comes_after_the_first_batch(net: Any) -> None:
    """The first partial map is there after at most a sixth of the images, with a value in every segment."""
    partials: list[Any] = []
    saliency.explain(net, IMAGE, saliency.XRAI(segments=QUARTERS), 1, progress=False, partial=partials.append)

    assert partials[0].images <= 5
    assert all(partials[0].mask[quarter].any() for quarter in QUARTERS)
