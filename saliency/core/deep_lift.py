"""Differences from a baseline, handed back operator by operator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from saliency.core.method import Method, parameter
from saliency.model.protocols import Ops, Rewirable
from saliency.rules import Composite, Operator, summed
from saliency.session.baselines import Baseline, baseline_count
from saliency.session.samples import Compared
from saliency.session.session import Session

TIES = 1e-3
"""Values tie where they differ by less than this share of their change."""


def rescale(layer: Operator, x: Any, multiplier: Any) -> Any:
    """Change of the output by change of the input (arXiv:1704.02685, equations 11 and 12)."""
    (reference,) = layer.references
    y, pullback = layer(x)
    rise = y - layer(reference)[0]
    return _divided(layer.ops, multiplier * rise, x - reference, pullback(multiplier), near=_near(layer, x))


def rescale_max(layer: Operator, x: Any, multiplier: Any) -> Any:
    """Rescale of a maximum: its rise is owed to the image's winner, its fall to the reference's.

    A black baseline makes ties everywhere, which rounding would decide, and so the size of a batch: among those that
    nearly tie, the one wins that changed most, by its place in the picture where they changed alike.
    """
    (reference,) = layer.references
    ops = layer.ops
    change = ops.where(x != reference, x - reference, 0.0)  # pictures may be padded with -inf
    (y, pullback), (before, _) = layer(x), layer(reference)
    favour = change * ops.asarray(TIES * (1 + _places(tuple(int(n) for n in x.shape))))
    # whoever wins by that has changed, by half of the maximum's change or more: nothing is lost
    (_, pullback_rise), (_, pullback_fall) = layer(x + favour), layer(reference - favour)
    rise, fall = ops.maximum(y - before, 0.0), -ops.maximum(before - y, 0.0)
    owed = pullback_rise(multiplier * rise) + pullback_fall(multiplier * fall)
    return _divided(ops, owed, x - reference, pullback(multiplier), near=_near(layer, x))


@lru_cache(64)
def _places(shape: tuple[int, ...]) -> np.ndarray:
    """A number in [0, 1] for each place of an array, others for neighbours; (1, ...), of all but the first axis.

    Each axis has the same part in it, so that a picture's places have the same numbers in every layout.
    """
    axes = np.meshgrid(*(np.arange(size) for size in shape[1:]), indexing="ij", sparse=True)
    parts = [axis * (0.618 + 0.414 * axis) % 1 for axis in axes]
    return np.asarray(sum(parts, np.zeros((1, *shape[1:]))) / max(len(parts), 1))


def rescale_softmax(layer: Operator, x: Any, multiplier: Any) -> Any:
    """Rescale of a softmax as what it is: exponentials, a sum, and their quotient, so that nothing is lost.

    A softmax of image and reference side by side gives both exponentials by one common factor. The quotient is a
    product with 1 / sum, whose change is shared in halves as :func:`bilinear` does.
    """
    (reference,) = layer.references
    ops, count = layer.ops, int(x.shape[layer.axis])
    both, _ = layer(ops.concat([x, reference], layer.axis))
    here, there = _halves(both, layer.axis, count)
    ones = here * 0.0 + 1.0
    total, total_before = (summed(ops, each, layer.axis) * ones for each in (here, there))
    shared = summed(ops, multiplier * (here + there) / 2, layer.axis) * ones
    by_exponential = multiplier * (1 / total + 1 / total_before) / 2 - shared / (total * total_before)
    slope = _divided(ops, here - there, x - reference, (here + there) / 2, near=_near(layer, x))
    return by_exponential * slope


def bilinear(layer: Operator, x: Any, multiplier: Any) -> Any:
    """A product's change, shared by the mean of what each factor does first and second: its Shapley value."""
    (reference,) = layer.references
    middle = tuple((here + there) / 2 for here, there in zip(x, reference, strict=True))
    _, pullback = layer(middle)
    return pullback(multiplier)


def _near(layer: Operator, x: Any) -> Any:
    """Where image and reference are so near that their difference says nothing."""
    (reference,) = layer.references
    ops = layer.ops
    return (x == reference) | (ops.abs(x - reference) <= 1e-6 * (ops.abs(x) + ops.abs(reference)))


def _divided(ops: Ops[Any], change: Any, by: Any, otherwise: Any, near: Any) -> Any:
    """Change / by; `otherwise` where the two are too near."""
    return ops.where(near, otherwise, change / ops.where(near, 0.0 * otherwise + 1.0, by))


def _halves(array: Any, axis: int, count: int) -> tuple[Any, Any]:
    """The first `count` entries of an axis, and the rest."""
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
    """What each value adds to f(image) - f(baseline), by the rescale rule (arXiv:1704.02685, equations 11 and 12).

    With several baselines their mean (DeepLiftShap, arXiv:1705.07874). Sums to f(image) minus the mean of f at the
    baselines, but for operators that a note names. Non-linearities, maxima, softmax, products and norms are all
    compared with themselves on the baseline; nothing depends on the rest of a batch. One forward pass of the image, one
    of the baseline and one backward pass a baseline.
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
        "Adds up to the change of the score at the price of two forward passes, and sees through saturation: a fast "
        "stand-in for Integrated Gradients. What looks like the baseline gets nothing. On deep trained networks large "
        "values of opposite sign stand side by side, and the map is a speckle: sum it over regions with "
        "XRAI(base_attribution=DeepLift())."
    )

    baseline: Baseline = parameter("black", "what the image is compared with; several are averaged")

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        baselines = session.baselines(self.baseline, images)
        pairs = Compared(session.ops, images, [(each,) for each in baselines])
        for total, seen in session.summed_gradients(pairs, np.ones(pairs.each), pairs.difference, DEEP_LIFT):
            yield total / seen

    def cost(self, shape: tuple[int, ...]) -> int:
        return shape[0] * baseline_count(self.baseline)
