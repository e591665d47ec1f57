"""PAIR's interface of XRAI."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.core.base import CoreSaliency
from saliency.core.called import CallModelFunction
from saliency.errors import BadField, BadShape
from saliency.pictures.regions import (
    RADIUS,
    SCALES,
    SIDE,
    SIGMA,
    SMALLEST,
    Grown,
    felzenszwalb_segments,
    grow_regions,
)

__all__ = [
    "_FELZENSZWALB_IM_RESIZE",
    "_FELZENSZWALB_IM_VALUE_RANGE",
    "_FELZENSZWALB_MIN_SEGMENT_SIZE",
    "_FELZENSZWALB_SCALE_VALUES",
    "_FELZENSZWALB_SIGMA_VALUES",
    "XRAIOutput",
    "XRAIParameters",
    "_attr_aggregation_max",
    "_gain_density",
    "_get_diff_cnt",
    "_get_diff_mask",
    "_get_segments_felzenszwalb",
    "_normalize_image",
    "_unpack_segs_to_masks",
]
"""PAIR's names in ``saliency.core.xrai``."""


class PairXRAI(CoreSaliency):
    """XRAI's `GetMask` and `GetMaskWithDetails`."""

    _integrated_gradients: Any

    def GetMask(
        self,
        x_value: Any,
        call_model_function: CallModelFunction,
        call_model_args: Any = None,
        baselines: Any = None,
        segments: Any = None,
        base_attribution: Any = None,
        batch_size: int = 1,
        extra_parameters: XRAIParameters | None = None,
    ) -> np.ndarray:
        """Return PAIR's XRAI: see :meth:`GetMaskWithDetails`.

        Returns:
            float64 (H, W).
        """
        details = self.GetMaskWithDetails(
            x_value,
            call_model_function,
            call_model_args,
            baselines=baselines,
            segments=segments,
            base_attribution=base_attribution,
            batch_size=batch_size,
            extra_parameters=extra_parameters,
        )
        return details.attribution_mask

    def GetMaskWithDetails(
        self,
        x_value: Any,
        call_model_function: CallModelFunction,
        call_model_args: Any = None,
        baselines: Any = None,
        segments: Any = None,
        base_attribution: Any = None,
        batch_size: int = 1,
        extra_parameters: XRAIParameters | None = None,
    ) -> XRAIOutput:
        """Return PAIR's XRAI with its intermediate results.

        Args:
            x_value: (H, W, C) or (H, W).
            call_model_function: see :class:`~saliency.core.base.CoreSaliency`; not called with `base_attribution`.
            call_model_args: passed on.
            baselines: list of arrays of the shape of `x_value`; by default its minimum and its maximum everywhere.
            segments: list of bool masks (H, W); Felzenszwalb's by default.
            base_attribution: used instead of Integrated Gradients, of the shape of `x_value`.
            batch_size: steps of a path per call.
            extra_parameters: see :class:`XRAIParameters`.

        Raises:
            ValueError: a shape does not fit, or the algorithm is unknown.
        """
        self._refuse_fields()
        parameters = XRAIParameters() if extra_parameters is None else extra_parameters
        if parameters.algorithm not in ("full", "fast"):
            raise BadField(f"Unknown algorithm type: {parameters.algorithm}")
        image = np.asarray(x_value)
        attributions: Any
        if base_attribution is not None:
            attribution = np.asarray(base_attribution)
            if attribution.shape != image.shape:
                raise BadShape(
                    "The base attribution shape should be the same as the shape of `x_value`. "
                    f"Expected {image.shape}, got {attribution.shape}"
                )
            attributions = base_attribution
        else:
            baselines = self._make_baselines(image, baselines)
            attributions = self._get_integrated_gradients(
                image, call_model_function, call_model_args, baselines, parameters.steps, batch_size
            )
            attribution = np.mean(attributions, axis=0)
        grown = grow_regions(
            strongest_channel(attribution),
            felzenszwalb_segments(image) if segments is None else segments,
            algorithm=parameters.algorithm,
            area_threshold=parameters.area_threshold,
            min_pixel_diff=parameters.experimental_params["min_pixel_diff"],
        )
        output = XRAIOutput(grown.mask)
        output.baselines = baselines if base_attribution is None else None
        if parameters.return_ig_attributions:
            output.ig_attribution = attributions
        if parameters.return_xrai_segments:
            masks = [mask for mask, _ in grown.regions]
            output.segments = _numbered(grown) if parameters.flatten_xrai_segments else masks
        return output

    def _get_integrated_gradients(
        self,
        im: Any,
        call_model_function: CallModelFunction,
        call_model_args: Any,
        baselines: Any,
        steps: int,
        batch_size: int,
    ) -> list[np.ndarray]:
        """Return Integrated Gradients from each of the baselines, by PAIR's name."""
        return [
            self._integrated_gradients.GetMask(
                im,
                call_model_function,
                call_model_args=call_model_args,
                x_baseline=baseline,
                x_steps=steps,
                batch_size=batch_size,
            )
            for baseline in baselines
        ]

    @staticmethod
    def _xrai(
        attr: Any,
        segs: Any,
        gain_fun: Any = None,
        area_perc_th: float = 1.0,
        min_pixel_diff: int = 50,
        integer_segments: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """Grow regions over an attribution (H, W), by PAIR's name: the mask, and the regions' ranks or masks."""
        return _ranked(attr, segs, gain_fun, "full", area_perc_th, min_pixel_diff, integer_segments)

    @staticmethod
    def _xrai_fast(
        attr: Any,
        segs: Any,
        gain_fun: Any = None,
        area_perc_th: float = 1.0,
        min_pixel_diff: int = 50,
        integer_segments: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """Rank whole segments once, by PAIR's name; otherwise as :meth:`_xrai`."""
        return _ranked(attr, segs, gain_fun, "fast", area_perc_th, min_pixel_diff, integer_segments)

    def _predict(self, x: Any) -> np.ndarray:
        """Raise NotImplementedError, like PAIR's method, which has no implementation."""
        raise NotImplementedError("XRAI predicts nothing: PAIR's _predict has no implementation either.")

    @staticmethod
    def _make_baselines(image: np.ndarray, baselines: Any) -> Any:
        if baselines is None:
            return [np.min(image) * np.ones_like(image), np.max(image) * np.ones_like(image)]
        for baseline in baselines:
            if baseline.shape != image.shape:
                raise BadShape(f"Baseline size {baseline.shape} does not match input size {image.shape}")
        return baselines


class XRAIParameters:
    """PAIR's extra parameters of XRAI.

    Args:
        steps: number of steps of each path of Integrated Gradients.
        area_threshold: share of the image at which the search for regions stops ("full" only).
        return_baseline_predictions: accepted and ignored, as in PAIR.
        return_ig_attributions: whether the output contains the attributions.
        return_xrai_segments: whether the output contains the regions.
        flatten_xrai_segments: whether regions are one integer map, 1 = most important; otherwise a list of masks.
        algorithm: "full" or "fast".
    """

    def __init__(
        self,
        steps: int = 100,
        area_threshold: float = 1.0,
        return_baseline_predictions: bool = False,
        return_ig_attributions: bool = False,
        return_xrai_segments: bool = False,
        flatten_xrai_segments: bool = True,
        algorithm: str = "full",
    ) -> None:
        self.steps = steps
        self.area_threshold = area_threshold
        self.return_ig_attributions = return_ig_attributions
        self.return_xrai_segments = return_xrai_segments
        self.flatten_xrai_segments = flatten_xrai_segments
        self.algorithm: Any = algorithm
        self.experimental_params = {"min_pixel_diff": 50}


class XRAIOutput:
    """The result of :meth:`XRAI.GetMaskWithDetails`: the mask (H, W), and the requested intermediate results."""

    def __init__(self, attribution_mask: np.ndarray) -> None:
        self.attribution_mask = attribution_mask
        self.baselines: Any = None
        self.ig_attribution: Any = None
        self.segments: Any = None


def strongest_channel(attribution: np.ndarray) -> np.ndarray:
    """Return the strongest channel of each pixel: (H, W, C) -> (H, W)."""
    return attribution.max(-1) if attribution.ndim > 2 else attribution


def _numbered(grown: Grown) -> np.ndarray:
    """Return the index of each pixel's region, int64 (H, W), from 1, the most important."""
    return grown.ranks.astype(np.int64) + 1


# PAIR's private names, which public code imports.

_FELZENSZWALB_SCALE_VALUES = list(SCALES)
_FELZENSZWALB_SIGMA_VALUES = [SIGMA]
_FELZENSZWALB_IM_RESIZE = (SIDE, SIDE)
_FELZENSZWALB_IM_VALUE_RANGE = [-1.0, 1.0]
_FELZENSZWALB_MIN_SEGMENT_SIZE = SMALLEST


def _ranked(
    attr: Any, segs: Any, gain_fun: Any, algorithm: Any, area: float, min_pixel_diff: int, integer_segments: bool
) -> tuple[np.ndarray, Any]:
    """Return PAIR's (mask, regions) of an attribution (H, W)."""
    if gain_fun not in (None, _gain_density):
        raise BadField("XRAI's gain is the mean attribution of the new pixels; another gain_fun is not supported.")
    grown = grow_regions(attr, segs, algorithm=algorithm, area_threshold=area, min_pixel_diff=min_pixel_diff)
    return grown.mask, _numbered(grown) if integer_segments else [mask for mask, _ in grown.regions]


def _normalize_image(im: Any, value_range: Any, resize_shape: Any = None) -> np.ndarray:
    """Return the image scaled from its own range to `value_range`, and resized to (h, w) if that is given."""
    image = np.asarray(im)
    low, high = value_range
    scaled = (image - image.min()) / (image.max() - image.min()) * (high - low) + low
    if resize_shape is None:
        return np.asarray(scaled)
    from skimage.transform import resize

    options: dict[str, Any] = {"order": 3, "mode": "constant", "preserve_range": True, "anti_aliasing": True}
    resized: np.ndarray = resize(scaled, resize_shape, **options)
    return resized


def _get_segments_felzenszwalb(
    im: Any, resize_image: bool = True, scale_range: Any = None, dilation_rad: int = RADIUS
) -> list[np.ndarray]:
    """Return PAIR's default segments of an image (H, W, C); see `felzenszwalb_segments`."""
    if not resize_image or dilation_rad != RADIUS or (scale_range is not None and list(scale_range) != [-1.0, 1.0]):
        raise BadField(
            "Only PAIR's default segmentation is supported: resize_image=True, scale_range=None, dilation_rad=5. "
            "Otherwise pass your own segments, for example from skimage.segmentation.felzenszwalb."
        )
    return felzenszwalb_segments(im)


def _attr_aggregation_max(attr: Any, axis: int = -1) -> np.ndarray:
    """Return the largest attribution along an axis."""
    return np.asarray(np.max(attr, axis=axis))


def _get_diff_mask(add_mask: Any, base_mask: Any) -> np.ndarray:
    """Return which pixels of one bool mask are not in the other."""
    return np.logical_and(add_mask, np.logical_not(base_mask))


def _get_diff_cnt(add_mask: Any, base_mask: Any) -> int:
    """Return how many pixels of one bool mask are not in the other."""
    return int(np.count_nonzero(_get_diff_mask(add_mask, base_mask)))


def _gain_density(mask1: Any, attr: Any, mask2: Any = None) -> float:
    """Return the mean attribution of the pixels of one mask that are not in the other; -inf if there are none."""
    new = np.asarray(mask1, bool) if mask2 is None else _get_diff_mask(mask1, mask2)
    return float(np.asarray(attr)[new].mean()) if new.any() else -np.inf


def _unpack_segs_to_masks(segs: Any) -> list[np.ndarray]:
    """Return a bool mask for each label of each label map, from the map's smallest to its largest."""
    return [seg == label for seg in map(np.asarray, segs) for label in range(int(seg.min()), int(seg.max()) + 1)]
