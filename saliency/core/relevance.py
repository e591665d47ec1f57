"""Rules of layer-wise relevance propagation: from the relevance of an output to the relevance of its inputs.

All of them preserve the sum of relevance, except for what biases and epsilon absorb. Bach et al. 2015 is
doi:10.1371/journal.pone.0130140, Montavon et al. 2017 arXiv:1512.02479, Montavon et al. 2019
doi:10.1007/978-3-030-28954-6_10, Lapuschkin et al. 2019 arXiv:1902.10178.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from saliency.model.protocols import Ops
from saliency.rules import LINEAR, Change, Composite, Operator, PassOn, Rule, summed


@dataclass(frozen=True)
class Epsilon:
    """Relevance by contribution, with the stabilizer ε where contributions cancel (LRP-ε; Bach et al. 2015, eq. 58).

    An operator with two inputs distributes relevance to both.
    """

    epsilon: float = 1e-6

    def __call__(self, layer: Operator, x: Any, relevance: Any) -> Any:
        y, pullback = layer(x)
        back = pullback(_divided(layer, relevance, y, self.epsilon))
        return tuple(map(_times, x, back)) if isinstance(x, tuple) else x * back


@dataclass(frozen=True)
class Gamma:
    """Positive contributions weighted by 1 + γ (LRP-γ; Montavon et al. 2019, table 1), for inputs of either sign.

    For an output below zero, the negative contributions get that weight. The positive contributions are half of the sum
    of all and of their absolute values, the negative ones half of the difference, so that one more pass gives both.
    """

    gamma: float = 0.25
    epsilon: float = 1e-6

    def __call__(self, layer: Operator, x: Any, relevance: Any) -> Any:
        ops, half = layer.ops, self.gamma / 2
        size = ops.abs(x)
        y, pullback = layer(x)
        absolute, pullback_absolute = layer(size, weights=ops.abs)
        absolute *= half
        z = ops.abs(y)
        z *= 1 + half
        z += absolute
        share = _divided(layer, relevance, z, self.epsilon, 1)
        passed = pullback(ops.where(y > 0, share, -share))
        passed *= x
        passed *= 1 + half
        by_size = pullback_absolute(share)
        by_size *= size
        by_size *= half
        passed += by_size
        return passed


@dataclass(frozen=True)
class AlphaBeta:
    """Positive contributions weighted by α, negative ones by -β = 1 - α (LRP-αβ; Bach et al. 2015, eq. 60)."""

    alpha: float = 2.0
    epsilon: float = 1e-6

    def __call__(self, layer: Operator, x: Any, relevance: Any) -> Any:
        passed: Any = None
        for factor, positive in ((self.alpha, True), (1.0 - self.alpha, False)):
            if factor:
                z, back = _split(layer, x, positive)
                owed = relevance if factor == 1 else factor * relevance
                share = back(_divided(layer, owed, z, self.epsilon, 1 if positive else -1))
                passed = share if passed is None else passed + share
        return passed


@dataclass(frozen=True)
class WSquare:
    """Relevance by squared weights, independent of the input (Montavon et al. 2017, eq. 12)."""

    epsilon: float = 1e-6

    def __call__(self, layer: Operator, x: Any, relevance: Any) -> Any:
        z, pullback = layer(0.0 * x + 1.0, weights=_square, bias=_nothing)
        return pullback(_divided(layer, relevance, z, self.epsilon, 1))


@dataclass(frozen=True)
class Flat:
    """Relevance distributed evenly over the receptive field (Lapuschkin et al. 2019, supplementary)."""

    epsilon: float = 1e-6

    def __call__(self, layer: Operator, x: Any, relevance: Any) -> Any:
        z, pullback = layer(0.0 * x + 1.0, weights=_one, bias=_nothing)
        return pullback(_divided(layer, relevance, z, self.epsilon, 1))


@dataclass(frozen=True)
class Box:
    """The rule for pixels bounded by two references (zᴮ; Montavon et al. 2017, eq. 14): lowest, then highest."""

    epsilon: float = 1e-6

    def __call__(self, layer: Operator, x: Any, relevance: Any) -> Any:
        ops = layer.ops
        low, high = layer.references
        z, back = layer(x, bias=_nothing)
        z_low, back_low = layer(low, weights=_positive(ops), bias=_nothing)
        z_high, back_high = layer(high, weights=_negative(ops), bias=_nothing)
        share = _divided(layer, relevance, z - z_low - z_high, self.epsilon)
        return x * back(share) - low * back_low(share) - high * back_high(share)


unchanged = PassOn(broadcast=Epsilon())
"""Pass relevance on through a non-linearity of one value (Bach et al. 2015, section 2.3).

