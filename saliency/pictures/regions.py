"""The regions of XRAI (arXiv:1906.02825): overlapping segments of a picture, ranked by their mean attribution.

NumPy only: from an attribution (H, W) and a list of masks to a piecewise constant mask. The result equals
PAIR-code/saliency's to the last bit, with less work: a segment is processed on its own bounding box, and again only
when newly covered pixels overlap it. scikit-image and SciPy are imported where they are used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from saliency.errors import BadField, BadImage, BadOutput, BadShape
from saliency.pictures.resize import shrunk
from saliency.threads import in_threads

Mask = NDArray[np.bool_]
Box = tuple[slice, ...]
Check = Callable[[], None]

# The constants of PAIR's default segmentation. Felzenszwalb's scales depend on the size and value range of the picture,
# which is why every picture is first converted to one size and one range.
SCALES = (50, 100, 150, 250, 500, 1200)
SIGMA, SMALLEST = 0.8, 150
SIDE, RADIUS = 224, 5

NO_REGION = 65535


class Region(NamedTuple):
    """One region of an explanation; the most important is first in its table.

    Attributes:
        gain: mean attribution over the region, which is its value in the mask.
        area: the region's share of all pixels, in (0, 1].
        cumulative: share of all pixels in this region and all before it, in (0, 1].
        bbox: top, left, bottom, right; half-open.
        centroid: mean row and mean column of its pixels.
    """

    gain: float
    area: float
    cumulative: float
    bbox: tuple[int, int, int, int]
    centroid: tuple[float, float]


@dataclass(frozen=True)
class Regions:
    """The regions of a mask: `ranks`, uint16 (H, W), has the row in `table` of each pixel's region, 65535 for none."""

    ranks: NDArray[np.uint16]
    table: list[Region]


@dataclass(frozen=True)
class Grown:
    """The result of :func:`grow_regions`.

    Attributes:
        mask: float64 (H, W), each pixel the mean attribution over its region, which preserves the attribution's sum.
        regions: disjoint masks (H, W) with their gains, by falling gain; pixels in no segment, if any, come last.
        ranks: uint16 (H, W), each pixel's index in `regions`. Beyond 65,535 regions the last ones share a rank.
    """

    mask: NDArray[np.float64]
    regions: list[tuple[Mask, float]]
    ranks: NDArray[np.uint16]


def _no_check() -> None:
    """Do nothing: the check of callers that never cancel."""


def felzenszwalb_segments(image: ArrayLike, *, check: Check = _no_check) -> list[Mask]:
    """Return PAIR's default segments: Felzenszwalb's at six scales, each dilated by five pixels to contain its edges.

    Segments overlap, within a scale (by the dilation) and across scales. Source: pair.md 1.9, PAIR-code/saliency 0.2.1.

    Args:
        image: (H, W, C) or (H, W), finite, any range.
        check: called between segments; an error it raises ends the computation.

    Returns:
        Masks (H, W), by scale, then by label. A label that is lost when the picture has fewer than 224 pixels a side
        leaves an empty mask. A picture of one colour is one segment.

    Raises:
        BadImage: the image has another rank, no pixels, or pixels that are not finite.
    """
    picture = _picture(image)
    height, width = picture.shape[:2]
    darkest, brightest = picture.min(), picture.max()
    check()
    if darkest == brightest:
        return [np.ones((height, width), bool)]

    from skimage.segmentation import felzenszwalb

    normalised = (picture - darkest) / (brightest - darkest) * 2.0 - 1.0
    small = _small(normalised)
    check()
    rows, columns = _nearest(height)[:, None], _nearest(width)

    def labels(scale: int) -> NDArray[np.int32]:
        found = felzenszwalb(small, scale=scale, sigma=SIGMA, min_size=SMALLEST)
        return np.asarray(found, np.int32)[rows, columns]

    masks: list[Mask] = []
    # half of Felzenszwalb's time is sorting, which releases the GIL
    for map_ in in_threads(labels, SCALES):
        for mask in _dilated_segments(map_):
            check()
            masks.append(mask)
    return masks


