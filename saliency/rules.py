"""Rules of backward passes: how relevance propagates through one operator, on every framework.

A rule is a function ``(layer, x, relevance) -> relevance``. Given an operator of the running model
(:class:`Operator`), its input and the relevance of its output, it returns the relevance of its input. The propagated
quantity is a gradient (guided backpropagation, deconvolution), a multiplier (DeepLIFT) or relevance itself (LRP),
depending on the rules. An operator without a rule propagates its plain gradient. A :class:`Composite` maps kinds of
operators to rules.

Operators have a kind that is independent of the framework's names:

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

For add, multiply, divide and matmul, `x` and the rule's result are tuples of two.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from saliency.errors import Unsupported
from saliency.model.protocols import Ops

LINEAR = ("dense", "convolution")
"""Kinds of operators that have weights."""

Change = Callable[[Any], Any]
"""A function that maps weights to the weights a rule uses."""


class Operator(Protocol):
    """One operator of the running model, with its batch, as seen by a rule."""

    @property
    def kind(self) -> str:
        """The kind of the operator, see :mod:`saliency.rules`."""

    @property
    def first(self) -> bool:
        """Whether no operator with weights precedes it."""

    @property
    def nonnegative(self) -> bool:
        """Whether its input is known to have no negative value, so that a rule may skip the negative part."""

    @property
    def axis(self) -> int:
        """The axis of a softmax."""

    @property
    def references(self) -> tuple[Any, ...]:
        """Its inputs for each of the reference images, each shaped like `x`."""

    @property
    def ops(self) -> Ops[Any]:
        """The array functions of the model's framework."""

    @property
    def ledger(self) -> Ledger | None:
        """Where a rule records the relevance that its stabilizer absorbs; None where that is not recorded."""

    def __call__(self, x: Any, weights: Change | None = None, bias: Change | None = None) -> tuple[Any, Any]:
        """Return the output for `x`, and its pullback: from relevance of the output to relevance of `x`.

        What the pullback returns for one input is the rule's own and may be overwritten. So is the output if the
        weights are changed.

        Args:
            x: used instead of its own input.
            weights: applied to its weights first.
            bias: applied to its bias; the same as `weights` by default.
        """


Rule = Callable[[Operator, Any, Any], Any]
"""(layer, x, relevance of the output) -> relevance of x."""


@dataclass(frozen=True)
class Composite:
    """A map from kinds of operators to rules. Equal composites share one compiled function."""

    rules: tuple[tuple[str, Rule], ...]
    """Pairs (kind, rule)."""
    first: Rule | None = None
    """Pairs (kind, rule) for the operators with weights that are closest to the image."""
    references: int = 0
    """References per image. Images are (N, 1 + references, H, W, C): each image is followed by its references."""
    required: tuple[str, ...] = ()
    """Kinds of operators of which the model must contain at least one."""
    folds: bool = False
    """Whether a batch norm is folded into the linear operator before it (canonization)."""
    opens: bool = False
    """Whether an operator without a rule is decomposed into simpler operators where possible."""
    exhaustive: bool = False
    """Whether a note reports unknown operators."""
    accounts: bool = False
    """Whether lost relevance is recorded: see :attr:`saliency.model.protocols.Answer.lost`."""

    def rule(self, operator: Operator) -> Rule | None:
        """Return the rule of an operator; None for its plain gradient."""
        if self.first is not None and operator.first and operator.kind in LINEAR:
            return self.first
        return self._by_kind.get(operator.kind)

    @cached_property
    def _by_kind(self) -> dict[str, Rule]:
        return dict(reversed(self.rules))  # the first rule of a kind counts

    def require(self, kinds: Collection[str], unknown: Collection[str]) -> None:
        """Raise if the model contains no operator that the rules apply to.

        Args:
            kinds: kinds of the operators between the image and the scores.
            unknown: names of the operators whose kind is unknown.

        Raises:
            Unsupported: none is of a required kind.
        """
        if self.required and not any(kind in kinds for kind in self.required):
            seen = ", ".join([*sorted(kinds), *sorted(unknown)])
            raise Unsupported(
                f"The rules apply to operators of the kind {' or '.join(self.required)}, but the model processes the "
                f"image with {f'{seen} only' if seen else 'no operator that can be observed'}."
            )

    def notes(self, unknown: Collection[str]) -> list[str]:
        """Return the notes on operators of unknown kind."""
        if not self.exhaustive or not unknown:
            return []
        return [f"no rule for {', '.join(sorted(unknown))}: the plain gradient was used"]


