"""Perturbed copies of a batch of images, built only when sliced.

All are image-major: of B images with n copies each, rows 0..n-1 belong to the first image. A slice of the same rows
gives the same copies whatever the batch size, so that a mask depends on neither batch size nor retries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from saliency.model.protocols import Ops

A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)


class Samples(Protocol[A_co]):
    """B * `each` perturbed images: `each` copies of each of B images."""

    each: int
    shape: tuple[int, ...]
    """Shape of one image, without the batch axis."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice) -> A_co: ...


Unchanged = Iterator[tuple[Any, int, int]]
"""For each row of a batch that holds an image or a baseline as it is: the array that holds it, its row there, and its
row in the batch."""


def spans(rows: slice, each: int) -> Iterator[tuple[int, slice]]:
    """Yield the images that a range of rows covers, with the copies of each: (image, slice into its copies)."""
    row = rows.start
    while row < rows.stop:
        image, first = divmod(row, each)
        stop = min(each, first + rows.stop - row)
        yield image, slice(first, stop)
        row += stop - first


class PerImage(Generic[A]):
    """Samples built image by image."""

    def __init__(self, ops: Ops[A], images: Any, each: int) -> None:
        self.ops, self.images, self.each = ops, images, each
        self.count, *shape = (int(n) for n in images.shape)
        self.shape = tuple(shape)

    def __len__(self) -> int:
        return self.count * self.each

    def __getitem__(self, rows: slice) -> A:
        parts = [self.copies(image, which) for image, which in spans(rows, self.each)]
        return parts[0] if len(parts) == 1 else self.ops.concat(parts)

    def copies(self, image: int, which: slice) -> A:
        """Return copies `which` of one image, (n, H, W, C)."""
        raise NotImplementedError

    def unchanged(self, rows: slice) -> Unchanged:
        """Yield the rows that are not perturbed: none by default."""
        yield from ()


class Originals(PerImage[A]):
    """The images themselves."""

    def __init__(self, ops: Ops[A], images: Any) -> None:
        super().__init__(ops, images, each=1)

    def __getitem__(self, rows: slice) -> Any:
        return self.images[rows]

    def unchanged(self, rows: slice) -> Unchanged:
        """See :class:`PerImage`: all of them."""
        for at, row in enumerate(range(rows.start, rows.stop)):
            yield self.images, row, at


class StraightPath(PerImage[A]):
    """baseline + alpha * (image - baseline), for each alpha.

    Args:
        baselines: (B, H, W, C), or (1, H, W, C) for all.
        images: (B, H, W, C).
        alphas: (n,), each in [0, 1].
    """

    def __init__(self, ops: Ops[A], baselines: Any, images: Any, alphas: np.ndarray) -> None:
        super().__init__(ops, images, each=len(alphas))
        self.baselines, self.alphas = baselines, alphas
        self.difference = images - baselines

    def copies(self, image: int, which: slice) -> Any:
        step = self.difference[image : image + 1]
        return own(self.baselines, image) + column(self.ops, self.alphas[which], step) * step

    def unchanged(self, rows: slice) -> Unchanged:
        """See :class:`PerImage`: the two ends of the path."""
        for row in range(rows.start, rows.stop):
            image, copy = divmod(row, self.each)
            if self.alphas[copy] == 1:
                yield self.images, image, row - rows.start
            elif self.alphas[copy] == 0:
                yield self.baselines, image if len(self.baselines) > 1 else 0, row - rows.start


class Noisy(PerImage[A]):
    """image + stdev * standard normal noise.

    Copy i has the same noise in every image of the batch.

    Args:
        images: (B, H, W, C).
        stdevs: (B,), or (B, H, W, C), in the images' own units.
        each: number of copies of each image.
        seed: the noise of copy i is drawn from ``numpy.random.default_rng([seed, i])``.
    """

    def __init__(self, ops: Ops[A], images: Any, stdevs: np.ndarray, each: int, seed: int) -> None:
        super().__init__(ops, images, each)
        self.stdevs, self.seed = stdevs, seed

    def copies(self, image: int, which: slice) -> Any:
        draws = [
            np.random.default_rng([self.seed, i]).standard_normal(self.shape, np.float32)
            for i in range(which.start, which.stop)
        ]
        return self.images[image : image + 1] + self.ops.asarray(self.stdevs[image] * np.stack(draws))