def _picture(image: ArrayLike) -> NDArray[Any]:
    """Return the image as a floating array; its floating type is kept, because rounding affects the segments."""
    picture = np.asarray(image)
    if picture.ndim not in (2, 3) or picture.size == 0:
        raise BadImage(f"Segmenting needs (H, W, C) or (H, W), got {picture.shape}. Pass your own segments instead.")
    if picture.dtype.kind != "f":
        picture = picture.astype(np.float64)
    if not np.isfinite(picture).all():
        raise BadImage(f"Segmenting needs finite pixels, got {np.sum(~np.isfinite(picture))} NaN or infinite values.")
    return picture


def _small(normalised: NDArray[Any]) -> NDArray[Any]:
    """Return the picture at the size that is segmented, resized as by skimage."""
    large = min(normalised.shape[:2]) > SIDE and normalised.ndim == 3
    if large and normalised.dtype in (np.float32, np.float64):
        return shrunk(normalised, SIDE, SIDE)
    return _resized(normalised, (SIDE, SIDE), order=3, anti_aliasing=True)


def _nearest(length: int) -> NDArray[np.intp]:
    """Return the index among `SIDE` that skimage's nearest-neighbour resize uses for each of `length` positions."""
    ramp = np.arange(SIDE, dtype=np.float64)[:, None]
    return _resized(ramp, (length, 1), order=0, anti_aliasing=False)[:, 0].astype(np.intp)


def _resized(array: NDArray[Any], shape: tuple[int, int], *, order: int, anti_aliasing: bool) -> NDArray[Any]:
    from skimage import transform

    resize: Callable[..., NDArray[Any]] = transform.resize
    return resize(array, shape, order=order, mode="constant", preserve_range=True, anti_aliasing=anti_aliasing)


def _dilated_segments(labels: NDArray[np.int32]) -> Iterator[Mask]:
    """Yield one mask (H, W) per label from the smallest to the largest, dilated by a disk and cut at the border."""
    from scipy.ndimage import find_objects

    height, width = labels.shape
    lowest = int(labels.min())
    for label, box in enumerate(find_objects(labels + 1)[lowest:], lowest):
        mask = np.zeros(labels.shape, bool)
        if box is not None:
            (top, bottom), (left, right) = ((side.start - RADIUS, side.stop + RADIUS) for side in box)
            grown = _dilated(labels[box] == label)
            inside = slice(max(0, -top), height - top), slice(max(0, -left), width - left)
            mask[max(0, top) : bottom, max(0, left) : right] = grown[inside]
        yield mask


def _dilated(crop: Mask) -> Mask:
    """Return the crop (h, w) dilated by a disk, (h + 2 RADIUS, w + 2 RADIUS).

    A disk is a stack of horizontal runs. The crop is extended sideways step by step, and each state is copied to the
    rows whose run has that length: 22 passes of `|=` over the bounding box instead of a filter of 81 pixels over the
    picture.
    """
    height, width = crop.shape
    smeared = np.zeros((height, width + 2 * RADIUS), bool)
    grown = np.zeros((height + 2 * RADIUS, width + 2 * RADIUS), bool)
    reaches = [math.isqrt(RADIUS**2 - dy**2) for dy in range(RADIUS + 1)]
    for dx in range(RADIUS + 1):
        for shift in {-dx, dx}:
            smeared[:, RADIUS + shift : RADIUS + shift + width] |= crop
        for dy in (dy for dy, reach in enumerate(reaches) if reach == dx):
            for shift in {-dy, dy}:
                grown[RADIUS + shift : RADIUS + shift + height] |= smeared
    return grown


