"""Masked images. Masks are described by a few numbers each, and only these are copied to the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from saliency.model.protocols import Ops
from saliency.session.samples import PerImage, own

A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)


class Masks(Protocol[A_co]):
    """Masks over an image in [0, 1], 1 where it is visible. Built only when sliced."""

    def __call__(self, which: slice, channels: int = 1) -> A_co:
        """Return masks `which`, with each pixel's value repeated for each channel: (n, H, W * channels)."""


class Masked(PerImage[A]):
    """mask * image + (1 - mask) * cover, for each mask; several covers alternate.

    Where a mask is exactly 1 or 0, the result equals the image or the cover to the last bit.

    Args:
        images: (B, H, W, C), or (B, H, W).
        covers: (B, H, W, C), or (1, H, W, C) for all; copy i uses cover i % len(covers).
        masks: the same for every image.
        each: number of masks.
    """

    def __init__(self, ops: Ops[A], images: Any, covers: Sequence[Any], masks: Masks[A], each: int) -> None:
        super().__init__(ops, images, each)
        self.covers, self.masks = covers, masks

    def copies(self, image: int, which: slice) -> Any:
        ops, (height, width), channels = self.ops, self.shape[:2], int(np.prod(self.shape[2:]))
        # channels are merged with columns, because broadcasting over an axis of length three is slow
        flat = (1, height, width * channels)
        shown: Any = self.masks(which, channels)
        beneath: Any = ops.reshape(self.images[image : image + 1], flat)
        covers: list[Any] = [ops.reshape(own(each, image), flat) for each in self.covers]
        if len(covers) > 1:
            covers = [ops.concat([covers[i % len(covers)] for i in range(which.start, which.stop)])]
        blended: Any = shown * beneath + (1.0 - shown) * covers[0]
        return ops.reshape(blended, (which.stop - which.start, *self.shape))


class FeatureMasks(Generic[A]):
    """Segments visible to the degree that a coalition gives; a pixel in no segment is always visible.

    Args:
        labels: (H, W), the segment of each pixel, -1 for none.
        shown: (n, d), in [0, 1] or bool: one coalition of segments per row.
    """

    def __init__(self, ops: Ops[A], labels: np.ndarray, shown: np.ndarray) -> None:
        self.ops, self.shown, self.shape = ops, shown, labels.shape
        count = shown.shape[1]
        self._places = np.where(labels < 0, count, labels).ravel()
        self._spread: dict[int, np.ndarray] = {}

    def __call__(self, which: slice, channels: int = 1) -> Any:
        if channels not in self._spread:
            self._spread[channels] = np.repeat(self._places, channels)
        rows = np.asarray(self.shown[which], np.float64)
        rows = np.concatenate([rows, np.ones((len(rows), 1))], 1)
        height, width = self.shape
        chosen = self.ops.take(self.ops.asarray(rows), self._spread[channels])
        return self.ops.reshape(chosen, (len(rows), height, width * channels))


