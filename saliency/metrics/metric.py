"""Base of all metrics: a dataclass that measures one mask of one image."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from saliency.core.parameters import Parameters, parameter
from saliency.errors import BadImage
from saliency.metrics.case import Case
from saliency.metrics.orders import at_random, cells, coarse
from saliency.model.protocols import Model, capability, lacking
from saliency.results.explanation import Explanation
from saliency.results.layer_explanation import LayerExplanation

__all__ = ["CHANNELS", "FAMILIES", "SIGNS", "Attribution", "Band", "Curve", "Measurement", "Metric"]
__all__ += ["band_of", "in_words", "parameter", "random_maps", "undefined"]

FAMILIES = ("perturbation", "robustness", "localisation", "sanity", "complexity", "intervention")
"""Families of metrics, in display order. Interventions need a scene of a test-bed, see :mod:`saliency.testbed`."""

SIGNS = ("own", "signed", "positive", "absolute")
"""Poolings of signs: as the mask's method shows it, its values, its positive part, or its absolute values."""

CHANNELS = ("sum", "max")
"""Poolings of channels, after that of signs."""


class Curve(NamedTuple):
    """The values from which a measurement is computed."""

    at: np.ndarray
    """(n,): the share of removed pixels, the share of information, or the index of a layer."""
    values: np.ndarray
    """(n,)."""
    names: tuple[str, ...] = ()
    """A name for each point, such as the layer's; or none."""


class Band(NamedTuple):
    """The same metric of random maps of this image, as an interval; see :func:`band_of`."""

    mean: float
    low: float
    high: float
    maps: int
    """The number of random maps."""
    curves: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    """For each curve where it is measured, and the ends of its interval there, each (n,)."""


class Measurement(NamedTuple):
    """One metric of one mask."""

    value: float
    """NaN where it is undefined; then `reason` says why."""
    reason: str = ""
    curves: Mapping[str, Curve] = {}
    """The curves that the value is computed from, by name."""
    details: Mapping[str, float] = {}
    """Other numbers from the same model calls, by name."""
    band: Band | None = None
    """The same metric of random maps; None where it is undefined or was not computed."""
    images: int = 0
    """Number of images evaluated for this mask, without the band and without images that another metric shares."""


def undefined(reason: str) -> Measurement:
    """Return a measurement without a value."""
    return Measurement(float("nan"), reason)


def in_words(value: float, *, percent: bool) -> str:
    """Return a value of the model in words.

    Args:
        value: the value.
        percent: whether it is a probability.
    """
    if not percent:
        return f"{value:.3g}"
    return f"{100 * value:.0f} %" if value >= 0.01 or value == 0 else f"{100 * value:.1f} %"


@dataclass(frozen=True, eq=False)
class Attribution:
    """A mask to be measured.

    Args:
        values: (H, W) or (H, W, C), larger where more salient as `sign` says.
        sign: how its method shows it: "absolute", "positive" or "signed".
        ranking: (H, W), larger where more salient: of methods that rank regions; by default that of the values.
        gap: completeness error as a share of the scores' difference; None where the method claims no completeness.
    """

    values: np.ndarray
    sign: str = "signed"
    ranking: np.ndarray | None = None
    gap: float | None = None

    @classmethod
    def of(cls, explanation: Explanation) -> Attribution:
        """Return the mask of an explanation, with the order of its regions if it has some.

        Raises:
            BadImage: it is over the values of a layer.
        """
        if isinstance(explanation, LayerExplanation):
            raise BadImage(
                f"The mask is over the values of the layer {explanation.layer!r} and orders no pixels, so it cannot be "
                "measured on the image. Explain the image with the same method, without at=."
            )
        regions = explanation.regions
        ranking = None if regions is None else -regions.ranks.astype(np.float64)
        return cls(explanation.mask, explanation.sign, ranking, explanation.gap_share)

    @cached_property
    def digest(self) -> bytes:
        """A hash of the values."""
        return hashlib.blake2b(np.ascontiguousarray(self.values).tobytes(), digest_size=16).digest()

    def pooled(self, sign: str = "own", channels: str = "sum") -> np.ndarray:
        """Return the salience of each pixel, (H, W) float64.

        Args:
            sign: one of :data:`SIGNS`.
            channels: one of :data:`CHANNELS`.
        """
        values = self.values.astype(np.float64)
        if (self.sign if sign == "own" else sign) == "absolute":
            values = np.abs(values)
        if values.ndim == 3:
            values = values.sum(2) if channels == "sum" else values.max(2)
        return np.maximum(values, 0) if sign == "positive" else values

    def ranked(self, sign: str = "own", channels: str = "sum") -> np.ndarray:
        """Return the salience by which pixels are ordered, (H, W) float64; see :meth:`pooled`."""
        if self.ranking is not None and sign == "own":
            return self.ranking.astype(np.float64)
        return self.pooled(sign, channels)