def grow_regions(
    attribution: ArrayLike,
    segments: Iterable[ArrayLike],
    *,
    algorithm: Literal["full", "fast"] = "full",
    area_threshold: float = 1.0,
    min_pixel_diff: int = 50,
    check: Check = _no_check,
) -> Grown:
    """Cover the picture segment by segment, each time with the one whose uncovered pixels have the highest mean.

    XRAI's algorithm 1 as PAIR-code/saliency 0.2.1 runs it (pair.md 1.9). The pixels in no segment share their own mean.
    Means are taken in the attribution's own dtype, as in PAIR: pass float64 for sums that are exact to 1e-12.

    Args:
        attribution: (H, W), signed, finite. Any other rank works as well, with segments of the same shape.
        segments: masks (H, W), which may overlap; the earlier wins a tie. Without any, the picture is one region.
        algorithm: "full" ranks the segments again after each choice; "fast" ranks them once, whole.
        area_threshold: "full" stops once more than this share of the pixels is covered; 1 covers everything possible.
        min_pixel_diff: a segment with fewer uncovered pixels is skipped for good. Values below 1 mean 1.
        check: called in all loops; an error it raises ends the computation.

    Raises:
        BadField: an unknown algorithm.
        BadShape: a segment has another shape than the attribution.
        BadOutput: the attribution is not finite, so that it cannot be ranked.
    """
    if algorithm not in ("full", "fast"):
        raise BadField(f"Unknown algorithm type: {algorithm}. Expected 'full' or 'fast'.")
    canvas = _Canvas(_rankable(attribution), check)
    pieces = [_Piece.of(segment, canvas) for segment in segments]
    if algorithm == "full":
        _grow_full(canvas, pieces, max(1, min_pixel_diff), area_threshold)
    else:
        _grow_fast(canvas, pieces, max(1, min_pixel_diff))
    return canvas.finish()


def _rankable(attribution: ArrayLike) -> NDArray[Any]:
    """Return the attribution as a contiguous array, or raise if its segments cannot be ranked."""
    array = np.ascontiguousarray(attribution)
    if array.size == 0:
        raise BadShape(f"XRAI needs an attribution with pixels, got shape {array.shape}.")
    if not np.isfinite(array).all():
        bad = f"{np.sum(~np.isfinite(array))} of {array.size} pixels are NaN or infinite"
        raise BadOutput(f"XRAI ranks segments by their mean attribution, and {bad}. Check the model's gradients.")
    return array


class _Canvas:
    """The state of both growing algorithms: the attribution, the free pixels, and the regions so far."""

    def __init__(self, attribution: NDArray[Any], check: Check) -> None:
        self.attribution = attribution
        self.check = check
        self.free = np.ones(attribution.shape, bool)
        self.covered = 0
        self.mask = np.zeros(attribution.shape, np.float64)
        self.trace: list[tuple[Mask, float]] = []

    def gain(self, box: Box, crop: Mask) -> float:
        """Return the mean attribution over a crop, summed in the order of the whole picture."""
        return float(self.attribution[box][crop].mean())

    def gains(self, pieces: list[_Piece], least: int) -> NDArray[np.float64]:
        """Return the gain of each whole piece; minus infinity for those with fewer than `least` pixels."""
        gains = np.full(len(pieces), -np.inf)
        for index, piece in enumerate(pieces):
            self.check()
            if piece.count >= least:
                gains[index] = self.gain(piece.box, piece.crop)
        return gains

    def lay(self, box: Box, crop: Mask, count: int, gain: float) -> None:
        """Make the `count` free pixels of a crop a region."""
        region = np.zeros(self.free.shape, bool)
        region[box] = crop
        self.mask[box][crop] = gain
        self.free[box] &= ~crop
        self.covered += count
        self.trace.append((region, gain))

    def draw(self) -> NDArray[np.float64]:
        """Return the mask so far; free pixels have their own mean, so that every mask has the attribution's sum."""
        mask = self.mask.copy()
        if self.covered < self.free.size:
            mask[self.free] = self.attribution[self.free].mean()
        return mask

    def finish(self) -> Grown:
        """Sort the regions, because later gains can exceed earlier ones. The remaining pixels come last in any case."""
        mask = self.draw()
        regions = sorted(self.trace, key=lambda region: -region[1])
        if self.covered < self.free.size:
            regions.append((self.free, float(mask[self.free][0])))
        ranks = np.full(mask.shape, NO_REGION, np.uint16)
        for rank, (region, _) in enumerate(regions):
            ranks[region] = min(rank, NO_REGION - 1)
        return Grown(mask, regions, ranks)


@dataclass
class _Piece:
    """A segment on its bounding box: `crop` marks its free pixels, `count` is their number."""

    box: Box
    crop: Mask
    count: int

    @staticmethod
    def of(segment: ArrayLike, canvas: _Canvas) -> _Piece:
        """Crop a copy of a segment: crops shrink as the canvas is covered."""
        canvas.check()
        mask = np.asarray(segment, dtype=bool)
        if mask.shape != canvas.free.shape:
            raise BadShape(
                f"Expected segments of the attribution's shape {canvas.free.shape}, got one of shape {mask.shape}. "
                f"Convert a label map to segments with [labels == label for label in np.unique(labels)]."
            )
        box = _box(mask)
        return _Piece(box, mask[box].copy(), int(np.count_nonzero(mask[box])))