Where a constant broadcasts the input to more values, distribute by contribution.
"""


def numerator(layer: Operator, x: Any, relevance: Any) -> Any:
    """Return all relevance to the numerator: divisors are norms, which pass it on (arXiv:2402.05602, prop. 3.4)."""
    divided, by = x
    if divided.shape == relevance.shape:
        return relevance, 0.0 * by
    back, _ = Epsilon()(layer, x, relevance)
    return back, 0.0 * by


@dataclass(frozen=True)
class Halves:
    """A product's relevance, half to each factor (AttnLRP; arXiv:2402.05602, equations 7 and 15)."""

    epsilon: float = 1e-6

    def __call__(self, layer: Operator, x: Any, relevance: Any) -> Any:
        back = Epsilon(self.epsilon)(layer, x, relevance)
        return tuple(each / 2 for each in back)


def softmax_taylor(layer: Operator, x: Any, relevance: Any) -> Any:
    """Return the softmax's first-order Taylor term at its input (AttnLRP; arXiv:2402.05602, equation 13)."""
    y, _ = layer(x)
    back = x * (relevance - y * summed(layer.ops, relevance, layer.axis))
    # a masked logit is -inf: no attention, no relevance
    return layer.ops.where(y > 0, back, 0.0 * y)


def _divided(layer: Operator, relevance: Any, z: Any, epsilon: float, sign: int = 0) -> Any:
    """Return relevance / z, with |z| at least epsilon; zero counts as positive.

    Args:
        layer: receives what epsilon absorbs, in its ledger.
        relevance: of the output.
        z: the output, shape of `relevance`; overwritten if its sign is known.
        epsilon: added to |z|.
        sign: 1 where z is known to be at least 0, -1 where at most 0; 0 where it may have any sign.
    """
    ops = layer.ops
    size = ops.abs(z) if not sign else z if sign > 0 else -z
    size += epsilon
    share = relevance / size
    if layer.ledger is not None:
        layer.ledger.absorb(layer.kind, epsilon * ops.sum(share))
    return ops.where(z >= 0, share, -share) if not sign else share if sign > 0 else -share


def _split(layer: Operator, x: Any, positive: bool) -> tuple[Any, Callable[[Any], Any]]:
    """Return the sum of the positive, or negative, contributions with the bias, and its pullback.

    A contribution is positive if input and weight have the same sign.
    """
    ops = layer.ops
    above = x if layer.nonnegative else ops.maximum(x, 0.0)
    same, other = (_positive(ops), _negative(ops)) if positive else (_negative(ops), _positive(ops))
    z, back_above = layer(above, weights=same)
    if layer.nonnegative:
        return z, lambda share: _multiplied(back_above(share), above)
    below = x - above
    z_below, back_below = layer(below, weights=other, bias=_nothing)
    z += z_below

    def back(share: Any) -> Any:
        passed = _multiplied(back_above(share), above)
        passed += _multiplied(back_below(share), below)
        return passed

    return z, back


def _multiplied(array: Any, factor: Any) -> Any:
    """Return a product; the array is overwritten where the framework allows."""
    array *= factor
    return array


def _positive(ops: Ops[Any]) -> Change:
    return lambda weights: ops.maximum(weights, 0.0)


def _negative(ops: Ops[Any]) -> Change:
    return lambda weights: weights - ops.maximum(weights, 0.0)


def _nothing(bias: Any) -> Any:
    return 0.0 * bias


def _one(weights: Any) -> Any:
    return 0.0 * weights + 1.0


def _square(weights: Any) -> Any:
    return weights * weights


def _times(x: Any, back: Any) -> Any:
    return x * back


def layerwise(
    convolution: Rule, dense: Rule, first: Rule | None = None, references: int = 0, epsilon: float = 1e-6
) -> Composite:
    """Return a composite for LRP: the given rules for operators with weights, conserving rules for all others.

    Sums and averages distribute relevance by contribution, non-linearities and norms pass it on, a maximum passes it to
    the largest value, a product halves it. A batch norm is folded into the operator before it (arXiv:2402.05602 and
    Montavon et al. 2019).

    Args:
        convolution: rule for convolutions.
        dense: rule for products with weights.
        first: rule for the operators with weights that are closest to the image.
        references: number of references that `first` needs.
        epsilon: stabilizer for sums and products.
    """
    return Composite(
        (
            ("convolution", convolution),
            ("dense", dense),
            ("rectifier", unchanged),
            ("activation", unchanged),
            ("elementwise", unchanged),
            ("batch_norm", unchanged),
            ("normalization", unchanged),
            ("scale", unchanged),
            ("average", Epsilon(epsilon)),
            ("add", Epsilon(epsilon)),
            ("multiply", Halves(epsilon)),
            ("matmul", Halves(epsilon)),
            ("divide", numerator),
            ("softmax", softmax_taylor),
        ),
        first=first,
        references=references,
        required=LINEAR,
        folds=True,
        exhaustive=True,
        accounts=True,
    )
