"""Find the placement of a preprocessing: the map from pixels of the model's input to pixels of the picture.

Binary patterns are sent through the preprocessing and decoded from its results. A checkerboard and its negative give
the two possible values of each pixel, whatever happens to values (gamma, equalization, standardization, inversion). The
other patterns are the checkerboard with some cells inverted: those whose row, or column, has a certain bit set in its
Gray code, where neighbours differ in one bit. All patterns are half bright everywhere, so that a preprocessing that
uses the picture's statistics, also local ones, treats them alike. The affine map through the cells is then refined at
the borders between them, and verified on the user's own picture with a random half of its cells darkened.

Where other sizes of picture follow a rule, two patterns suffice: see :func:`alike` and :func:`nearby`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from saliency.pictures.preprocessing import Prepare

MOST_CELLS, LEAST_CELLS = 64, 4
"""Cells of a pattern along its longer side."""

LEAST_SEEN = 3
"""Number of cells, down and across, that must be visible in the input for their size to be measured."""

FED_PER_CELL = 4
"""Input pixels along one side of a cell, if the whole picture is fed."""

SMALL = 512
"""Longer side of the small patterns used instead of those of a large picture, where both give the same result."""

SAMPLED = 512
"""Maximum number of input pixels along one side that are used."""

DARKENED = 0.6
"""Factor by which the user's own picture is darkened in a cell."""

LOST = "the placement of the preprocessing could not be found: the map is shown as after a plain resize"
RANDOM = "preprocess returns different results for one picture (random augmentation?): one of them is explained"

IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])

Size = tuple[int, int]

Sizes = tuple[Size, Size]
"""Of a picture, and of the model's input for it."""

SIDES: tuple[Callable[[Size], float], ...] = (min, max, lambda _: 1)
"""What the scale of an input may be proportional to."""


class Unreadable(Exception):
    """The patterns cannot be decoded from the results of a preprocessing."""


class Placed(NamedTuple):
    """The placement of the model's input in the picture."""

    matrix: np.ndarray
    """(2, 3): picture (row, column) = matrix @ (input row, input column, 1)."""
    notes: tuple[str, ...] = ()


def resized(picture: Size, fed: Size) -> np.ndarray:
    """Return the placement (2, 3) of a picture that is resized as a whole."""
    down, across = (large / small for large, small in zip(picture, fed, strict=True))
    return np.array([[down, 0, (down - 1) / 2], [0, across, (across - 1) / 2]])


def onto(mask: np.ndarray, placement: np.ndarray, size: Size, smooth: bool) -> np.ndarray:
    """Return a mask of the model's input on the picture's own pixels, (H, W, C) or (H, W) float32.

    Pixels that were not fed to the model get zero.

    Args:
        mask: (h, w, C) or (h, w).
        placement: the affine map (2, 3) from pixels of the model's input to pixels of the picture.
        size: height and width of the picture.
        smooth: whether to interpolate between the mask's pixels; otherwise the nearest one is used.
    """
    height, width = size
    if np.array_equal(placement, IDENTITY) and mask.shape[:2] == size:
        return mask
    from scipy import ndimage

    # from picture to mask coordinates
    turn = np.linalg.inv(placement[:, :2])
    offset = -turn @ placement[:, 2]
    planes = mask if mask.ndim == 3 else mask[..., None]
    moved = [
        # constant for half a pixel beyond the outermost pixel centres, zero further out
        ndimage.affine_transform(plane, turn, offset, size, order=int(smooth), mode="nearest")
        for plane in np.moveaxis(planes, -1, 0)
    ]
    grid = np.indices(size).reshape(2, -1)
    at = turn @ grid + offset[:, None]
    within = np.array(mask.shape[:2])[:, None]
    inside = ((at >= -0.5) & (at <= within - 0.5)).all(0).reshape(height, width)
    placed = np.stack(moved, -1) * inside[..., None]
    return np.asarray(placed if mask.ndim == 3 else placed[..., 0], np.float32)


