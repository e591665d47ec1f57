"""Performance Information Curves: how fast the model recognizes an image as its most salient pixels are revealed.

The image is blurred except for the most salient pixels. As more of them are revealed, both the information in the
picture and the model's score rise. The area under the curve of score against information is the mask's quality
(arXiv:1906.02825, section 4.1.2). With a softmax as the score it is the SIC, with 0 or 1 for the right class the AIC.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from saliency.errors import BadField, BadImage, BadShape
from saliency.threads import in_threads

__all__ = [
    "AggregateMetricResult",
    "ComputePicMetricError",
    "PicMetricResult",
    "aggregate_individual_pic_results",
    "compute_pic_metric",
    "create_blurred_image",
    "estimate_image_entropy",
    "generate_random_mask",
]


class ComputePicMetricError(Exception):
    """The curve of this image is meaningless: leave the image out."""


class PicMetricResult(NamedTuple):
    """The curve of one image."""

    curve_x: np.ndarray
    """Share of the image's information, (num_data_points + 1,) from 0 to 1."""
    curve_y: np.ndarray
    """Share of the image's score at that point, in [0, 1]."""
    blurred_images: list[np.ndarray]
    """The model's inputs, the completely blurred image first, the image itself last."""
    predictions: list[float]
    """The model's scores of these."""
    thresholds: list[float]
    """The share of the pixels that each of them reveals."""
    auc: float
    """The area under the curve."""


class AggregateMetricResult(NamedTuple):
    """The curve of many images."""

    curve_x: np.ndarray
    curve_y: np.ndarray
    auc: float


def compute_pic_metric(
    img: np.ndarray,
    saliency_map: np.ndarray,
    random_mask: np.ndarray,
    pred_func: Callable[[np.ndarray], Sequence[float]],
    saliency_thresholds: Sequence[float],
    min_pred_value: float = 0.8,
    keep_monotonous: bool = True,
    num_data_points: int = 1000,
) -> PicMetricResult:
    """Return the Performance Information Curve of one image and one mask.

    Args:
        img: uint8 (H, W, C) or (H, W).
        saliency_map: (H, W), larger where more salient.
        random_mask: bool (H, W), pixels that are visible from the beginning: see :func:`generate_random_mask`.
        pred_func: from images (1, H, W, C) to the score of each; called once per threshold, and twice more.
        saliency_thresholds: the shares of the pixels to reveal, each in (0, 1).
        min_pred_value: the minimal score of the image itself.
        keep_monotonous: whether to make the curve non-decreasing.
        num_data_points: number of points of the curve.

    Raises:
        ValueError: the image is not uint8, or the shapes do not fit.
        ComputePicMetricError: the image's score is too low, or blur reduces neither information nor score.
    """
    _refuse_arrays(img, saliency_map=saliency_map, random_mask=random_mask)

    def predict(image: np.ndarray) -> float:
        return pred_func(image[np.newaxis])[0]

    def reveal(threshold: float) -> tuple[np.ndarray, float]:
        salient = saliency_map >= np.quantile(saliency_map, 1 - threshold)
        image = create_blurred_image(img, salient | random_mask)
        return image, estimate_image_entropy(image)

    blurred = create_blurred_image(img, random_mask)
    most, least = in_threads(estimate_image_entropy, (img, blurred))
    best = predict(img)
    _refuse_unsure(best, min_pred_value)
    worst = predict(blurred)
    _refuse_blur(least, most, worst, best)

    shown, predictions, shares, scores = [blurred], [worst], [], []
    for image, entropy in in_threads(reveal, saliency_thresholds):
        shown.append(image)
        predictions.append(predict(image))
        shares.append(np.clip((entropy - least) / (most - least), 0, 1))
        scores.append(np.clip((predictions[-1] - worst) / (best - worst), 0, 1))
    heights: Any = np.maximum.accumulate(scores) if keep_monotonous and scores else scores
    curve_x, curve_y = curve(shares, heights, num_data_points)
    return PicMetricResult(
        curve_x,
        curve_y,
        [*shown, img],
        [*predictions, best],
        [0.0, *saliency_thresholds, 1.0],
        area(curve_x, curve_y),
    )


