"""What the steps of a JAX program are to a rule: operators of some kind, that can be asked again.

See :mod:`saliency.adapters.jax_finder` for how they are found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from saliency.adapters.jax_trace import Step, bound
from saliency.rules import LINEAR, Change

Values = Mapping[int, Any]
"""What every slot of a program held."""

KINDS: Mapping[str, str] = {
    name: kind
    for kind, names in {
        "rectifier": "relu relu6 leaky_relu elu celu selu gelu silu swish hard_silu hard_swish softplus mish "
        "squareplus",
        "activation": "tanh logistic sigmoid erf erfc erf_inv hard_tanh hard_sigmoid soft_sign log_sigmoid atan",
        "elementwise": "exp exp2 log log1p expm1 sqrt rsqrt cbrt integer_pow square pow sin cos tan asin acos sinh "
        "cosh asinh acosh atanh abs max min clamp clip select_n logaddexp",
        "max_pool": "reduce_max reduce_window_max",
        "average": "reduce_sum reduce_window_sum",
        "scale": "neg",
    }.items()
    for name in names.split()
}
"""Kind of an operator of one array, by the name of its primitive or of the small program that it is."""

WHOLE = frozenset(name for name, kind in KINDS.items() if kind in ("rectifier", "activation")) | {"clip"}
"""Jitted functions that are one operator."""

PAIRS = {"add": "add", "add_any": "add", "sub": "add", "mul": "multiply", "div": "divide", "dot_general": "matmul"}
"""Kind of an operator of two arrays that both depend on the image."""

AFFINE = frozenset({"add", "add_any", "sub", "mul", "div"})
"""What changes scale and place, where the other operand is a constant."""

COMPARE = frozenset({"gt", "ge", "lt", "le", "eq", "ne", "and", "or", "not", "is_finite", "sign"})
"""What gives no number that has a gradient."""

_MOVES = (
    "reshape transpose broadcast_in_dim squeeze expand_dims slice concatenate pad rev convert_element_type copy copy_p "
    "gather dynamic_slice dynamic_update_slice scatter scatter_add stop_gradient device_put optimization_barrier "
    "sharding_constraint split reduce_precision real cumsum select_and_gather_add argmax argmin"
)
MOVES = frozenset(_MOVES.split())
RESHAPES = frozenset({"transpose", "reshape", "squeeze", "expand_dims", "broadcast_in_dim", "convert_element_type"})
"""What moves numbers about: its plain gradient is right for every rule."""

BY_VALUE = frozenset(KINDS) - {"reduce_max", "reduce_window_max", "reduce_sum", "reduce_window_sum"}
"""Operators that work on each value by itself."""

FAR = 50.0
"""How far out a function is looked at to tell a rectifier."""


class Node:
    """One operator: a step of the program, or several that are one.

    Args:
        kind: see :mod:`saliency.rules`; None for what follows no rule.
        steps: in order; the last one gives what the operator gives.
        takes: slots of its inputs that depend on the image.
    """

    axis, first = -1, False

    def __init__(self, kind: str | None, steps: Sequence[Step], takes: Sequence[int]) -> None:
        self.kind, self.steps, self.takes = kind, list(steps), tuple(takes)
        self.gives: list[int] = self.steps[-1].gives

    @property
    def name(self) -> str:
        """What it is called."""
        return self.steps[-1].name.split(":")[1]

    @property
    def unknown(self) -> bool:
        """Whether it does more than move numbers about, and nobody knows what."""
        primitive = self.steps[-1].equation.primitive.name
        return self.kind is None and primitive not in MOVES | COMPARE | AFFINE

    def run(self, inputs: Sequence[Any], values: Values, weights: Change | None, bias: Change | None) -> Any:
        """What it says to other inputs, its weights and bias changed."""
        return self._through(inputs, values)[-1]

    def plain(self, values: Values, given: Sequence[Any]) -> tuple[Any, ...]:
        """The gradient itself of what came back to its outputs (None: nothing did)."""
        answer, back = jax.vjp(lambda *inputs: self._through(inputs, values), *(values[slot] for slot in self.takes))
        found = back([_nothing(y) if each is None else each for each, y in zip(given, answer, strict=True)])
        return tuple(found)

    def _through(self, inputs: Sequence[Any], values: Values) -> list[Any]:
        if len(self.steps) == 1:
            # by position: both operands of a product may be one and the same slot
            left = list(inputs)
            step = self.steps[0]
            dependent = set(self.takes)
            return said(step, [left.pop(0) if slot in dependent else values[slot] for slot in step.takes])
        now = {**values, **dict(zip(self.takes, inputs, strict=True))}
        for step in self.steps:
            now.update(zip(step.gives, said(step, [now[slot] for slot in step.takes]), strict=True))
        return [now[slot] for slot in self.gives]


class Softmax(Node):
    """A softmax over an axis of whatever length.

    Args:
        steps: that it is made of.
        slot: of what goes in.
        axis: over which it is taken.
    """

    def __init__(self, steps: Sequence[Step], slot: int, axis: int) -> None:
        super().__init__("softmax", steps, [slot])
        self.axis = axis

    def run(self, inputs: Sequence[Any], values: Values, weights: Change | None, bias: Change | None) -> Any:
        """See :class:`Node`."""
        return jax.nn.softmax(inputs[0], self.axis)


class Opened(Node):
    """A part of a step that is told in simpler operators.

    Args:
        kind: see :mod:`saliency.rules`.
        step: that it is a part of.
        function: what it does.
        takes: slots of its inputs.
        gives: slot of its output, of the program or a new one.
    """

    def __init__(self, kind: str, step: Step, function: Callable[..., Any], takes: Sequence[int], gives: int) -> None:
        super().__init__(kind, [step], takes)
        self.gives, self._function = [gives], function

    def _through(self, inputs: Sequence[Any], values: Values) -> list[Any]:
        return [self._function(*inputs)]


class Linear(Node):
    """An operator with weights, and what is added to its product or multiplied with it, by constants.

    Args:
        step: of the product.
        place: of the weights among what it takes.
        then: steps of one constant each.
    """

    def __init__(self, step: Step, place: int, then: Sequence[Step]) -> None:
        kind = LINEAR[0] if step.equation.primitive.name == "dot_general" else LINEAR[1]
        super().__init__(kind, [step, *then], [step.takes[1 - place]])
        self.place, self._then = place, list(then)

    def run(self, inputs: Sequence[Any], values: Values, weights: Change | None, bias: Change | None) -> Any:
        """See :class:`Node`."""
        (x,) = inputs
        step = self.steps[0]
        kernel = values[step.takes[self.place]]
        product = self._product(x, kernel)
        if weights is None and bias is None:
            return self._after(product, values)
        shift = self._after(jnp.zeros_like(product), values)
        factor = self._after(jnp.ones_like(product), values) - shift
        along = jnp.moveaxis(factor, self.channels, -1).reshape(-1, factor.shape[self.channels])[0]
        shape = [1] * kernel.ndim
        shape[self._weights_axis(kernel.ndim)] = -1
        kernel = kernel * along.reshape(shape)
        product = self._after(self._product(x, kernel if weights is None else weights(kernel)), values, moves=True)
        if not any(each.equation.primitive.name in AFFINE for each in self._then):
            return product
        change = bias or weights
        return product + (shift if change is None else change(shift))

    def _product(self, x: Any, kernel: Any) -> Any:
        return said(self.steps[0], [kernel, x] if self.place == 0 else [x, kernel])[0]

    def _after(self, y: Any, values: Values, moves: bool = False) -> Any:
        """What the steps behind the product make of it; of these only the moves, if so wanted."""
        now, slot = y, self.steps[0].gives[0]
        for step in self._then:
            if not moves or step.equation.primitive.name not in AFFINE:
                now = said(step, [now if each == slot else values[each] for each in step.takes])[0]
            slot = step.gives[0]
        return now

    @property
    def channels(self) -> int:
        """The output's axis that stands for the weights' own."""
        params = self.steps[0].equation.params
        rank = len(self.steps[0].equation.outvars[0].aval.shape)
        if self.kind == LINEAR[1]:
            axis: int | None = int(params["dimension_numbers"].out_spec[1])
        elif self.place == 1:
            axis = rank - 1
        else:
            (left, _), _ = params["dimension_numbers"]
            axis = len(self.steps[0].equation.invars[0].aval.shape) - len(left) - 1
        for step in self._then:
            assert axis is not None
            axis = moved(step, axis)
        assert axis is not None
        return axis

    def _weights_axis(self, rank: int) -> int:
        params = self.steps[0].equation.params
        if self.kind == LINEAR[1]:
            return int(params["dimension_numbers"].rhs_spec[0])
        contracted, batch = (each[self.place] for each in params["dimension_numbers"])
        return max(axis for axis in range(rank) if axis not in contracted and axis not in batch)


def moved(step: Step, axis: int) -> int | None:
    """Where an axis is after a step that changes no number; None where it has no place of its own any more."""
    equation = step.equation
    match equation.primitive.name:
        case "transpose":
            return int(equation.params["permutation"].index(axis))
        case "reshape" | "squeeze" | "expand_dims" | "broadcast_in_dim":
            before, after = ([int(n) for n in each.aval.shape] for each in (equation.invars[0], equation.outvars[0]))
            long = [i for i, n in enumerate(before) if n > 1], [i for i, n in enumerate(after) if n > 1]
            same = [before[i] for i in long[0]] == [after[i] for i in long[1]]
            return long[1][long[0].index(axis)] if same and axis in long[0] else None
    return axis


def opened(node: Node, slot: int) -> list[Node]:
    """An operator told in simpler ones, where it is made of such.

    Args:
        node: the operator.
        slot: a new one, for what lies between.
    """
    if node.kind != "divide":
        return [node]
    (step,), (above, below) = node.steps, node.takes
    return [
        Opened("elementwise", step, lambda x: 1 / x, [below], slot),
        Opened("multiply", step, lambda x, y: x * y, [above, slot], node.gives[0]),
    ]


def said(step: Step, values: list[Any]) -> list[Any]:
    """What a step says to other values."""
    answer = bound(step.equation, values)
    return list(answer) if step.equation.primitive.multiple_results else [answer]


def _nothing(y: Any) -> Any:
    """The cotangent of what nothing came back to."""
    return jnp.zeros_like(y) if jnp.issubdtype(y.dtype, jnp.inexact) else np.zeros(y.shape, jax.dtypes.float0)
