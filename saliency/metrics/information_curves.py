"""Softmax and accuracy information curves (Kapishnikov et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.errors import BadField
from saliency.metrics.case import Case
from saliency.metrics.metric import CHANNELS, SIGNS, Attribution, Curve, Measurement, Metric, parameter, undefined
from saliency.metrics.pic import area, create_blurred_image, curve, estimate_image_entropy
from saliency.threads import in_threads

SHARES = tuple(round(float(each), 4) for each in np.geomspace(0.005, 0.75, 28))
"""28 shares of the pixels, denser where few are revealed."""


@dataclass(eq=False, repr=False)
class SIC(Metric):
    """The area under probability against information as a blurred image is revealed (arXiv:1906.02825, section 4.1.2).

    PAIR's PIC, see :mod:`saliency.metrics.pic`: information is the size of the lossless WebP file; both axes are scaled
    to 0–1 between the blurred image and the image itself, and the curve is made non-decreasing.
    """

    shares: tuple[float, ...] = parameter(SHARES, "Shares of the pixels that are revealed", low=0, high=1)
    visible: float = parameter(0.01, "Share of the pixels that are always visible, at random", low=0, high=1)
    least: float = parameter(0.0, "Smallest probability of the image for which the curve is defined", low=0, high=1)
    sign: str = parameter("own", "Pooling of signs", choices=SIGNS)
    channels: str = parameter("sum", "Pooling of channels", choices=CHANNELS)
    seed: int = parameter(0, "Seed of the pixels that are always visible", low=0)

    id: ClassVar[str] = "sic"
    title: ClassVar[str] = "Softmax information curve"
    paper: ClassVar[str] = "1906.02825"
    family: ClassVar[str] = "perturbation"
    space: ClassVar[str] = "probability"
    advice: ClassVar[str] = "High: little information is enough for the target. Noise in the map costs information."

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.shares or list(self.shares) != sorted(set(self.shares)):
            raise BadField(f"{type(self).__name__}.shares must be ascending shares of the pixels, got {self.shares}.")

    def measure(self, case: Case[Any], mask: Attribution) -> Measurement:
        picture, low, span = case.cached("8 bits", lambda: eight_bits(case))
        if picture is None:
            return undefined("the model's input cannot be written as an 8-bit picture, whose information is measured")
        visible = np.random.default_rng(self.seed).random(case.shape) < self.visible
        salience = mask.ranked(self.sign, self.channels)
        hidden = [np.zeros(case.shape, bool)] + [salience >= np.quantile(salience, 1 - each) for each in self.shares]

        def reveal(shown: np.ndarray) -> tuple[np.ndarray, float]:
            image = create_blurred_image(picture, shown | visible)
            return image, estimate_image_entropy(_colours(image))

        images, sizes = zip(*in_threads(reveal, hidden), strict=True)
        values = self._values(case, mask, images, low, span)
        best, least_size, whole = case.value(self.space), sizes[0], estimate_image_entropy(_colours(picture))
        if best < self.least:
            return undefined(f"the probability {best:.2g} of the image is below {self.least:.2g}")
        if whole <= least_size or best <= values[0]:
            return undefined("blurring the image lowers neither its information nor the target's probability")
        shares = np.clip((np.array(sizes[1:]) - least_size) / (whole - least_size), 0, 1)
        heights = np.maximum.accumulate(np.clip((values[1:] - values[0]) / (best - values[0]), 0, 1))
        at, height = curve(shares, heights, 100)
        return Measurement(float(area(at, height)), curves={"information": Curve(at, height)})

    def cost(self, shape: tuple[int, int]) -> int:
        return len(self.shares) + 2

    def _values(
        self, case: Case[Any], mask: Attribution, images: Sequence[np.ndarray], low: np.ndarray, span: np.ndarray
    ) -> np.ndarray:
        def build(which: Sequence[int]) -> Any:
            return case.ops.asarray(np.stack([images[i] / 255.0 * span + low for i in which]))

        name = "revealed", self.visible, self.seed, self.sign, self.channels, mask.sign, mask.digest
        keys = [(*name, each) for each in (0.0, *self.shares)]
        return case.evaluate(keys, build, self.space)

    def bounded(self, case: Case[Any]) -> bool:
        return True


@dataclass(eq=False, repr=False)
class AIC(SIC):
    """The same as :class:`SIC`, with accuracy (0 or 1: the model decides for the target) instead of probability."""

    id: ClassVar[str] = "aic"
    title: ClassVar[str] = "Accuracy information curve"
    space: ClassVar[str] = "decision"
    advice: ClassVar[str] = "High: the model decides for the target with little information."

    def missing(self, case: Case[Any]) -> str:
        return super().missing(case) or ("" if case.has_probabilities else "needs a model of classes")


def eight_bits(case: Case[Any]) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Return the model's input as an 8-bit picture (H, W, C), its values for black, and white minus black.

    The picture is None where the input is no affine function of such a picture.
    """
    black, white = (case.ops.tohost(case.filled(name))[0].astype(np.float64) for name in ("black", "white"))
    span = white - black
    with np.errstate(all="ignore"):
        values = 255 * (case.host - black) / span
    if not np.isfinite(values).all() or values.min() < -2 or values.max() > 257 or values.shape[2] not in (1, 3):
        return None, black, span
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8), black, span


def _colours(picture: np.ndarray) -> np.ndarray:
    """Return a picture of one channel as (H, W), others unchanged."""
    return picture[..., 0] if picture.shape[2] == 1 else picture
