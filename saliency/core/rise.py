"""RISE: the correlation of the score with random masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency.core.method import LARGEST_SEED, Method, parameter
from saliency.model.protocols import Ops
from saliency.session.baselines import Baseline
from saliency.session.masks import Masked, RandomGrids
from saliency.session.samples import spans
from saliency.session.session import Session


@dataclass(eq=False, repr=False)
class Rise(Method):
    """The mean of random masks, each weighted by the score of the image seen through it (arXiv:1806.07421, eq. 6).

    Centred, it is the paper's map for the score minus its mean, with the same order of pixels: the covariance of the
    score with each pixel of the mask, divided by the probability of showing it. Needs scores only. Cost: `samples`
    forward passes.
    """

    id = "rise"
    title = "RISE"
    paper = "arXiv:1806.07421"
    family = "perturbation"
    formula = r"M = \frac{1}{p} \operatorname{Cov}\bigl(f(x \odot m), m\bigr)"
    advice = (
        "The first choice for a model that returns only scores: smooth, needs no segments, strong in deletion tests. "
        "It needs thousands of images, and its resolution is limited to the size of the cells."
    )
    sign = "positive"

    samples: int = parameter(4000, "Number of random masks", low=2, high=1_000_000)
    cells: int = parameter(7, "Cells per side of the random grids", low=1, high=1000)
    probability: float = parameter(0.5, "Probability that a cell is visible", low=0.01, high=0.99)
    baseline: Baseline = parameter(0.0, "Replacement of hidden pixels; several alternate")
    centred: bool = parameter(True, "Subtract the mean score: less noise, the same order of pixels")
    seed: int = parameter(0, "Random seed", low=0, high=LARGEST_SEED)

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        ops = session.ops
        height, width = (int(n) for n in images.shape[1:3])
        masks = RandomGrids(ops, (height, width), self.cells, self.probability, self.seed)
        samples = Masked(ops, images, session.baselines(self.baseline, images), masks, self.samples)
        tallies: list[Tally] = []
        for rows, scores in session.scores(samples):
            for image, which in spans(rows, samples.each):
                first = image * samples.each + which.start - rows.start
                part = scores[:, first : first + which.stop - which.start]
                if which.start == 0:
                    tallies.append(Tally(ops, part[:, :1]))
                tallies[-1].add(part, ops.reshape(masks(which), (which.stop - which.start, height * width)))
            if session.streaming or rows.stop == len(samples):
                found = [each.centred() if self.centred else each.plain() for each in tallies]
                mask, error = (
                    ops.reshape(ops.concat([pair[i][:, None] for pair in found], 1), (-1, len(found), height, width))
                    for i in (0, 1)
                )
                session.details["standard_error"] = ops.tohost(error) / self.probability
                yield mask / self.probability

    def cost(self, shape: tuple[int, ...]) -> int:
        return shape[0] * self.samples


class Tally:
    """Running moments of scores f and masks M: means of f^a M^b for a, b = 0, 1, 2.

    Args:
        origin: (k, 1), a score that is subtracted, because differences of large squares are inaccurate in float32.
    """

    def __init__(self, ops: Ops[Any], origin: Any) -> None:
        self.ops, self.origin, self.count = ops, origin, 0
        self._sums: Any = None

    def add(self, scores: Any, masks: Any) -> None:
        """Add scores (k, n) and their masks (n, H * W)."""
        ops, away = self.ops, scores - self.origin
        ones = ops.asarray(np.ones((1, int(masks.shape[0]))))
        powers = ops.concat([ones, away, away * away], 0)
        sums = [
            ops.reshape(ops.sum(powers, 1), (-1, 1)),
            ops.matmul(powers, masks),
            ops.matmul(powers, masks * masks),
        ]
        self._sums = sums if self._sums is None else [one + other for one, other in zip(self._sums, sums, strict=True)]
        self.count += int(masks.shape[0])

    def centred(self) -> tuple[Any, Any]:
        """Return the covariance of f with M, (k, H * W), and its standard error."""
        (_, f, ff), (m, fm, ffm), (mm, fmm, ffmm) = self._means()
        n = self.count
        covariance = fm - f * m
        # the mean of ((f - f̄)(M - M̄))²
        fourth = ffmm - 2 * m * ffm + m * m * ff - 2 * f * (fmm - 2 * m * fm + m * m * f) + f * f * (mm - m * m)
        return covariance * (n / max(n - 1, 1)), self._error(fourth - covariance * covariance)

    def plain(self) -> tuple[Any, Any]:
        """Return the mean of f * M, (k, H * W), and its standard error."""
        _, (m, fm, _), (mm, fmm, ffmm) = self._means()
        r = self.origin
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
