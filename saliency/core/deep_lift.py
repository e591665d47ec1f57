"""DeepLIFT: differences from a baseline, propagated back operator by operator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from saliency.core.method import Method, parameter
from saliency.model.protocols import Rewirable
from saliency.rules import Composite, Operator, summed
from saliency.session.baselines import Baseline, baseline_count
from saliency.session.samples import Compared
from saliency.session.session import Session

TIES = 1e-3
"""Values count as equal if they differ by less than this share of their change."""


def rescale(layer: Operator, x: Any, multiplier: Any) -> Any:
    """Return the change of the output divided by the change of the input (arXiv:1704.02685, eq. 11 and 12)."""
    (reference,) = layer.references
    y, pullback = layer(x)
    rise = y - layer(reference)[0]
    rise *= multiplier
    return _divided(layer, rise, pullback(multiplier), x)


def rescale_max(layer: Operator, x: Any, multiplier: Any) -> Any:
    """Apply the rescale rule to a maximum: a rise is attributed to the image's maximum, a fall to the reference's.

    A black baseline makes many values equal, which rounding, and so the batch size, would decide. Among nearly equal
    values, the one that changed most is used; among equal changes, its position in the picture decides.
    """
    (reference,) = layer.references
    ops = layer.ops
    change = ops.where(x != reference, x - reference, 0.0)  # pictures may be padded with -inf
    (y, pullback), (before, _) = layer(x), layer(reference)
    favour = change * ops.asarray(TIES * (1 + _places(tuple(int(n) for n in x.shape))))
    # the value chosen this way has changed by at least half of the maximum's change: no contribution is lost
    (_, pullback_rise), (_, pullback_fall) = layer(x + favour), layer(reference - favour)
    rise, fall = ops.maximum(y - before, 0.0), -ops.maximum(before - y, 0.0)
    owed = pullback_rise(multiplier * rise) + pullback_fall(multiplier * fall)
    return _divided(layer, owed, pullback(multiplier), x)


@lru_cache(64)
def _places(shape: tuple[int, ...]) -> np.ndarray:
    """Return a number in [0, 1] per position of an array, different for neighbours; (1, ...), without the first axis.

    All axes contribute equally, so that the numbers do not depend on the layout of a picture.
    """
    axes = np.meshgrid(*(np.arange(size) for size in shape[1:]), indexing="ij", sparse=True)
    parts = [axis * (0.618 + 0.414 * axis) % 1 for axis in axes]
    return np.asarray(sum(parts, np.zeros((1, *shape[1:]))) / max(len(parts), 1))


def rescale_softmax(layer: Operator, x: Any, multiplier: Any) -> Any:
    """Apply the rescale rule to a softmax as exponentials, a sum and a quotient, so that no contribution is lost.

    One softmax over image and reference together gives both exponentials with one common factor. The quotient is a
    product with 1 / sum, whose change is shared in halves as in :func:`bilinear`.
    """
    (reference,) = layer.references
    ops, count = layer.ops, int(x.shape[layer.axis])
    both, _ = layer(ops.concat([x, reference], layer.axis))
    here, there = _halves(both, layer.axis, count)
    ones = here * 0.0 + 1.0
    total, total_before = (summed(ops, each, layer.axis) * ones for each in (here, there))
    shared = summed(ops, multiplier * (here + there) / 2, layer.axis) * ones
    by_exponential = multiplier * (1 / total + 1 / total_before) / 2 - shared / (total * total_before)
    slope = _divided(layer, here - there, (here + there) / 2, x)
    return by_exponential * slope


def bilinear(layer: Operator, x: Any, multiplier: Any) -> Any:
    """Share a product's change by the mean over both orders of changing its factors: its Shapley value."""
    (reference,) = layer.references
    middle = tuple((here + there) / 2 for here, there in zip(x, reference, strict=True))
    _, pullback = layer(middle)
    return pullback(multiplier)


def _divided(layer: Operator, change: Any, otherwise: Any, x: Any) -> Any:
    """Return a change of the output divided by that of the input; `otherwise` where rounding dominates the latter.

    Args:
        layer: with one reference.
        change: overwritten.
        otherwise: the derivative, shaped like `change`.
        x: the input.
    """
    (reference,) = layer.references
    ops = layer.ops
    by = x - reference
    least = ops.abs(x)
    least += ops.abs(reference)
    least *= 1e-6
    # false for the difference of equal infinities, which is no number
    differs = ops.abs(by) > least
    change /= by
    return ops.where(differs, change, otherwise)


def _halves(array: Any, axis: int, count: int) -> tuple[Any, Any]:
    """Return the first `count` entries of an axis, and the rest."""
    before = (slice(None),) * axis
    return array[(*before, slice(None, count))], array[(*before, slice(count, None))]


DEEP_LIFT = Composite(
    (
        ("rectifier", rescale),
        ("activation", rescale),
        ("elementwise", rescale),
        ("max_pool", rescale_max),
        ("softmax", rescale_softmax),
        ("multiply", bilinear),
        ("matmul", bilinear),
    ),
    references=1,
    opens=True,
    exhaustive=True,
)


@dataclass(eq=False, repr=False)
class DeepLift(Method):
    """The contribution of each value to f(image) - f(baseline), by the rescale rule (arXiv:1704.02685, eq. 11 and 12).

    For several baselines, the mean (DeepLiftShap, arXiv:1705.07874). The mask sums to f(image) minus the mean of f at
    the baselines, except for operators that a note names. Non-linearities, maxima, softmax, products and norms are
    compared with their values on the baseline; the rest of the batch has no influence. Cost: one forward pass of the
    image, and one forward and one backward pass per baseline.
    """

    id = "deep_lift"
    title = "DeepLIFT"
    paper = "arXiv:1704.02685"
    needs = Rewirable
    images_only = False
    complete = True
    sign = "signed"
    family = "backward rules"
    formula = (
        r"M = m\,(x - x'),\quad m \text{ by the chain rule, with } \frac{\sigma(z) - \sigma(z')}{z - z'}"
        r" \text{ for } \sigma'(z)"
    )
    advice = (
        "Sums to the change of the score for the cost of two forward passes, and handles saturation: a fast "
        "alternative to Integrated Gradients. Pixels equal to the baseline get nothing. On deep trained networks, "
        "large values of opposite sign alternate and the map is noisy: sum it over segments with "
        "XRAI(base_attribution=DeepLift())."
    )

    baseline: Baseline = parameter("black", "Image to compare with; several are averaged")

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        baselines = session.baselines(self.baseline, images)
        pairs = Compared(session.ops, images, [(each,) for each in baselines])
        for total, seen in session.summed_gradients(pairs, np.ones(pairs.each), pairs.difference, DEEP_LIFT):
            yield total / seen

    def cost(self, shape: tuple[int, ...]) -> int:
        return shape[0] * baseline_count(self.baseline)
