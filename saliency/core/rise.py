"""RISE: the correlation of the score with random masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import lcm
from typing import Any

import numpy as np

from saliency.core.method import LARGEST_SEED, Method, parameter
from saliency.core.stopping import Stopping, growing, store_notes, until_parameter
from saliency.model.protocols import Ops
from saliency.session.baselines import Baseline, baseline_count
from saliency.session.masks import Masked, OrthogonalGrids, RandomGrids
from saliency.session.samples import own
from saliency.session.session import Session, originals

LEAST = 4
"""Number of blocks from which on their variance gives the standard errors."""

INDEPENDENT = 64
"""Number of masks in a block of independent ones."""


@dataclass(eq=False, repr=False)
class Rise(Method):
    """The mean of random masks, each weighted by the score of the image seen through it (arXiv:1806.07421, eq. 6).

    Centred, it is the paper's map for the score minus its mean, with the same order of pixels: the covariance of the
    score with each pixel of the mask, divided by the probability of showing it. With probability ½ the masks are drawn
    in blocks in which no cells are correlated (orthogonal arrays), with the same mean as independent ones and a fifth
    to a half of their variance; with another probability they are independent. Needs scores only.
    Cost: `samples` forward passes; with `until` at most as many, and those of the image and
    the baseline.
    """

    id = "rise"
    title = "RISE"
    paper = "arXiv:1806.07421"
    family = "perturbation"
    formula = r"M = \frac{1}{p} \operatorname{Cov}\bigl(f(x \odot m), m\bigr)"
    advice = (
        "The first choice for a model that returns only scores: smooth, needs no segments, strong in deletion tests. "
        "It needs a thousand images or more, and its resolution is limited to the size of the cells."
    )
    sign = "positive"

    samples: int = parameter(2048, "Number of random masks", low=2, high=1_000_000)
    cells: int = parameter(7, "Cells per side of the random grids", low=1, high=1000)
    probability: float = parameter(0.5, "Probability that a cell is visible", low=0.01, high=0.99)
    baseline: Baseline = parameter(0.0, "Replacement of hidden pixels; several alternate")
    centred: bool = parameter(True, "Subtract the mean score: less noise, the same order of pixels")
    seed: int = parameter(0, "Random seed", low=0, high=LARGEST_SEED)
    until: float | None = until_parameter()

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        covers = session.baselines(self.baseline, images)
        rises = None if self.until is None else _rises(images, covers, session)
        done: list[tuple[Any, Any]] = []
        notes: list[Sequence[Sequence[str]]] = []
        for i in range(int(images.shape[0])):
            with session.of_pictures(np.array([i])):
                stopping = None if rises is None else Stopping(self.until or 0.0, rises[:, i], self.samples, "masks")
                for found in self._of_image(images[i : i + 1], [own(c, i) for c in covers], session, stopping):
                    if session.streaming:
                        yield _joined([*done, found], session)
            done.append(found)
            notes.append([] if stopping is None else stopping.notes)
        if self.until is not None:
            store_notes(session, notes)
        yield _joined(done, session)

    def _of_image(
        self, image: Any, covers: list[Any], session: Session[Any], stopping: Stopping | None
    ) -> Iterator[tuple[Any, Any]]:
        """Yield the mask of one image (1, H, W, C) and its standard error, (k, 1, H, W) each."""
        ops, (height, width) = session.ops, (int(n) for n in image.shape[1:3])
        masks = self._masks(ops, (height, width))
        tally, first = Tally(ops, masks, self.centred), 0
        for stop in [*self._stops(masks, len(covers)), self.samples]:
            part = Masked(ops, image, covers, masks.after(first), stop - first)
            for rows, scores in session.scores(part):
                tally.add(scores, slice(first + rows.start, first + rows.stop))
                if session.streaming or rows.stop == len(part):
                    found = tally.estimate()
                    if stopping is not None and rows.stop == len(part):
                        value, error = stopping(stop, *map(ops.tohost, found))
                        found = ops.asarray(value), ops.asarray(error)
                    yield tuple(ops.reshape(each, (-1, 1, height, width)) for each in found)
            first = stop
            if stopping is not None and stopping.done:
                session.expect(stop - self.samples)
                return

    def _masks(self, ops: Ops[Any], shape: tuple[int, int]) -> RandomGrids[Any]:
        if self.probability == 0.5:
            return OrthogonalGrids(ops, shape, self.cells, self.seed)
        return RandomGrids(ops, shape, self.cells, self.probability, self.seed)

    def _stops(self, masks: RandomGrids[Any], covers: int) -> list[int]:
        """Return the numbers of masks after which the standard errors are compared: whole blocks."""
        if self.until is None:
            return []
        unit = lcm(getattr(masks, "block", INDEPENDENT), covers)
        return [unit * count for count in growing(LEAST, -(-self.samples // unit))]

    def cost(self, shape: tuple[int, ...]) -> int:
        ends = 0 if self.until is None else 1 + baseline_count(self.baseline)
        return shape[0] * (self.samples + ends)


def _rises(images: Any, covers: list[Any], session: Session[Any]) -> np.ndarray:
    """Return the scores of images (B, H, W, C) minus the mean of those of their covers, (k, B)."""
    every = [each if len(each) == len(images) else session.ops.repeat(each, len(images)) for each in covers]
    own_scores, *others = [
        np.concatenate([session.ops.tohost(part) for _, part in session.scores(originals(session, each))], 1)
        for each in (images, *every)
    ]
    rises: np.ndarray = own_scores - np.mean(others, axis=0)
    return rises


def _joined(found: list[tuple[Any, Any]], session: Session[Any]) -> Any:
    """Return the masks of the images reached, (k, b, H, W), and store their standard errors."""
    mask, error = (session.ops.concat(list(each), 1) for each in zip(*found, strict=True))
    session.details["standard_error"] = session.ops.tohost(error)
    return mask


class Tally:
    """Running moments of scores f and masks M: means of f^a M^b for a, b = 0, 1, 2.

    Args:
        masks: the masks.
        centred: whether the mean score is subtracted.
    """

    def __init__(self, ops: Ops[Any], masks: RandomGrids[Any], centred: bool) -> None:
        self.ops, self.masks, self.centred = ops, masks, centred
        self.block = masks.block if isinstance(masks, OrthogonalGrids) else None
        self.count = 0
        self.origin: Any = None
        self._sums: list[Any] = []
        self._whole: list[Any] = []
        self._before: tuple[Any, Any] = 0.0, 0.0

    def add(self, scores: Any, which: slice) -> None:
        """Add scores (k, n) of masks `which`."""
        if self.origin is None:
            # subtracted, because differences of large squares are inaccurate in float32
            self.origin = scores[:, :1]
        start = which.start
        while start < which.stop:
            stop = which.stop if self.block is None else min(which.stop, (start // self.block + 1) * self.block)
            self._add(scores[:, start - which.start : stop - which.start], slice(start, stop))
            start = stop

    def _add(self, scores: Any, which: slice) -> None:
        ops, away = self.ops, scores - self.origin
        masks: Any = self.masks(which)
        ones = ops.asarray(np.ones((1, which.stop - which.start)))
        powers = ops.concat([ones, away, away * away], 0)
        sums = [
            ops.reshape(ops.sum(powers, 1), (-1, 1)),
            ops.matmul(powers, ops.reshape(masks, (which.stop - which.start, -1))),
            ops.matmul(powers, ops.reshape(masks * masks, (which.stop - which.start, -1))),
        ]
        self._sums = [one + other for one, other in zip(self._sums, sums, strict=True)] if self._sums else sums
        self.count = which.stop
        if self.block is not None and self.count % self.block == 0:
            self._end_block()

    def _end_block(self) -> None:
        """Store the value of a whole block: the sum of (f - c)(M - m), up to a constant."""
        (f, fm), (f_before, fm_before) = self._products(), self._before
        here = fm - fm_before
        self._whole.append(self.ops.tohost(here - (f - f_before) * 0.5 if self.centred else here) / self.block)
        self._before = f, fm

    def _products(self) -> tuple[Any, Any]:
        """Return the sums of f (k, 1) and f M (k, H * W), of scores minus the origin."""
        (f, fm, _), targets = self._sums, int(self.origin.shape[0])
        return f[1 : 1 + targets], fm[1 : 1 + targets]

    def estimate(self) -> tuple[Any, Any]:
        """Return the covariance of f with M, or the mean of f M, over the probability, (k, H * W), and its error."""
        value, error = self._covariance() if self.centred else self._mean()
        if len(self._whole) >= LEAST:
            deviation = np.std(self._whole, axis=0, ddof=1) / len(self._whole) ** 0.5
            error = self.ops.asarray(deviation)
        return value / self.masks.probability, error / self.masks.probability

    def _covariance(self) -> tuple[Any, Any]:
        """Return the covariance of f with M, (k, H * W), and its standard error for independent masks."""
        (_, f, ff), (m, fm, ffm), (mm, fmm, ffmm) = self._means()
        n = self.count
        covariance = fm - f * m
        # the mean of ((f - f̄)(M - M̄))²
        fourth = ffmm - 2 * m * ffm + m * m * ff - 2 * f * (fmm - 2 * m * fm + m * m * f) + f * f * (mm - m * m)
        # in a whole block the mean of M is exact
        freedom = n if self.block is not None and n >= self.block else max(n - 1, 1)
        return covariance * (n / freedom), self._error(fourth - covariance * covariance)

    def _mean(self) -> tuple[Any, Any]:
        """Return the mean of f * M, (k, H * W), and its standard error for independent masks."""
        _, (m, fm, _), (mm, fmm, ffmm) = self._means()
        r: Any = self.origin
        mean = fm + r * m
        return mean, self._error(ffmm + 2 * r * fmm + r * r * mm - mean * mean)

    def _means(self) -> list[tuple[Any, Any, Any]]:
        """Return the means of the products of M⁰, M¹ and M² with f⁰, f¹ and f²."""
        targets = int(self.origin.shape[0])
        found = []
        for each in self._sums:
            mean = each / self.count
            found.append((mean[:1], mean[1 : 1 + targets], mean[1 + targets :]))
        return found

    def _error(self, variance: Any) -> Any:
        return self.ops.maximum(variance, 0.0) ** 0.5 / max(self.count - 1, 1) ** 0.5
