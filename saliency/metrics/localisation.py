"""Base of metrics that compare a mask with the pixels of an object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from saliency.metrics.case import Case
from saliency.metrics.metric import CHANNELS, SIGNS, Attribution, Measurement, Metric, parameter


@dataclass(eq=False, repr=False)
class Localisation(Metric):
    """A metric of the agreement between a mask and the pixels of the object. The model is not called.

    It rewards agreement with people. A model that is right for a wrong reason has true masks that score low.
    """

    sign: str = parameter("own", "Pooling of signs", choices=SIGNS)
    channels: str = parameter("sum", "Pooling of channels", choices=CHANNELS)

    family: ClassVar[str] = "localisation"
    needs_truth: ClassVar[bool] = True
    needs_values: ClassVar[bool] = False
    pairs: ClassVar[int] = 10

    def measure(self, case: Case[Any], mask: Attribution) -> Measurement:
        assert case.truth is not None  # `missing` has checked it
        return self.compare(mask, case.truth)

    def compare(self, mask: Attribution, truth: np.ndarray) -> Measurement:
        """Compare a finite mask with the pixels of the object, bool (H, W), some of them True and some False."""
        raise NotImplementedError

    def ranked(self, mask: Attribution) -> np.ndarray:
        """Return the salience by which pixels are ordered, (H, W)."""
        return mask.ranked(self.sign, self.channels)


class Thresholds(NamedTuple):
    """The pixels at or above each distinct value of a mask, from the highest value to the lowest."""

    pixels: np.ndarray
    """Their number, (n,); the last is that of all pixels."""
    hits: np.ndarray
    """How many of them belong to the object, (n,)."""


def thresholds(salience: np.ndarray, truth: np.ndarray) -> Thresholds:
    """Return the numbers of pixels at or above each distinct value; tied pixels are never separated."""
    order = np.argsort(-salience, axis=None)
    values = salience.ravel()[order]
    ends = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    return Thresholds(ends + 1, np.cumsum(truth.ravel()[order])[ends])


def expected_hits(salience: np.ndarray, truth: np.ndarray, count: int) -> float:
    """Return the expected number of the object's pixels among the `count` most salient ones, over all orders of ties.

    Of the pixels that are tied at the last value, each is among them with the same probability.
    """
    last = np.partition(salience, salience.size - count, axis=None)[salience.size - count]
    above, tied = salience > last, salience == last
    share = (count - np.count_nonzero(above)) / np.count_nonzero(tied)
    return float(np.count_nonzero(truth & above) + share * np.count_nonzero(truth & tied))