def _box(mask: Mask) -> Box:
    """Return the bounding box of a mask; an empty one for an empty mask."""
    box: list[slice] = []
    for axis in range(mask.ndim):
        places = np.flatnonzero(mask.any(axis=tuple({*range(mask.ndim)} - {axis})))
        box.append(slice(int(places[0]), int(places[-1]) + 1) if places.size else slice(0, 0))
        mask = mask[(slice(None),) * axis + (box[axis],)]
    return tuple(box)


def _grow_full(canvas: _Canvas, pieces: list[_Piece], least: int, area_threshold: float) -> None:
    """Choose the best piece, then rank those that it overlaps again. Minus infinity marks discarded pieces."""
    gains = canvas.gains(pieces, least)
    starts = np.array([[side.start for side in piece.box] for piece in pieces])
    stops = np.array([[side.stop for side in piece.box] for piece in pieces])
    while canvas.covered / canvas.free.size <= area_threshold and gains.max(initial=-np.inf) > -np.inf:
        best = int(gains.argmax())  # the first of equals: identical segments across scales are common
        laid = pieces[best]
        canvas.lay(laid.box, laid.crop, laid.count, float(gains[best]))
        gains[best] = -np.inf
        low = np.maximum(starts, starts[best])
        high = np.minimum(stops, stops[best])
        for index in np.flatnonzero((low < high).all(axis=1) & (gains > -np.inf)).tolist():
            canvas.check()
            piece = pieces[index]
            mine = _within(low[index], high[index], starts[index])
            its = _within(low[index], high[index], starts[best])
            if not np.any(piece.crop[mine] & laid.crop[its]):
                continue
            piece.crop[mine] &= ~laid.crop[its]
            piece.count = int(np.count_nonzero(piece.crop))
            gains[index] = canvas.gain(piece.box, piece.crop) if piece.count >= least else -np.inf


def _within(low: NDArray[np.intp], high: NDArray[np.intp], start: NDArray[np.intp]) -> Box:
    """Return the box from `low` to `high`, relative to `start`."""
    return tuple(map(slice, (low - start).tolist(), (high - start).tolist()))


def _grow_fast(canvas: _Canvas, pieces: list[_Piece], least: int) -> None:
    """Rank whole pieces once, then choose the free pixels of each in that order, whatever their mean."""
    gains = canvas.gains(pieces, least=1)
    for index in np.argsort(-gains, kind="stable").tolist():
        canvas.check()
        piece = pieces[index]
        crop = piece.crop & canvas.free[piece.box]
        count = int(np.count_nonzero(crop))
        if count >= least:
            canvas.lay(piece.box, crop, count, canvas.gain(piece.box, crop))


def region_table(ranks: NDArray[np.uint16], gains: Sequence[float]) -> Regions:
    """Measure each region of a rank map.

    Args:
        ranks: (H, W), or (W,) for a single row; 65535 means no region.
        gains: mean attribution of the regions, most important first. A region without pixels gets no row.
    """
    from scipy.ndimage import find_objects

    plane = np.atleast_2d(ranks)
    held = plane[plane != NO_REGION]
    if plane.ndim != 2 or (held.size and int(held.max()) >= len(gains)):
        raise BadShape(f"Expected {len(gains)} ranks (H, W), got {ranks.shape} with rank {held.max(initial=0)}.")
    labels = np.where(plane == NO_REGION, 0, plane.astype(np.int32) + 1)
    counts = np.bincount(labels.ravel())
    down, along = (np.bincount(labels.ravel(), places.ravel()) for places in np.indices(plane.shape))
    table: list[Region] = []
    covered = 0
    for label, box in enumerate(find_objects(labels, len(gains)), 1):
        if box is not None:
            count = int(counts[label])
            covered += count
            bbox = box[0].start, box[1].start, box[0].stop, box[1].stop
            centroid = float(down[label] / count), float(along[label] / count)
            table.append(Region(float(gains[label - 1]), count / plane.size, covered / plane.size, bbox, centroid))
    return Regions(ranks, table)