def composed(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Return the placement (2, 3) that applies `inner` first, then `outer`."""
    return np.concatenate([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2:] + outer[:, 2:]], 1)


class Cells:
    """A picture divided into a grid of cells.

    Args:
        size: size of the picture.
        counts: numbers of cells, down and across.
    """

    def __init__(self, size: Size, counts: Size) -> None:
        self.size, self.counts = size, counts
        # some are larger by a pixel if the picture cannot be divided evenly
        self.edges = [-(-np.arange(count + 1) * n // count) for count, n in zip(counts, size, strict=True)]
        self.sides = np.array(size) / counts
        self.checkers = np.indices(counts).sum(0) % 2 == 1
        """bool (rows, columns) of the grid."""

    @classmethod
    def of(cls, size: Size, along: float) -> Cells:
        """Return nearly square cells, `along` of them on the longer side, within limits."""
        along = min(max(along, LEAST_CELLS), MOST_CELLS)
        down, across = (min(n, max(LEAST_CELLS, round(n * along / max(size)))) for n in size)
        return cls(size, (down, across))

    def codes(self, axis: int) -> Iterator[np.ndarray]:
        """Yield the bits of the Gray code of each cell's row (axis 0) or column (axis 1), lowest first."""
        number = np.indices(self.counts)[axis]
        for bit in range(int(self.counts[axis] - 1).bit_length()):
            yield (number ^ (number >> 1)) >> bit & 1 == 1

    def half(self) -> np.ndarray:
        """Return a random half of the cells, the same in every call, bool (rows, columns)."""
        return np.asarray(np.random.default_rng(0).random(self.counts) < 0.5)

    def pixels(self, cells: np.ndarray) -> np.ndarray:
        """Expand values of the cells (rows, columns, …) to values of the pixels (H, W, …)."""
        across = np.repeat(cells, np.diff(self.edges[1]), 1)
        return np.repeat(across, np.diff(self.edges[0]), 0)

    def around(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the cell of each point (n, 2) of the picture, (n, 2), and whether it is well inside its cell, (n,)."""
        numbers, well = [], np.ones(len(points), bool)
        for at, edges in zip(points.T + 0.5, self.edges, strict=True):
            number = np.clip(np.searchsorted(edges, at, "right") - 1, 0, len(edges) - 2)
            share = (at - edges[number]) / (edges[number + 1] - edges[number])
            well &= (share > 0.25) & (share < 0.75)
            numbers.append(number)
        return np.stack(numbers, 1), well


class Probe:
    """Sends patterns through a preprocessing.

    Args:
        send: the preprocessing, from (H, W, C) to (1, h, w, C).
        span: black and white of the picture.
        picture: the user's own, (H, W, C); patterns have its type and channels.
        fed: the model's input for it, (h, w, C).
    """

    def __init__(self, send: Prepare, span: tuple[float, float], picture: np.ndarray, fed: np.ndarray) -> None:
        self._send, (self._low, high) = send, span
        self.picture, self.fed = picture, fed
        # not black or white, whose logarithm or quotient may be infinite; tinted, for preprocessing that uses colour
        tint = np.resize([0.0, 0.04, -0.04, 0.02], picture.shape[-1])
        self._colours = self._typed([self._low + (high - self._low) * share for share in (0.2 + tint, 0.8 - tint)])

    def _typed(self, numbers: Any) -> np.ndarray:
        whole = self.picture.dtype.kind in "iu"
        return np.asarray(np.rint(numbers) if whole else numbers, self.picture.dtype)

    def darkened(self) -> np.ndarray:
        """Return the user's own picture, darkened."""
        if self.picture.dtype.kind in "iu":
            levels = np.arange(np.iinfo(self.picture.dtype).max + 1)
            return self._typed(self._low + DARKENED * (levels - self._low))[self.picture]
        return self._typed(self._low + np.float32(DARKENED) * (self.picture - np.float32(self._low)))

    def pattern(self, cells: Cells, bright: np.ndarray) -> np.ndarray:
        """Return the model's input for a pattern, (h, w, C); `bright` is bool (rows, columns)."""
        return self.sent(cells.pixels(self._colours[bright.astype(int)]))

    def sent(self, picture: np.ndarray) -> np.ndarray:
        """Return the model's input for a picture, (h, w, C).

        Raises:
            Unreadable: the preprocessing fails.
        """
        try:
            with np.errstate(all="ignore"):
                return self._send(picture)[0]
        except Exception as error:  # a preprocessing may raise anything for a picture that is not the user's
            raise Unreadable from error

    def contrast(self, cells: Cells, bright: np.ndarray) -> Contrast:
        """Send a pattern and its negative."""
        return Contrast(self.pattern(cells, bright), self.pattern(cells, ~bright))


class Contrast:
    """The sign and size of the difference between a picture and its counterpart, per pixel.

    Args:
        first: the model's input for the picture, (h, w, C).
        second: the model's input for the counterpart.
    """

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        if first.shape != second.shape or 1 in first.shape[:2]:
            raise Unreadable
        self.first, self.fed = first, first.shape[:2]
        self._steps = [-(-n // SAMPLED) for n in self.fed]
        one, other = self._sampled(first), self._sampled(second)
        self._middle = (one + other) / 2
        half = np.nan_to_num((one - other) / 2, nan=0, posinf=0, neginf=0)
        scale = np.abs(half).max((0, 1))
        # channels have equal weight, whatever their units; dark and bright may be exchanged in some
        weights = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
        flat = (half * weights).reshape(-1, len(scale))
        self._weights = weights * np.linalg.eigh(flat.T @ flat)[1][:, -1]
        self.half = half @ self._weights
        """(h, w) of the sampled pixels: half the signed difference."""
        size = np.abs(self.half)
        self.usual = float(np.percentile(size, 98))
        self.visible = size > 0.1 * self.usual
        self.at = np.stack(np.meshgrid(*(np.arange(0, n, s) for n, s in zip(self.fed, self._steps, strict=True))), -1)
        self.at = self.at.transpose(1, 0, 2)
        """(h, w, 2): row and column of the sampled pixels in the input."""

    def _sampled(self, fed: np.ndarray) -> np.ndarray:
        down, across = self._steps
        return fed[::down, ::across].astype(np.float64)

    def read(self, other: np.ndarray) -> np.ndarray:
        """Return which of the two each pixel of a third picture equals, (h, w): 1 for the first, -1 for the second."""
        if other.shape != self.first.shape:
            raise Unreadable
        with np.errstate(all="ignore"):
            seen = ((self._sampled(other) - self._middle) @ self._weights) / self.half
        return np.nan_to_num(seen, nan=0, posinf=0, neginf=0)

    def seen(self) -> int:
        """Return how many adjacent cells of a checkerboard are visible, down or across, whichever are fewer."""
        signs = np.sign(self.half)
        return 1 + int(min(np.median((np.diff(signs, axis=axis) != 0).sum(axis)) for axis in (0, 1)))

    def crossings(self) -> np.ndarray:
        """Return where the difference changes its sign between two neighbours, (n, 2) in the input."""
        half = np.where(self.half == 0, 1e-9 * self.usual, self.half)
        found = []
        for axis in (0, 1):
            count = half.shape[axis] - 1
            one, other = half.take(range(count), axis), half.take(range(1, count + 1), axis)
            crossed = (one * other < 0) & (np.abs(one) + np.abs(other) > 0.2 * self.usual)
            one, other = one[crossed], other[crossed]
            point = self.at.take(range(count), axis)[crossed].astype(float)
            point[:, axis] += self._steps[axis] * one / (one - other)
            found.append(point)
        points = np.concatenate(found)
        return points[:: max(1, len(points) // 20_000)]

    def like(self, other: Contrast) -> bool:
        """Return whether the other has the same content, possibly at another size."""
        picks = [
            np.minimum((np.arange(n) + 0.5) * m / n, m - 1).astype(int)
            for n, m in zip(self.half.shape, other.half.shape, strict=True)
        ]
        theirs = np.ix_(*picks)
        both = self.visible & other.visible[theirs]
        same = np.sign(self.half) == np.sign(other.half[theirs])
        return bool(both.sum() > 0.5 * self.visible.sum() and abs(same[both].mean() - 0.5) > 0.35)

    def agrees(self, cells: Cells, bright: np.ndarray, matrix: np.ndarray) -> bool | None:
        """Return whether it matches a placement; None where too little of it is visible.

        Args:
            cells: the grid of the pattern.
            bright: its cells that are brighter in the first picture.
            matrix: the placement (2, 3).
        """
        points = self.at[self.visible] @ matrix[:, :2].T + matrix[:, 2]
        inside = ((points >= -0.5) & (points <= np.array(cells.size) - 0.5)).all(1)
        numbers, well = cells.around(points)
        known = inside & well
        if known.sum() < max(8, 0.002 * self.half.size):
            return None
        same = (self.half[self.visible] > 0) == bright[numbers[:, 0], numbers[:, 1]]
        return bool(abs(same[known].mean() - 0.5) > 0.35)


def find(probe: Probe, size: Size, fed: Size) -> Placed:
    """Find the placement of pictures of one size; return a plain resize with a note if it cannot be found.

    At most 20 patterns are sent. For a large picture, two of them have its size and the others are smaller, unless the
    size matters.

    Args:
        probe: sends patterns.
        size: size of the picture.
        fed: size of the model's input for it.
    """
    cells, notes = Cells.of(size, min(fed) / FED_PER_CELL), []
    matrix = resized(size, fed)
    try:
        whole = probe.contrast(cells, cells.checkers)
        if whole.seen() < LEAST_SEEN:  # the input is a small part of the picture
            cells = Cells.of(size, MOST_CELLS)
            whole = probe.contrast(cells, cells.checkers)
        read, contrast = _smaller(probe, cells, whole)
        again = [probe.pattern(read, read.checkers) for _ in range(2)]
        if not all(np.array_equal(each, contrast.first, equal_nan=True) for each in again):
            notes.append(RANDOM)
        numbers, sure = _decoded(probe, read, contrast)
        there = _fitted(read, contrast.at[sure], numbers[sure])
        there = composed(resized(size, read.size), composed(there, resized(contrast.fed, whole.fed)))
        matrix = _refined(cells, whole.crossings(), there, fed)
    except Unreadable:
        notes.append(LOST)
    return Placed(matrix, tuple(notes))


def alike(known: Mapping[Sizes, Placed], size: Size, fed: Size) -> Iterator[np.ndarray]:
    """Yield guesses (2, 3) for another size of picture, by the rules that all known placements follow.

    The rules: the whole picture is resized; or the input is in the middle of the picture, and its scale follows the
    shorter side, or the longer side, or is constant.

    Args:
        known: placements by sizes of picture and input, not empty.
        size: size of the picture.
        fed: size of the model's input for it.
    """
    (shape, _), first = next(iter(known.items()))
    scale = np.sqrt(abs(np.linalg.det(first.matrix[:, :2])))
    centred = [partial(_centred, side=side, share=scale / side(shape)) for side in SIDES]
    rules: list[Callable[[Size, Size], np.ndarray]] = [resized, *centred]
    for rule in rules:
        if all(not each.notes and _apart(rule(*sizes), each.matrix, sizes[1]) < 1 for sizes, each in known.items()):
            yield rule(size, fed)


def nearby(probe: Probe, size: Size, fed: Size, matrix: np.ndarray) -> Placed | None:
    """Return a guessed placement, refined at the borders of random cells; None if these are elsewhere.

    Two patterns are sent.

    Args:
        probe: sends patterns.
        size: size of the picture.
        fed: size of the model's input for it.
        matrix: the guess (2, 3).
    """
    cells = Cells.of(size, max(size) / (2 * FED_PER_CELL * np.sqrt(abs(np.linalg.det(matrix[:, :2])))))
    try:
        whole = probe.contrast(cells, cells.half())
        if whole.fed != fed or not whole.agrees(cells, cells.half(), matrix):
            return None
        refined = _refined(cells, whole.crossings(), matrix, fed)
    except Unreadable:
        return None
    # a rule is wrong by rounding alone
    return Placed(refined) if _apart(refined, matrix, fed) < 1 else None


def _centred(size: Size, fed: Size, side: Callable[[Size], float], share: float) -> np.ndarray:
    """Return the placement (2, 3) of an input in the middle of the picture, whose pixels are a share of a side."""
    scale = share * side(size)
    offset = (np.array(size) - 1) / 2 - scale * (np.array(fed) - 1) / 2
    return np.column_stack([scale * np.eye(2), offset])


def _apart(one: np.ndarray, other: np.ndarray, fed: Size) -> float:
    """Return the largest distance between two placements (2, 3) of a corner of the input, in pixels of the input."""
    corners = np.array([[i * (fed[0] - 1), j * (fed[1] - 1), 1] for i in (0, 1) for j in (0, 1)])
    return float(np.abs(corners @ (one - other).T).max() / np.sqrt(abs(np.linalg.det(other[:, :2]))))


def confirmed(probe: Probe, placed: Placed) -> bool:
    """Return whether the user's own picture has the placement of the patterns: a crop may depend on the content.

    Args:
        probe: sends pictures.
        placed: the placement of patterns.
    """
    picture = probe.picture
    size = (picture.shape[0], picture.shape[1])
    side = FED_PER_CELL * np.sqrt(abs(np.linalg.det(placed.matrix[:, :2])))
    cells = Cells.of(size, max(size) / side)
    bright = cells.half()
    dark = probe.darkened()

    def sent(kept: np.ndarray) -> np.ndarray:
        return probe.sent(np.where(cells.pixels(kept)[..., None], picture, dark))

    try:
        half = sent(bright)
        # darkened cells differ from the picture itself and others do not, or vice versa after an equalization
        own = Contrast(probe.fed, half).agrees(cells, ~bright, placed.matrix)
        if own is False:  # if the preprocessing adds noise, all cells differ: the other half is darkened, too
            own = Contrast(half, sent(~bright)).agrees(cells, bright, placed.matrix)
        # darkened cells are not visible in a picture that is nearly black
        return probe.contrast(cells, bright).agrees(cells, bright, placed.matrix) is True if own is None else own
    except Unreadable:
        return False


def _smaller(probe: Probe, cells: Cells, whole: Contrast) -> tuple[Cells, Contrast]:
    """Return a small picture instead of a large one if the preprocessing treats both alike."""
    # twice as large as the input, so that resizing shrinks it too; unless it hardly shrinks the large one
    fed = max(whole.fed)
    shrink = max(SMALL, 2 * fed if fed < SAMPLED else 0) / max(cells.size)
    if shrink > 0.5:
        return cells, whole
    down, across = (max(count, round(n * shrink)) for count, n in zip(cells.counts, cells.size, strict=True))
    small = Cells((down, across), cells.counts)
    try:
        contrast = probe.contrast(small, small.checkers)
    except Unreadable:  # the preprocessing takes pictures of one size only
        return cells, whole
    return (small, contrast) if contrast.like(whole) else (cells, whole)


def _decoded(probe: Probe, cells: Cells, contrast: Contrast) -> tuple[np.ndarray, np.ndarray]:
    """Return the cell of each sampled pixel, (h, w, 2), and whether it is certain, (h, w)."""
    numbers, sure = [], contrast.visible
    for axis in (0, 1):
        gray = np.zeros(contrast.half.shape, int)
        for bit, inverted in enumerate(cells.codes(axis)):
            seen = contrast.read(probe.pattern(cells, cells.checkers ^ inverted))
            gray |= (seen < 0).astype(int) << bit
            sure = sure & (np.abs(seen) > 0.4)
        number = gray
        for shift in (1, 2, 4):
            number = number ^ (number >> shift)
        sure = sure & (number < cells.counts[axis])
        numbers.append(number)
    return np.stack(numbers, -1), sure


def _fitted(cells: Cells, at: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return the affine map (2, 3) from input pixels (n, 2) to their cells (n, 2) that most of them follow.

    Raises:
        Unreadable: most pixels follow no common map.
    """
    draw = np.random.default_rng(0)
    if len(at) > 4000:
        chosen = draw.choice(len(at), 4000, replace=False)
        at, numbers = at[chosen], numbers[chosen]
    if len(at) < 8 or (np.ptp(numbers, 0) < LEAST_SEEN - 1).any():
        raise Unreadable
    centres = np.stack([(edges[n] + edges[n + 1] - 1) / 2 for n, edges in zip(numbers.T, cells.edges, strict=True)], 1)
    points = np.concatenate([at, np.ones((len(at), 1))], 1)

    def followed(maps: np.ndarray, most: float) -> np.ndarray:
        return (np.abs(points @ maps - centres) <= most * cells.sides).all(-1)

    # three random pixels, repeatedly (RANSAC): pixels mirrored by padding follow another map
    threes = draw.integers(0, len(at), (300, 3))
    threes = threes[np.abs(np.linalg.det(points[threes])) > 1e-6 * np.prod(np.ptp(at, 0))]
    if not len(threes):
        raise Unreadable
    maps = np.linalg.solve(points[threes], centres[threes])
    best = followed(maps, 0.75).sum(1).argmax()
    fit = maps[best]
    for most in (0.75, 0.65, 0.65):
        kept = followed(fit, most)
        if kept.sum() < max(8, 0.5 * len(at)) or (np.ptp(numbers[kept], 0) < LEAST_SEEN - 1).any():
            raise Unreadable
        fit = np.linalg.lstsq(points[kept], centres[kept], rcond=None)[0]
    _require(fit.T, points @ fit, centres, cells)
    return np.asarray(fit.T)


def _require(matrix: np.ndarray, there: np.ndarray, centres: np.ndarray, cells: Cells) -> None:
    """Raise unless nearly all pixels follow the map, those outside of the picture being padding of any kind.

    Args:
        matrix: the map (2, 3).
        there: mapped positions of the input pixels, (n, 2).
        centres: centres of the cells decoded in them, (n, 2).
        cells: the grid.
    """
    last = np.array(cells.size) - 1.0
    mirrored, border = last - np.abs(last - np.abs(there)), np.clip(there, 0, last)
    followed = np.any([(np.abs(each - centres) <= 0.75 * cells.sides).all(1) for each in (mirrored, border)], 0)
    if followed.mean() < 0.9 or abs(np.linalg.det(matrix[:, :2])) < 1e-9:
        raise Unreadable


def _refined(cells: Cells, crossings: np.ndarray, matrix: np.ndarray, fed: Size) -> np.ndarray:
    """Refine a placement (2, 3): the crossings (n, 2) are at borders between cells."""
    points = np.concatenate([crossings, np.ones((len(crossings), 1))], 1)
    borders = [edges[1:-1] - 0.5 for edges in cells.edges]
    for _ in range(3):
        there = points @ matrix.T
        nearest = [each[np.abs(each - at[:, None]).argmin(1)] for each, at in zip(borders, there.T, strict=True)]
        away = np.abs(there - np.stack(nearest, 1)) / cells.sides
        matrix = matrix.copy()
        for axis in (0, 1):
            # at the corner of a cell the crossed border is ambiguous
            on = (away[:, axis] < 0.35) & (away[:, 1 - axis] > 0.15)
            if len(np.unique(nearest[axis][on])) > 1:
                turns = _turns(matrix, axis, fed)
                matrix[axis] = 0
                matrix[axis, turns] = np.linalg.lstsq(points[on][:, turns], nearest[axis][on], rcond=None)[0]
    return matrix


def _turns(matrix: np.ndarray, axis: int, fed: Size) -> list[int]:
    """Return the columns of a placement that one of its rows needs: without rotation, rows do not depend on columns."""
    slack = 0.5 * np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    return [i for i in (0, 1) if abs(matrix[axis, i]) * fed[i] >= slack] + [2]
