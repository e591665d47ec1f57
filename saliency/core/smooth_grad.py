"""SmoothGrad, SmoothGrad² and VarGrad: statistics of a method's masks on noisy copies of the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from saliency.core.gradients import GradientSaliency
from saliency.core.method import LARGEST_SEED, Method, parameter
from saliency.session.samples import Noisy, spans
from saliency.session.session import Session

TOGETHER = 32
"""Number of noisy copies passed to the inner method at once, to limit the masks in memory."""


@dataclass(eq=False, repr=False)
class SmoothGrad(Method):
    """The mean of a method's masks over noisy copies of the image (arXiv:1706.03825, section 3).

    Cost: `samples` times that of the inner method. The noise of copy i depends only on the seed and i, so that mean,
    mean square and variance are statistics of the same masks.
    """

    id = "smooth_grad"
    title = "SmoothGrad"
    paper = "arXiv:1706.03825"
    family = "noise"
    formula = r"M = \frac1n \sum_{i=1}^n m(x + \varepsilon_i),\quad \varepsilon_i \sim N(0, \sigma^2)"
    advice = (
        "Reduces the noise of any method, above all of gradients. With too much noise it explains images that are not "
        "like the model's data. A regular grid in the map comes from the gradient itself: strided convolutions use "
        "some pixels more than others. SmoothGrad² is often easier to read."
    )

    method: Method = parameter(GradientSaliency, "Method to smooth")
    samples: int = parameter(25, "Number of noisy copies", low=1, high=10_000)
    spread: float = parameter(0.15, "Standard deviation of the noise, as a share of the image's range", low=0, high=10)
    seed: int = parameter(0, "Random seed", low=0, high=LARGEST_SEED)

    @property
    def needs(self) -> type:  # depends on the method inside
        needs: type = self.method.needs
        return needs

    @property
    def images_only(self) -> bool:  # likewise
        only: bool = self.method.images_only
        return only

    @property
    def layers(self) -> tuple[str | int | None, ...]:
        return self.method.layers

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        # the three methods are statistics of the same masks
        key = "moments", self.method.key(), self.samples, self.spread, self.seed
        if (known := session.kept(key, images)) is not None:
            yield session.ops.concat([self.statistic(each) for each in known], 1)
            return
        stdevs = self.spread * session.ranges(images)
        noisy = Noisy(session.ops, images, stdevs, self.samples, self.seed)
        settled: list[Moments] = []
        for first in range(0, len(noisy), TOGETHER):
            rows = slice(first, min(first + TOGETHER, len(noisy)))
            with session.of_pictures(np.arange(rows.start, rows.stop) // self.samples):
                for masks in self.method(noisy[rows], session):
                    reached = slice(first, first + int(masks.shape[1]))
                    moments = _merged(settled, masks, reached, self.samples, session)
                    # auxiliary results of the inner method belong to noisy copies, not to the image
                    session.details.clear()
                    if session.streaming or reached.stop == len(noisy):
                        yield session.ops.concat([self.statistic(each) for each in moments], 1)
            settled = moments
        session.keep(key, images, settled)
        session.details.clear()

    def statistic(self, moments: Moments) -> Any:
        """Return the mask from the moments of the masks of one image's copies."""
        return moments.mean

    def cost(self, shape: tuple[int, ...]) -> int:
        return self.method.cost((shape[0] * self.samples, *shape[1:]))


@dataclass(eq=False, repr=False)
class SmoothGradSquared(SmoothGrad):
    """The mean square of a method's masks over noisy copies of the image (arXiv:1806.10758, section 4.2).

    Cost: `samples` times that of the inner method. Never negative.
    """

    id = "smooth_grad_squared"
    title = "SmoothGrad²"
    paper = "arXiv:1806.10758"
    family = "noise"
    formula = r"M = \frac1n \sum_{i=1}^n m(x + \varepsilon_i)^2"
    advice = "Sharper than SmoothGrad, and among the best in tests that retrain the model (ROAR). The sign is lost."
    sign = "positive"

    def statistic(self, moments: Moments) -> Any:
        return moments.variance + moments.mean * moments.mean


@dataclass(eq=False, repr=False)
class VarGrad(SmoothGrad):
    """The variance of a method's masks over noisy copies of the image (arXiv:1810.03307, section 3.1).

    Cost: `samples` times that of the inner method. Never negative, and independent of what all copies share.
    """

    id = "var_grad"
    title = "VarGrad"
    paper = "arXiv:1810.03307"
    family = "noise"
    formula = r"M = \frac1n \sum_{i=1}^n \bigl(m(x + \varepsilon_i) - \overline m\bigr)^2"
    advice = "Shows where the explanation is unstable: edges of the important parts. It contains neither sign nor size."
    sign = "positive"

    def statistic(self, moments: Moments) -> Any:
        return moments.variance


class Moments(NamedTuple):
    """The number of masks of one image, their mean and their variance, (k, 1, H, W, C) each."""

    seen: int
    mean: Any
    variance: Any

    @staticmethod
    def of(masks: Any, session: Session[Any]) -> Moments:
        """Return the moments of masks (k, n, H, W, C)."""
        count = int(masks.shape[1])
        mean: Any = session.ops.sum(masks, 1)[:, None] / count
        away = masks - mean
        variance: Any = session.ops.sum(away * away, 1)[:, None] / count
        return Moments(count, mean, variance)

    def __or__(self, other: Moments) -> Moments:
        """Return the moments of both together, without differences of large squares, inaccurate in float32."""
        count = self.seen + other.seen
        share = other.seen / count
        apart = other.mean - self.mean
        mean = self.mean + share * apart
        variance = (1 - share) * self.variance + share * other.variance + share * (1 - share) * apart * apart
        return Moments(count, mean, variance)


def _merged(settled: list[Moments], masks: Any, rows: slice, each: int, session: Session[Any]) -> list[Moments]:
    """Return each image's moments with the masks (k, n, H, W, C) of copies `rows` of all images added."""
    found = list(settled)
    for image, which in spans(rows, each):
        first = image * each + which.start - rows.start
        here = Moments.of(masks[:, first : first + which.stop - which.start], session)
        if image < len(found):
            found[image] = found[image] | here
        else:
            found.append(here)
    return found
