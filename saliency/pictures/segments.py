"""Segments (superpixels) of a picture: sets of pixels that are kept or removed together.

Segments come from a named segmentation, a function, or the user. XRAI accepts overlapping segments; perturbation
methods need a label map, with each pixel in at most one segment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from saliency import checks
from saliency.errors import BadImage, BadShape, SaliencyError, unknown

SEGMENTERS = ("slic", "felzenszwalb", "quickshift", "grid")
"""Named segmentations; all except the grid are from scikit-image."""

Segmenter = Callable[[np.ndarray], Any]
"""A function from a picture (H, W, C) to a label map (H, W) or masks, as those in skimage.segmentation."""

Segments = str | Segmenter | np.ndarray | Sequence[Any]
"""A name, a function, a label map (H, W), or bool masks (H, W)."""


def split(picture: np.ndarray, segments: Segments, count: int) -> Any:
    """Segment a picture.

    Args:
        picture: (H, W, C), any range, the model's input.
        segments: see :data:`Segments`.
        count: number of segments of a named segmentation: exact if the picture has enough pixels, approximate for the
            grid.

    Returns:
        a label map (H, W), or masks (H, W).
    """
    if not isinstance(segments, str):
        if callable(segments):
            segmenter = checks.function(segments, "segments", ("picture",))
            try:
                return segmenter(picture)
            except SaliencyError:
                raise
            except Exception as error:
                raise BadShape(f"segments fails on the picture: {type(error).__name__}: {error}") from error
        return segments
    if picture.ndim != 3:
        raise BadImage(f"Segmenting needs an image (H, W, C), got {picture.shape}. Pass your own segments instead.")
    height, width, channels = picture.shape
    if segments == "grid":
        rows, columns = grid(count, height, width)
        return (np.arange(height) * rows // height)[:, None] * columns + np.arange(width) * columns // width
    count = min(count, height * width)
    values = np.asarray(picture, np.float64)
    values = (values - values.min()) / (np.ptp(values) or 1.0)
    if channels not in (1, 3):
        # no channel axis: scikit-image would take the channels for the planes of a volume
        values = values.mean(2, keepdims=True)
    return exactly(_named(segments, values, count), values, count)


def _plane(segments: Any) -> Any:
    """Return a feature mask in Captum's layout as (H, W); other values unchanged.

    Args:
        segments: (1, C, H, W) or (1, H, W, C) with equal channels is such a mask.

    Raises:
        BadShape: its channels differ.
    """
    if len(getattr(segments, "shape", ())) != 4 or segments.shape[0] != 1:
        return segments
    planes = np.asarray(segments)[0]
    planes = planes if planes.shape[0] <= planes.shape[2] else np.moveaxis(planes, 2, 0)
    if (planes != planes[:1]).any():
        raise BadShape(
            f"A segment includes all channels of its pixels, but the {len(planes)} channels of this mask differ. "
            "Pass one label map (H, W)."
        )
    return planes[0]


def _named(name: str, picture: np.ndarray, count: int) -> np.ndarray:
    """Return scikit-image's label map of a picture in [0, 1], grey or RGB, with about `count` labels or more."""
    from skimage import segmentation

    colour = picture.shape[2] == 3
    match name:
        case "slic":
            # scale grey values to the range of CIELAB's lightness, so that compactness has the same effect
            scaled = picture if colour else 100 * picture
            return np.asarray(segmentation.slic(scaled, n_segments=count + count // 6, start_label=0))
        case "felzenszwalb":
            smallest = max(2, picture.shape[0] * picture.shape[1] // (8 * count))
            for scale in (100.0, 30.0, 10.0, 3.0, 1.0):
                labels = np.asarray(segmentation.felzenszwalb(picture, scale=scale, sigma=0.5, min_size=smallest))
                if labels.max() + 1 >= count:
                    break
            return labels
        case "quickshift":
            reach = max(2.0, (picture.shape[0] * picture.shape[1] / count) ** 0.5 / 2)
            return np.asarray(
                segmentation.quickshift(picture, kernel_size=3, max_dist=reach, ratio=0.5, convert2lab=colour)
            )
    raise unknown("segmentation called", name, SEGMENTERS)


def grid(count: int, height: int, width: int) -> tuple[int, int]:
    """Return rows and columns of a grid of about `count` nearly square cells."""
    rows = min(height, max(1, round((count * height / width) ** 0.5)))
    return rows, min(width, max(1, round(count / rows)))


def masks_of(segments: Any) -> Sequence[Any]:
    """Return segments as masks: a label map (H, W) of integers gives one mask per label."""
    segments = _plane(segments)
    if isinstance(segments, np.ndarray) and segments.ndim == 2:
        if segments.dtype.kind not in "iub":
            raise BadShape(f"A label map must contain integers, got {segments.dtype}.")
        return [segments == label for label in np.unique(segments)]
    if not isinstance(segments, list | tuple | np.ndarray) or getattr(segments, "ndim", 1) == 0:
        raise BadShape(f"Segments must be a label map (H, W) or a list of masks, got {type(segments).__name__}.")
    return list(segments)


def labelled(segments: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return segments as one label map: the segment of each pixel, 0 to d - 1, or -1 if it is in none.

    Args:
        segments: a label map (H, W) or masks (H, W), as returned by :func:`split`.
        shape: (H, W) of the image.

    Raises:
        BadShape: another shape, overlapping masks, or no segment at all.
    """
    segments = _plane(segments)
    if isinstance(segments, np.ndarray) and segments.ndim == 2 and segments.dtype.kind in "iub":
        if segments.shape != shape:
            raise BadShape(f"Expected a label map of the image's shape {shape}, got {segments.shape}.")
        return np.unique(segments, return_inverse=True)[1].reshape(shape)
    masks = [np.asarray(mask, bool) for mask in masks_of(segments)]
    labels = np.full(shape, -1, np.int64)
    for index, mask in enumerate(masks):
        if mask.shape != shape:
            raise BadShape(f"Expected segments of the image's shape {shape}, got one of shape {mask.shape}.")
        if (shared := labels[mask].max(initial=-1)) >= 0:
            both = np.count_nonzero(labels[mask] >= 0)
            raise BadShape(
                f"Segments {shared} and {index} overlap ({both} pixels of {index} are taken). A pixel can be in one "
                "segment only: pass a label map (H, W), or masks that share no pixel."
            )
        labels[mask] = index
    if not (labels >= 0).any():
        raise BadShape(f"None of the {len(masks)} segments has a pixel: there is nothing to keep or remove.")
    # masks without pixels are dropped
    found, compact = np.unique(labels, return_inverse=True)
    return compact.reshape(shape) - int(found[0] < 0)


def count_of(segments: Segments, count: int, shape: tuple[int, ...]) -> int:
    """Return the number of segments of an image (H, W) before segmenting; for a function, the best guess is `count`."""
    if isinstance(segments, str):
        height, width = shape
        return math.prod(grid(count, height, width)) if segments == "grid" else min(count, height * width)
    return count if callable(segments) else int(labelled(segments, shape).max()) + 1


def exactly(labels: np.ndarray, picture: np.ndarray, count: int) -> np.ndarray:
    """Return a label map with exactly `count` labels, so that the cost of a method is known beforehand.

    While there are too many, the smallest segment is merged into the neighbour with the closest colour. While there are
    too few, the largest is cut in half across its longer side.

    Args:
        labels: (H, W).
        picture: (H, W, C).
        count: at most H * W.
    """
    labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    if int(labels.max()) >= count:
        labels = _joined(labels, picture, count)
    while (areas := np.bincount(labels.ravel())).size < count:
        places = np.stack(np.nonzero(labels == areas.argmax()))
        along = places[int(np.argmax(np.ptp(places, axis=1)))]
        late = np.argsort(along, kind="stable")[len(along) // 2 :]
        labels[tuple(places[:, late])] = areas.size
    return labels


def _joined(labels: np.ndarray, picture: np.ndarray, count: int) -> np.ndarray:
    areas = np.bincount(labels.ravel()).astype(np.float64)
    sums = np.stack([np.bincount(labels.ravel(), plane.ravel()) for plane in np.moveaxis(picture, -1, 0)], 1)
    beside: list[set[int]] = [set() for _ in areas]
    for one, other in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        for a, b in np.unique(np.stack([one.ravel(), other.ravel()], 1), axis=0).tolist():
            if a != b:
                beside[a].add(b)
                beside[b].add(a)
    into = np.arange(len(areas))
    for _ in range(len(areas) - count):
        small = int(areas.argmin())
        near = sorted(beside[small])
        away = np.abs(sums[near] / areas[near, None] - sums[small] / areas[small]).sum(1)
        large = near[int(away.argmin())]
        into[into == small] = large
        areas[large] += areas[small]
        sums[large] += sums[small]
        areas[small] = np.inf
        for neighbour in beside[small]:
            beside[neighbour].discard(small)
            if neighbour != large:
                beside[neighbour].add(large)
                beside[large].add(neighbour)
    return np.unique(into[labels], return_inverse=True)[1].reshape(labels.shape)


def touching(labels: np.ndarray) -> np.ndarray:
    """Return which segments touch, also at a corner, or are the same, bool (d, d).

    Args:
        labels: int (H, W), the segment of each pixel, 0 to d - 1, or -1.
    """
    count = int(labels.max()) + 1
    # the last row and column are those of pixels in no segment
    found = np.eye(count + 1, dtype=bool)
    for one, other in (
        (labels[1:], labels[:-1]),
        (labels[:, 1:], labels[:, :-1]),
        (labels[1:, 1:], labels[:-1, :-1]),
        (labels[1:, :-1], labels[:-1, 1:]),
    ):
        found[one, other] = found[other, one] = True
    return found[:count, :count]