class Draws(PerImage[A]):
    """Random points between the image, with noise added, and one of several baselines, chosen at random.

    Copy i has the same baseline, alpha and noise in every image of the batch.

    Args:
        baselines: (B, H, W, C) each, or (1, H, W, C) for all.
        images: (B, H, W, C).
        stdevs: standard deviation of the noise, (B,) or (B, H, W, C), in the images' own units.
        each: number of copies of each image.
        seed: copy i draws its baseline, alpha and noise from ``numpy.random.default_rng([seed, i])``.
    """

    def __init__(
        self, ops: Ops[A], baselines: Sequence[Any], images: Any, stdevs: np.ndarray, each: int, seed: int
    ) -> None:
        super().__init__(ops, images, each)
        self.baselines, self.stdevs, self.seed = baselines, stdevs, seed
        self._ways: dict[tuple[int, int, int], A] = {}

    def __getitem__(self, rows: slice) -> A:
        self._ways.clear()
        return super().__getitem__(rows)

    def copies(self, image: int, which: slice) -> Any:
        draws = [np.random.default_rng([self.seed, i]) for i in range(which.start, which.stop)]
        chosen = [int(draw.integers(len(self.baselines))) for draw in draws]
        alphas = np.array([draw.uniform() for draw in draws])
        starts: Any = self.ops.concat([own(self.baselines[i], image) for i in chosen])
        ends: Any = self.images[image : image + 1]
        if self.stdevs[image].any():
            noise = np.stack([draw.standard_normal(self.shape, np.float32) for draw in draws])
            ends = ends + self.ops.asarray(self.stdevs[image] * noise)
        ways: Any = ends - starts
        self._ways[image, which.start, which.stop] = ways
        return starts + column(self.ops, alphas, ways) * ways

    def ways(self, image: int, which: slice) -> A:
        """Return image minus baseline for the copies that were built last, (n, H, W, C)."""
        return self._ways[image, which.start, which.stop]


class Patches(PerImage[A]):
    """The image with one window covered, for each window.

    Args:
        images: (B, H, W, C), or (B, H, W).
        windows: (top, bottom, left, right) of each, half-open; or with (first, last) channel too.
        covers: content of the covered windows, (B, H, W, C), or (1, H, W, C) for all.
    """

    def __init__(self, ops: Ops[A], images: Any, windows: np.ndarray | Sequence[tuple[int, ...]], covers: Any) -> None:
        super().__init__(ops, images, each=len(windows))
        self.windows, self.covers = np.asarray(windows), covers

    def copies(self, image: int, which: slice) -> Any:
        ops, (height, width), deep = self.ops, self.shape[:2], int(np.prod(self.shape[2:]))
        top, bottom, left, right, *inside = (column.reshape(-1, 1) for column in self.windows[which].T)
        rows, columns = np.arange(height), np.arange(width)
        # two small outer factors are copied to the device, not a mask per window; channels are merged with columns,
        # because broadcasting over an axis of length three is slow
        down: Any = ops.asarray(((rows >= top) & (rows < bottom))[:, :, None])
        wide = np.repeat((columns >= left) & (columns < right), deep, axis=1)
        if inside:
            channels = np.tile(np.arange(deep), width)
            wide = wide & (channels >= inside[0]) & (channels < inside[1])
        across: Any = ops.asarray(wide[:, None])
        cover: Any = ops.reshape(own(self.covers, image), (1, height, width * deep))
        beneath: Any = ops.reshape(self.images[image : image + 1], (1, height, width * deep))
        patched: Any = ops.where((down > 0.5) & (across > 0.5), cover, beneath)
        return ops.reshape(patched, (len(top), *self.shape))


class Compared(PerImage[A]):
    """The image followed by its reference images, (n, 1 + references, H, W, C).

    Args:
        images: (B, H, W, C).
        references: the references of each copy: (B, H, W, C), or (1, H, W, C) for all.
    """

    def __init__(self, ops: Ops[A], images: Any, references: Sequence[Sequence[Any]]) -> None:
        super().__init__(ops, images, each=len(references))
        self.references = references
        self._one = self.shape
        self.shape = (1 + len(references[0]), *self.shape)

    def copies(self, image: int, which: slice) -> Any:
        rows = [
            self.ops.reshape(each, (1, 1, *self._one))
            for references in self.references[which]
            for each in (self.images[image : image + 1], *(own(each, image) for each in references))
        ]
        return self.ops.reshape(self.ops.concat(rows), (-1, *self.shape))

    def unchanged(self, rows: slice) -> Unchanged:
        """See :class:`PerImage`: the images, whose scores are those of the first of each row."""
        for at, row in enumerate(range(rows.start, rows.stop)):
            yield self.images, row // self.each, at

    def compared(self, rows: slice) -> Iterator[Unchanged]:
        """Yield the same for each of the references."""

        def of(place: int) -> Unchanged:
            for at, row in enumerate(range(rows.start, rows.stop)):
                image, copy = divmod(row, self.each)
                reference = self.references[copy][place]
                yield reference, image if len(reference) > 1 else 0, at

        yield from map(of, range(len(self.references[0])))

    def difference(self, image: int, which: slice) -> Any:
        """Return one image minus the first reference of each of its copies, (n, H, W, C)."""
        references = [own(first, image) for first, *_ in self.references[which]]
        return self.images[image : image + 1] - self.ops.concat(references)


def own(arrays: Any, image: int) -> Any:
    """Return row `image` of (B, ...), or the only row of (1, ...), as (1, ...)."""
    return arrays[image : image + 1] if len(arrays) > 1 else arrays


def column(ops: Ops[A], values: np.ndarray, like: Any) -> Any:
    """Return (n,) as (n, 1, 1, ...), for broadcasting against images."""
    return ops.asarray(values.reshape(-1, *(1,) * (len(like.shape) - 1)))


def evenly(order: int) -> np.ndarray:
    """Return 0..order-1 in bit-reversed order: any prefix of it is spread evenly over the whole range.

    Early partial results of a path are therefore representative.
    """
    bits = max(1, (order - 1).bit_length())
    reversed_ = (int(format(i, f"0{bits}b")[::-1], 2) for i in range(1 << bits))
    return np.array([i for i in reversed_ if i < order])