class RandomGrids(Generic[A]):
    """RISE's masks (arXiv:1806.07421, section 3.2): small random grids, upsampled bilinearly and shifted at random.

    Each cell of a grid is visible with probability `probability`. The grid is upsampled to (cells + 1) cells a side and
    cropped to the image at an offset of up to one cell, so that every pixel's mean is exactly `probability`. Mask i is
    drawn from ``numpy.random.default_rng([seed, i])``.

    Args:
        shape: (H, W).
        cells: number of cells per side of the grid.
        probability: probability that a cell is visible.
        seed: seed of the grids and offsets.
    """

    def __init__(self, ops: Ops[A], shape: tuple[int, int], cells: int, probability: float, seed: int) -> None:
        self.ops, self.shape, self.cells, self.probability, self.seed = ops, shape, cells, probability, seed
        self.steps = tuple(-(-length // cells) for length in shape)
        """Height and width of a cell, in pixels."""
        self._down, self._across = (enlarging(cells, (cells + 1) * step) for step in self.steps)

    def __call__(self, which: slice, channels: int = 1) -> Any:
        ops, (height, width) = self.ops, self.shape
        drawn = [self.draw(i) for i in range(which.start, which.stop)]
        grids: Any = ops.asarray(np.stack([grid for grid, _, _ in drawn]))
        # upsampling is one matrix per axis: only two thin factors are copied to the device
        down: Any = ops.asarray(np.stack([self._down[top : top + height] for _, top, _ in drawn]))
        thin = np.stack([self._across[left : left + width].T for _, _, left in drawn])
        across: Any = ops.asarray(np.repeat(thin, channels, axis=2))
        return ops.matmul(ops.matmul(down, grids), across)

    def after(self, first: int) -> Masks[A]:
        """Return the masks from number `first` on."""
        return lambda which, channels=1: self(slice(first + which.start, first + which.stop), channels)

    def draw(self, index: int) -> tuple[np.ndarray, int, int]:
        """Return mask `index`: its grid (cells, cells) of zeros and ones, and its offset down and to the right."""
        random = np.random.default_rng([self.seed, index])
        grid = (random.random((self.cells, self.cells)) < self.probability).astype(np.float64)
        top, left = (int(random.integers(step)) for step in self.steps)
        return grid, top, left


class OrthogonalGrids(RandomGrids[A]):
    """RISE's masks for probability ½, drawn in blocks in which no cells are correlated.

    The rows of a block are those of a Hadamard matrix of Sylvester's type, whose columns are assigned to cells in
    random order and with random signs, followed by their complements. In a block each cell is visible in half of the
    masks, each two cells together in a quarter, each three in an eighth: an orthogonal array of strength three
    (Hedayat, Sloane and Stufken, 1999). The effects of other cells, alone or in pairs, cancel exactly. All masks of a
    block have the same offset. Each single mask has the distribution of :class:`RandomGrids`: estimates stay unbiased.
    Block b is drawn from ``numpy.random.default_rng([seed, b])``.
    """

    def __init__(self, ops: Ops[A], shape: tuple[int, int], cells: int, seed: int) -> None:
        super().__init__(ops, shape, cells, 0.5, seed)
        self._half = 1 << (cells * cells).bit_length()
        self.block = 2 * self._half
        """Number of masks of a block."""
        self._drawn: tuple[int, Any] = (-1, None)

    def draw(self, index: int) -> tuple[np.ndarray, int, int]:
        """See :class:`RandomGrids`."""
        number, row = divmod(index, self.block)
        if self._drawn[0] != number:
            self._drawn = number, self._block(np.random.default_rng([self.seed, number]))
        columns, flipped, orders, (top, left) = self._drawn[1]
        complement, place = divmod(row, self._half)
        visible = _parity(orders[complement][place] & columns) ^ flipped ^ complement
        return visible.reshape(self.cells, self.cells).astype(np.float64), top, left

    def _block(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[np.ndarray], list[int]]:
        """Return the column and the flip (0 or 1) of each cell, the order of rows in both halves, and the offset."""
        # not column 0, which is constant
        columns = 1 + random.permutation(self._half - 1)[: self.cells**2]
        flipped = random.integers(2, size=self.cells**2)
        orders = [random.permutation(self._half) for _ in range(2)]
        return columns, flipped, orders, [int(random.integers(step)) for step in self.steps]


def _parity(numbers: np.ndarray) -> np.ndarray:
    """Return 1 where the number of set bits is odd; the entries of Sylvester's matrix are these of row & column."""
    for shift in (32, 16, 8, 4, 2, 1):
        numbers = numbers ^ (numbers >> shift)
    return numbers & 1


def enlarging(size: int, to: int) -> np.ndarray:
    """Return the matrix (to, size) that upsamples one axis bilinearly, mirrored at the border as in RISE's own code."""
    from skimage.transform import resize

    return np.asarray(resize(np.eye(size), (to, size), order=1, anti_aliasing=False))
