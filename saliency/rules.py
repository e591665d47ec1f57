"""How relevance passes back through one operator: rules that read as their papers do, on every framework.

A rule is a function ``(layer, x, relevance) -> relevance``: of an operator at work (:class:`Operator`), its input and
what came back to its output, it makes what goes on to its input. What travels is a gradient (guided backpropagation,
deconvolution), a multiplier (DeepLIFT) or relevance itself (LRP): the rules decide. An operator without a rule hands
on its plain gradient. A :class:`Composite` says which operator follows which rule.

Operators are known by their kind, whatever a framework calls them:

================  ====================================================================================================
dense             a product with weights, alone or with a bias
convolution       with weights, alone or with a bias; transposed too
rectifier         ReLU and its kin: ReLU6, leaky, ELU, GELU, SiLU, hard swish, softplus, clamp at 0
activation        other non-linearities of one value: sigmoid, tanh, hard tanh
elementwise       mathematics of one value: exp, log, sqrt, powers, 1/x
max_pool          a maximum over windows or axes
average           sums with fixed weights: mean, sum, average pool, resize
batch_norm        with running statistics: a scale and a shift of each channel
normalization     by statistics of the example itself: layer, group, instance norm
softmax           over `axis`
add               a sum or difference of two arrays that both depend on the image
multiply          a product, element by element, of two such arrays
divide            a quotient of two such arrays
matmul            a product of matrices that both depend on the image: attention
scale             a product with a constant
================  ====================================================================================================

Of add, multiply, divide and matmul `x`, and what the rule makes of it, are tuples of two.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from saliency.errors import Unsupported
from saliency.model.protocols import Ops

LINEAR = ("dense", "convolution")
"""Kinds that have weights."""

Change = Callable[[Any], Any]
"""What is made of weights."""


class Operator(Protocol):
    """One operator of the model at work on a batch, as a rule may see it."""

    @property
    def kind(self) -> str:
        """See :mod:`saliency.rules`."""

    @property
    def first(self) -> bool:
        """Whether no operator with weights lies between it and the image."""

    @property
    def axis(self) -> int:
        """The axis of a softmax."""

    @property
    def references(self) -> tuple[Any, ...]:
        """Its inputs when the model saw each of the references, each shaped like `x`."""

    @property
    def ops(self) -> Ops[Any]:
        """The array functions of its framework."""

    @property
    def ledger(self) -> Ledger | None:
        """Where a rule counts what its stabilizer keeps; None where nobody counts."""

    def __call__(self, x: Any, weights: Change | None = None, bias: Change | None = None) -> tuple[Any, Any]:
        """The output for `x`, and its pullback: from what came back to the output, to what goes on to `x`.

        Args:
            x: instead of its own input.
            weights: what to make of its weights first.
            bias: what to make of its bias; as of the weights by default.
        """


Rule = Callable[[Operator, Any, Any], Any]
"""(layer, x, relevance of the output) -> relevance of x."""


@dataclass(frozen=True)
class Composite:
    """Which operator follows which rule. Equal composites are equal questions, so that they can be compiled once."""

    rules: tuple[tuple[str, Rule], ...]
    """(kind, rule) pairs."""
    first: Rule | None = None
    """For the operators with weights that are nearest to the image."""
    references: int = 0
    """How many references each image comes with: images are (N, 1 + references, H, W, C), each image before its own."""
    required: tuple[str, ...] = ()
    """Kinds of which the model must have one, or the rules mean nothing to it."""
    folds: bool = False
    """Whether a batch norm is one operator with the weights before it."""
    opens: bool = False
    """Whether what has no rule is opened up into simpler operators, where it is made of such."""
    exhaustive: bool = False
    """Whether an operator that is not known is told in a note."""
    accounts: bool = False
    """Whether it is counted where what comes back is lost: see :attr:`saliency.model.protocols.Answer.lost`."""

    def rule(self, operator: Operator) -> Rule | None:
        """The rule an operator follows; None for its plain gradient."""
        if self.first is not None and operator.first and operator.kind in LINEAR:
            return self.first
        return next((rule for kind, rule in self.rules if kind == operator.kind), None)

    def require(self, kinds: Collection[str], unknown: Collection[str]) -> None:
        """Raise where the rules find no operator to hold on to.

        Args:
            kinds: of the operators that the model sends the image through.
            unknown: names of those whose kind nobody knows.

        Raises:
            Unsupported: none is of a required kind.
        """
        if self.required and not any(kind in kinds for kind in self.required):
            seen = ", ".join([*sorted(kinds), *sorted(unknown)])
            raise Unsupported(
                f"The rules found nothing to hold on to: they are for operators of the kind "
                f"{' or '.join(self.required)}, and the model sends the image through "
                f"{f'{seen} only' if seen else 'none that can be seen'}."
            )

    def notes(self, unknown: Collection[str]) -> list[str]:
        """What is to be told, in sentences, of operators whose kind nobody knows."""
        if not self.exhaustive or not unknown:
            return []
        return [f"no rule is known for {', '.join(sorted(unknown))}: the plain gradient went through"]


def guided(layer: Operator, x: Any, relevance: Any) -> Any:
    """What is negative on the way back stops too (arXiv:1412.6806, section 3.4)."""
    _, pullback = layer(x)
    return pullback(layer.ops.maximum(relevance, 0.0))


def deconvolution(layer: Operator, x: Any, relevance: Any) -> Any:  # noqa: ARG001  # what went forward does not matter
    """The rectifier is applied to what comes back, wherever the image was negative (arXiv:1311.2901, section 2.1)."""
    return layer.ops.maximum(relevance, 0.0)


def summed(ops: Ops[Any], array: Any, axis: int) -> Any:
    """The sum over one axis, which is kept."""
    shape = tuple(1 if i == axis else int(n) for i, n in enumerate(array.shape))
    return ops.reshape(ops.sum(array, axis), shape)


STABILIZER = "stabilizer"
"""What a ledger calls the relevance that ε keeps, in whatever kind of operator."""


class Ledger:
    """Where relevance is lost on the way back through the model, of one image and one target.

    What arrived at an operator's output, less what went on to its inputs, by the kind of operator; what the rules'
    stabilizers keep is counted apart.
    """

    def __init__(self) -> None:
        self.lost: dict[str, Any] = {}
        """Sums of relevance by cause: a kind of operator, or :data:`STABILIZER`."""

    def absorb(self, kind: str, relevance: Any) -> None:
        """Count a sum that the stabilizer kept in an operator of a kind."""
        self._add(STABILIZER, relevance)
        self._add(kind, -relevance)

    def passed(self, layer: Operator, arrived: Any, handed_on: Iterable[Any]) -> None:
        """Count what an operator lost: `arrived` at its output, `handed_on` to each of its inputs."""
        self._add(layer.kind, layer.ops.sum(arrived) - sum(layer.ops.sum(each) for each in handed_on))

    def _add(self, cause: str, relevance: Any) -> None:
        self.lost[cause] = self.lost[cause] + relevance if cause in self.lost else relevance


GUIDED = Composite((("rectifier", guided),), required=("rectifier",))
DECONVOLUTION = Composite((("rectifier", deconvolution),), required=("rectifier",))