def aggregate_individual_pic_results(
    compute_pic_metrics_results: list[PicMetricResult], method: str = "median"
) -> AggregateMetricResult:
    """Return the curve of many images.

    Args:
        compute_pic_metrics_results: the images' results, all with the same data points.
        method: "median" or "mean" of the curves.

    Raises:
        ValueError: the list is empty, the data points differ, or there is no such method.
    """
    results = compute_pic_metrics_results
    if not results:
        raise BadField("The list of results should have at least one element.")
    curve_x = results[0].curve_x
    if not all(np.array_equal(each.curve_x, curve_x) for each in results):
        raise BadShape("Individual results have different x-axis data points.")
    reduce: dict[str, Callable[..., Any]] = {"median": np.median, "mean": np.mean}
    if method not in reduce:
        raise BadField(f"Unknown method {method}.")
    curve_y = reduce[method]([each.curve_y for each in results], axis=0)
    return AggregateMetricResult(curve_x, curve_y, area(curve_x, curve_y))


def create_blurred_image(full_img: np.ndarray, pixel_mask: np.ndarray, method: str = "linear") -> np.ndarray:
    """Return the image rebuilt from some of its pixels by interpolation.

    Args:
        full_img: (H, W, C) or (H, W).
        pixel_mask: (H, W), true where the pixel is known. The four corners are always known.
        method: "linear", "nearest" or "cubic".

    Returns:
        an array of the shape and dtype of `full_img`.
    """
    known = np.array(pixel_mask, dtype=bool)
    known[[0, 0, -1, -1], [0, -1, 0, -1]] = True
    if known.all():
        return full_img
    channels = full_img.reshape(*known.shape, -1)
    found = _interpolated(channels, known) if method == "linear" else _by_scipy(channels, known, method)
    # pixels outside of all triangles, as in a picture of one row, get the mean
    found = np.where(np.isnan(found), channels.mean((0, 1)), found)
    rebuilt = np.round(found) if np.issubdtype(full_img.dtype, np.integer) else found
    return np.where(known[..., None], channels, rebuilt).astype(full_img.dtype).reshape(full_img.shape)


def _by_scipy(channels: np.ndarray, known: np.ndarray, method: str) -> np.ndarray:
    from scipy.interpolate import griddata

    found = np.full(channels.shape, np.nan)
    found[~known] = griddata(np.argwhere(known), channels[known], np.argwhere(~known), method=method)
    return found


def _interpolated(channels: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Interpolate linearly over the Delaunay triangles of the known pixels: (H, W, C) float64, NaN outside of them.

    The pixels of each triangle are found row by row, in integer arithmetic. Sums over an integer image are therefore
    exact, independent of SciPy's rounding. All channels share the triangles.
    """
    from scipy.spatial import Delaunay, QhullError

    found = np.full(channels.shape, np.nan)
    try:
        corners = Delaunay(np.argwhere(known)).simplices
    except QhullError:
        return found  # all pixels are on one line
    places = np.argwhere(known)[corners]
    # along * column + down * row + offset is twice the area of pixel and side: 0 on the side opposite to the corner
    begin, end = np.roll(places, -1, 1), np.roll(places, 1, 1)
    along, down = end[..., 0] - begin[..., 0], begin[..., 1] - end[..., 1]
    offset = -along * begin[..., 1] - down * begin[..., 0]
    area = (along * places[..., 1] + down * places[..., 0] + offset)[:, 0]
    sides = np.stack([along, down, offset])[:, area != 0] * np.sign(area[area != 0])[:, None]
    along, down, offset = sides
    places, corners, area = places[area != 0], corners[area != 0], np.abs(area[area != 0])

    top = places[..., 0].min(1)
    triangle, step = _spread(places[..., 0].max(1) - top + 1)
    row = top[triangle] + step
    level, slope = down[triangle] * row[:, None] + offset[triangle], along[triangle]
    # within the triangle all three are positive; each side bounds the columns from the left or from the right
    edge = level // np.where(slope == 0, 1, np.abs(slope))
    left = np.where(slope > 0, -edge, 0).max(1)
    right = np.where(slope < 0, edge, known.shape[1] - 1).min(1)
    line, step = _spread(np.maximum(right - left + 1, 0))
    column = left[line] + step

    weights = level[line] + slope[line] * column[:, None]
    values = channels[known].astype(np.int64 if np.issubdtype(channels.dtype, np.integer) else np.float64)
    sums = (weights[..., None] * values[corners[triangle[line]]]).sum(1)
    found[row[line], column] = sums / area[triangle[line], None]
    return found


def _spread(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Repeat each index by its count, and number the repetitions: [2, 1] -> [0, 0, 1] and [0, 1, 0]."""
    ends = np.cumsum(counts)
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) - (ends - counts)[which]