def plain(layer: Operator, x: Any, relevance: Any) -> Any:
    """Return the plain gradient."""
    _, pullback = layer(x)
    return pullback(relevance)


@dataclass(frozen=True)
class ThenGradient:
    """The plain gradient of relevance that is changed before; adapters need not evaluate the operator again."""

    change: Callable[[Ops[Any], Any], Any]
    """(array functions, relevance of the output) -> changed relevance."""

    def __call__(self, layer: Operator, x: Any, relevance: Any) -> Any:
        return plain(layer, x, self.change(layer.ops, relevance))


@dataclass(frozen=True)
class PassOn:
    """The relevance of the output, regardless of the values of the input; adapters need not keep them."""

    change: Callable[[Ops[Any], Any], Any] | None = None
    """(array functions, relevance of the output) -> changed relevance; None passes it on unchanged."""
    broadcast: Rule = plain
    """The rule where a constant broadcasts the input to more values."""

    def __call__(self, layer: Operator, x: Any, relevance: Any) -> Any:
        if x.shape != relevance.shape:
            return self.broadcast(layer, x, relevance)
        return relevance if self.change is None else self.change(layer.ops, relevance)


def _positive(ops: Ops[Any], relevance: Any) -> Any:
    return ops.maximum(relevance, 0.0)


guided = ThenGradient(_positive)
"""Set negative values to zero on the backward pass too (arXiv:1412.6806, section 3.4)."""

deconvolution = PassOn(_positive)
"""Rectify what is propagated back, regardless of the forward input (arXiv:1311.2901, section 2.1)."""


def summed(ops: Ops[Any], array: Any, axis: int) -> Any:
    """Return the sum over one axis, which keeps length 1."""
    shape = tuple(1 if i == axis else int(n) for i, n in enumerate(array.shape))
    return ops.reshape(ops.sum(array, axis), shape)


STABILIZER = "stabilizer"
"""The ledger's name for relevance absorbed by the stabilizer ε, in any kind of operator."""


class Ledger:
    """Records where relevance is lost on the backward pass, for one image and one target.

    By kind of operator: the relevance of an operator's output minus that of its inputs. Relevance absorbed by the
    rules' stabilizers is recorded separately.
    """

    def __init__(self) -> None:
        self.lost: dict[str, Any] = {}
        """Sums of relevance by cause: a kind of operator, or :data:`STABILIZER`."""

    def absorb(self, kind: str, relevance: Any) -> None:
        """Record relevance that the stabilizer absorbed in an operator of this kind."""
        self._add(STABILIZER, relevance)
        self._add(kind, -relevance)

    def passed(self, layer: Operator, arrived: Any, handed_on: Iterable[Any]) -> None:
        """Record what an operator lost: `arrived` at its output, `handed_on` to each of its inputs."""
        self._add(layer.kind, layer.ops.sum(arrived) - sum(layer.ops.sum(each) for each in handed_on))

    def _add(self, cause: str, relevance: Any) -> None:
        self.lost[cause] = self.lost[cause] + relevance if cause in self.lost else relevance


GUIDED = Composite((("rectifier", guided),), required=("rectifier",))
DECONVOLUTION = Composite((("rectifier", deconvolution),), required=("rectifier",))
