"""PAIR's private helpers, which public code imports, are there and give PAIR's values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from saliency import BadField
from saliency.core import guided_ig, xrai

ATTRIBUTION = np.array([[4.0, 2.0, 0.0], [6.0, -1.0, 0.0]])
LEFT = np.array([[1, 0, 0], [1, 0, 0]], bool)
MIDDLE = np.array([[1, 1, 0], [1, 1, 0]], bool)


def cosines(x: Any, call_model_args: Any = None, expected_keys: Any = None) -> dict[str, Any]:
    """A model whose gradient is the cosine of the image."""
    return {"INPUT_OUTPUT_GRADIENTS": np.cos(x)}


def test_the_constants_are_pairs() -> None:
    """Scales, blur, size and range of the default segmentation."""
    assert xrai._FELZENSZWALB_SCALE_VALUES == [50, 100, 150, 250, 500, 1200]
    assert xrai._FELZENSZWALB_SIGMA_VALUES == [0.8]
    assert xrai._FELZENSZWALB_IM_RESIZE == (224, 224)
    assert xrai._FELZENSZWALB_IM_VALUE_RANGE == [-1.0, 1.0]
    assert xrai._FELZENSZWALB_MIN_SEGMENT_SIZE == 150


def test_gains_and_differences_by_hand() -> None:
    """The gain is the mean attribution over the new pixels, -inf where there are none."""
    np.testing.assert_array_equal(xrai._get_diff_mask(MIDDLE, LEFT), [[0, 1, 0], [0, 1, 0]])
    assert xrai._get_diff_cnt(MIDDLE, LEFT) == 2
    assert xrai._gain_density(LEFT, ATTRIBUTION) == 5.0
    assert xrai._gain_density(MIDDLE, ATTRIBUTION, LEFT) == 0.5
    assert xrai._gain_density(LEFT, ATTRIBUTION, MIDDLE) == -np.inf


def test_images_and_label_maps_by_hand() -> None:
    """A range is mapped end to end; the strongest channel counts; a map has a mask for each label of its range."""
    np.testing.assert_allclose(xrai._normalize_image(np.array([[0.0, 1.0, 4.0]]), [-1.0, 1.0]), [[-1.0, -0.5, 1.0]])
    assert xrai._normalize_image(np.random.default_rng(0).normal(size=(9, 8, 3)), [0, 255], (4, 5)).shape == (4, 5, 3)
    np.testing.assert_array_equal(xrai._attr_aggregation_max(np.array([[1, 3, 2], [-1, -2, -3]])), [3, -1])
    masks = xrai._unpack_segs_to_masks([np.array([[1, 3]]), np.array([[0, 1]])])
    np.testing.assert_array_equal(masks, [[[1, 0]], [[0, 0]], [[0, 1]], [[1, 0]], [[0, 1]]])


@pytest.mark.parametrize("grow", [xrai.XRAI._xrai, xrai.XRAI._xrai_fast])
def test_regions_are_grown_by_pairs_names(grow: Any) -> None:
    """The left column holds the most, then the middle; the rest is one region, as ranks or as masks."""
    mask, ranks = grow(ATTRIBUTION, [MIDDLE, LEFT], min_pixel_diff=1)
    _, masks = grow(ATTRIBUTION, [MIDDLE, LEFT], gain_fun=xrai._gain_density, min_pixel_diff=1, integer_segments=False)

    np.testing.assert_allclose(mask, [[5, 0.5, 0], [5, 0.5, 0]])
    np.testing.assert_array_equal(ranks, [[1, 2, 3], [1, 2, 3]])
    np.testing.assert_array_equal(masks, [ranks == place for place in (1, 2, 3)])
    with pytest.raises(BadField, match="another gain_fun"):
        grow(ATTRIBUTION, [LEFT], gain_fun=max)


def test_segments_are_the_default_ones() -> None:
    """`_get_segments_felzenszwalb` gives bool masks of the image's size, and refuses other settings."""
    image = np.random.default_rng(0).normal(size=(20, 24, 3))
    masks = xrai._get_segments_felzenszwalb(image)

    assert {(each.shape, each.dtype.kind) for each in masks} == {((20, 24), "b")}
    assert np.any(masks, axis=0).all()
    with pytest.raises(BadField, match="pass your own segments"):
        xrai._get_segments_felzenszwalb(image, dilation_rad=3)


def test_the_parts_of_xrai_and_guided_ig() -> None:
    """Baselines are the image's extremes, attributions Integrated Gradients of each, and nothing is predicted."""
    image, method = np.linspace(0, 1, 12).reshape(2, 2, 3), xrai.XRAI()
    baselines = method._make_baselines(image, None)
    found = method._get_integrated_gradients(image, cosines, None, baselines, 400, 20)
    gradient = guided_ig.GuidedIG()._get_grad_func(cosines, None)

    np.testing.assert_array_equal(baselines, [np.zeros_like(image), np.ones_like(image)])
    np.testing.assert_allclose(found, [np.sin(image), np.sin(image) - np.sin(1)], atol=2e-3)
    np.testing.assert_allclose(gradient(image), np.cos(image))
    with pytest.raises(NotImplementedError):
        method._predict(image)


def test_an_override_of_a_part_is_used() -> None:
    """A subclass that brings attributions of its own decides the mask, as in PAIR's."""

    class Own(xrai.XRAI):
        def _get_integrated_gradients(self, im: Any, *_: Any) -> list[np.ndarray]:
            return [np.repeat(ATTRIBUTION[..., None], 3, 2)]

    parameters = xrai.XRAIParameters()
    parameters.experimental_params["min_pixel_diff"] = 1
    mask = Own().GetMask(np.zeros((2, 3, 3)), cosines, segments=[LEFT], extra_parameters=parameters)

    np.testing.assert_allclose(mask, [[5, 0.25, 0.25], [5, 0.25, 0.25]])