def generate_random_mask(image_height: int, image_width: int, fraction: float = 0.01) -> np.ndarray:
    """Return a bool mask (H, W), true at a random share of its pixels. Draws from the global ``numpy.random``."""
    size = image_height * image_width
    mask = np.zeros(size, bool)
    mask[np.random.choice(size, int(size * fraction), replace=False)] = True  # noqa: NPY002  # as PAIR
    return mask.reshape(image_height, image_width)


def estimate_image_entropy(image: np.ndarray) -> float:
    """Estimate the information in an image: the size in bytes of its lossless WebP file. Depends on libwebp's version.

    Args:
        image: uint8 (H, W, 3) or (H, W).
    """
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="webp", lossless=True, quality=100)
    return file.getbuffer().nbytes


def _refuse_arrays(img: np.ndarray, **masks: np.ndarray) -> None:
    if img.dtype != np.uint8:
        raise BadImage(
            f"The `img` array that holds the input image should be of type uint8. The actual type is {img.dtype}."
        )
    for name, array in masks.items():
        if np.shape(array) != img.shape[:2]:
            raise BadShape(f"{name} must have the image's shape {img.shape[:2]}, got {np.shape(array)}.")


def _refuse_unsure(best: float, least: float) -> None:
    if best < least:
        raise ComputePicMetricError(
            "The model prediction score on the original image is lower than `min_pred_value`. Skip this image or "
            "decrease the value of `min_pred_value` argument. "
            f"min_pred_value = {least}, the image prediction = {best}."
        )


def _refuse_blur(least: float, most: float, worst: float, best: float) -> None:
    advice = "Catch the error and exclude this image from {}evaluation."
    if least >= most:
        raise ComputePicMetricError(
            "The entropy in the completely blurred image is not lower than the entropy in the original image. "
            f"{advice.format('')} Blurred entropy: {least}, original entropy {most}"
        )
    if worst >= best:
        raise ComputePicMetricError(
            "The model prediction score on the completely blurred image is not lower than the score on the original "
            f"image. {advice.format('the ')} Blurred score: {worst}, original score {best}"
        )


def curve(shares: ArrayLike, scores: ArrayLike, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate the points linearly from (0, 0) to (1, 1), at `count` + 1 equidistant positions."""
    # the sort is stable, so that of equal shares the earlier point stays first: the end points were appended last
    order = np.argsort([*np.asarray(shares), 0.0, 1.0], kind="stable")
    at, height = np.array([*np.asarray(shares), 0.0, 1.0])[order], np.array([*np.asarray(scores), 0.0, 1.0])[order]
    curve_x = np.linspace(0, 1, count, endpoint=False)
    return np.append(curve_x, 1.0), np.append(np.interp(curve_x, at, height), 1.0)


def area(curve_x: np.ndarray, curve_y: np.ndarray) -> float:
    """Return the area by the trapezoidal rule; NumPy 1.26 and 2.4 have no common name for it."""
    return (np.diff(curve_x) * (curve_y[1:] + curve_y[:-1]) / 2.0).sum()