@dataclass(eq=False, repr=False)
class Metric(Parameters):
    """A metric: a dataclass whose fields are its conventions, called with a case and a mask.

    Two values may be compared only if all fields are equal.
    """

    title: ClassVar[str] = ""
    """Name for display."""
    paper: ClassVar[str] = ""
    """arXiv number or short reference."""
    family: ClassVar[str] = ""
    """Its family, one of :data:`FAMILIES`."""
    needs: ClassVar[Any] = Model
    """The capability it needs of the model."""
    needs_truth: ClassVar[bool] = False
    """Whether it compares with the pixels of the object."""
    needs_method: ClassVar[bool] = False
    """Whether it runs the method again, on other images, targets or weights."""
    needs_values: ClassVar[bool] = True
    """Whether it needs a mask that is not constant."""
    pairs: ClassVar[int] = 5
    """Number of random maps, each with its negative, that give the band; 0 where random maps are no reference."""
    band_is_range: ClassVar[bool] = False
    """Whether the band is the range of the random maps; else an interval by Student's t, see :func:`band_of`."""
    higher_is_better: ClassVar[bool | None] = True
    """None where neither is better."""
    advice: ClassVar[str] = ""
    """What high and low values mean, and what they do not."""

    def __call__(self, case: Case[Any], mask: Attribution, *, band: bool = True) -> Measurement:
        """Measure a mask.

        Args:
            case: the model with the image and the target.
            mask: at the resolution of the model's input.
            band: whether to measure random maps too. They are measured once for each case.

        Returns:
            the value; NaN with the reason where it is undefined.
        """
        if reason := self.missing(case) or unfit(mask, case.shape, constant=not self.needs_values):
            return undefined(reason)
        before = case.images
        found = self.measure(case, mask)._replace(images=case.images - before)
        return found._replace(band=self.band(case)) if band and self.pairs and not found.reason else found

    def measure(self, case: Case[Any], mask: Attribution) -> Measurement:
        """Measure a finite mask of the right shape; the model supports what the metric needs."""
        raise NotImplementedError

    def band(self, case: Case[Any]) -> Band | None:
        """Return the interval of random maps; computed once for each case, and counted apart."""

        def compute() -> Band | None:
            before = case.images
            found = band_of(self.at_random(case), bounded=self.bounded(case), is_range=self.band_is_range)
            case.images_of_bands += case.images - before
            return found

        return case.cached(("band", self.key()), compute)

    def at_random(self, case: Case[Any]) -> Sequence[Measurement]:
        """Measure random maps of the case."""
        return [self.measure(case, each) for each in random_maps(case.shape, self.pairs, case.seed)]

    def bounded(self, case: Case[Any]) -> bool:
        """Return whether curves stay within 0–1."""
        return False

    def missing(self, case: Case[Any]) -> str:
        """Return why the metric cannot be computed for this case; empty if it can."""
        if (why := lacking(case.model, self.needs)) is not None:
            return f"needs {capability(self.needs)}: {why}"
        if self.needs_truth:
            if case.truth is None:
                return "needs the pixels of the object: pass masks"
            if not case.truth.any():
                return "the mask of the object is empty"
            if case.truth.all():
                return "the mask of the object covers the whole image"
        if self.needs_method and case.runner is None:
            return "needs the method that created the mask"
        return ""

    def cost(self, shape: tuple[int, int]) -> int:
        """Return the number of images evaluated for one mask (H, W), without the random band and the method's runs."""
        return 0

    def runs(self) -> int:
        """Return the number of masks that the method computes again for one mask; at least, if it is not known."""
        return 0


def unfit(mask: Attribution, shape: tuple[int, int], *, constant: bool = False) -> str:
    """Return why a mask cannot be measured; empty if it can.

    Args:
        mask: the mask.
        shape: height and width of the image.
        constant: whether a constant mask can be measured.
    """
    if mask.values.shape[:2] != shape or mask.values.ndim not in (2, 3):
        return f"the mask {mask.values.shape} does not have the height and width {shape} of the model's input"
    if not np.isfinite(mask.values).all():
        return "the mask contains NaN or infinite values"
    pooled = mask.ranked()
    if not constant and np.ptp(pooled) == 0:
        return "the mask is constant: it ranks no pixel before another"
    return ""


def random_maps(shape: tuple[int, int], pairs: int, seed: int) -> list[Attribution]:
    """Return random maps, each followed by its negative.

    They are constant within cells of a fourteenth of the shorter side, and as smooth as most maps, see
    :func:`saliency.metrics.orders.random_map`. Independent pixels or cells would be a reference that any smooth map
    exceeds or misses by chance, because neighbours that are removed together have more effect.
    """
    groups = cells(shape, coarse(shape))
    orders = [at_random(shape, groups, seed + i) for i in range(pairs)]
    centred = [(len(each) - 1) / 2 - each.ranks for each in orders]
    return [Attribution(values) for each in centred for values in (each, -each)]


def band_of(found: Sequence[Measurement], *, bounded: bool = False, is_range: bool = False) -> Band | None:
    """Return the interval of random maps, from measurements of some of them.

    Either their range, which needs no distribution: another random map exceeds n maps and their negatives with a
    probability of 1 / (2n + 2), which is 2.5 % for 19. Or a prediction interval that contains 95 % by Student's t, with
    one degree of freedom for each pair of a map and its negative.

    Args:
        found: the measurements.
        bounded: whether the ends of curves are clipped to 0–1.
        is_range: whether it is their range.
    """
    interval = _range if is_range else _interval
    values = np.array([each.value for each in found])
    if not np.isfinite(values).all() or len(values) < 2:
        return None
    mean, low, high = (float(each) for each in interval(values))
    curves = {}
    for name in found[0].curves:
        _, lower, upper = interval(np.stack([each.curves[name].values for each in found]))
        ends = (np.clip(lower, 0, 1), np.clip(upper, 0, 1)) if bounded else (lower, upper)
        curves[name] = found[0].curves[name].at, *ends
    return Band(mean, low, high, len(values), curves)


def _range(values: np.ndarray) -> tuple[Any, Any, Any]:
    """Return the mean over the first axis, and the smallest and the largest value."""
    return values.mean(0), values.min(0), values.max(0)


def _interval(values: np.ndarray) -> tuple[Any, Any, Any]:
    """Return the mean over the first axis, and the ends of the prediction interval."""
    from scipy.special import stdtrit  # scipy.stats takes half a second to import

    mean = values.mean(0)
    reach = stdtrit(len(values) // 2, 0.975) * values.std(0, ddof=1) * np.sqrt(1 + 1 / len(values))
    return mean, mean - reach, mean + reach
