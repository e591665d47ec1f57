"""The kinds of a traced program's operators, for which there are rules, and their evaluation on other inputs.

The names are those of JAX's primitives; :class:`Work` holds the functions that each framework provides.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol

from saliency.rules import LINEAR, Change

Slot = Hashable
"""Identifies a value of the program."""

Values = Mapping[Any, Any]
"""The values of a program by slot."""

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
"""Kind of an operator of one array, by the name of its primitive or small program."""

WHOLE = frozenset(name for name, kind in KINDS.items() if kind in ("rectifier", "activation")) | {"clip"}
"""Jitted functions that are one operator."""

PAIRS = {"add": "add", "add_any": "add", "sub": "add", "mul": "multiply", "div": "divide", "dot_general": "matmul"}
"""Kind of an operator of two arrays that both depend on the image."""

AFFINE = frozenset({"add", "add_any", "sub", "mul", "div"})
"""Operators that scale or shift if the other operand is a constant."""

COMPARE = frozenset({"gt", "ge", "lt", "le", "eq", "ne", "and", "or", "not", "is_finite", "sign"})
"""Operators whose results have no gradient."""

_MOVES = (
    "reshape transpose broadcast_in_dim squeeze expand_dims slice concatenate pad rev convert_element_type copy copy_p "
    "gather dynamic_slice dynamic_update_slice scatter scatter_add stop_gradient device_put optimization_barrier "
    "sharding_constraint split reduce_precision real cumsum select_and_gather_add argmax argmin"
)
MOVES = frozenset(_MOVES.split())
RESHAPES = frozenset({"transpose", "reshape", "squeeze", "expand_dims", "broadcast_in_dim", "convert_element_type"})
"""Operators that move values: their plain gradient is correct under every rule."""

BY_VALUE = frozenset(KINDS) - {"reduce_max", "reduce_window_max", "reduce_sum", "reduce_window_sum"}
"""Elementwise operators."""


class Step(Protocol):
    """One step of a program."""

    @property
    def name(self) -> str:
        """Module, operator and number, separated by colons."""

    @property
    def primitive(self) -> str:
        """Name of its JAX primitive."""

    @property
    def takes(self) -> list[Any]:
        """Slots of its inputs."""

    @property
    def gives(self) -> list[Any]:
        """Slots of its outputs."""


def before(steps: Sequence[Any], slots: set[Any]) -> set[Any]:
    """Return these slots and all slots that they depend on."""
    found = set(slots)
    for step in reversed(steps):
        if not found.isdisjoint(step.gives):
            found.update(step.takes)
    return found


class Work(Protocol):
    """The functions of a framework that evaluate and transform the operators of its programs."""

    def evaluated(self, step: Any, values: list[Any]) -> list[Any]:
        """Evaluate a step on other values."""

    def vjp(self, function: Callable[..., list[Any]], inputs: Sequence[Any]) -> tuple[list[Any], Callable[..., Any]]:
        """Evaluate a function; return outputs and pullback, from each output's gradient (or None) to the inputs'."""

    def softmax(self, x: Any, axis: int) -> Any: ...

    def channels(self, step: Any, place: int) -> int:
        """Return the output's channel axis."""

    def to_weights(self, step: Any, place: int, factor: Any, axis: int, kernel: Any) -> Any:
        """Reshape a factor that varies along one output axis only, so that it can be multiplied with the weights."""

    def moved(self, step: Any, axis: int) -> int | None:
        """Return the position of an axis after a step that only moves values; None if it is merged with others."""


class Node:
    """An operator: one step of the program, or several joined steps.

    Args:
        work: the functions of its framework.
        kind: see :mod:`saliency.rules`; None if there is no rule for it.
        steps: in order; the last one returns the operator's output.
        takes: slots of its inputs that depend on the image.
    """

    axis, first = -1, False

    def __init__(self, work: Work, kind: str | None, steps: Sequence[Any], takes: Sequence[Any]) -> None:
        self.work, self.kind, self.steps, self.takes = work, kind, list(steps), tuple(takes)
        self.gives: list[Any] = self.steps[-1].gives

    @property
    def name(self) -> str:
        """The name of its last step."""
        name: str = self.steps[-1].name.split(":")[1]
        return name

    @property
    def unknown(self) -> bool:
        """Whether it does more than move values, but its kind is not known."""
        return self.kind is None and self.steps[-1].primitive not in MOVES | COMPARE | AFFINE

    def run(self, inputs: Sequence[Any], values: Values, weights: Change | None, bias: Change | None) -> Any:
        """Evaluate it on other inputs, with changed weights and bias."""
        return self._through(inputs, values)[-1]

    def plain(self, values: Values, given: Sequence[Any]) -> Any:
        """Return the plain gradients at its inputs from those at its outputs (None: no gradient)."""
        inputs = [values[slot] for slot in self.takes]
        _, back = self.work.vjp(lambda *inputs: self._through(inputs, values), inputs)
        return back(given)

    def _through(self, inputs: Sequence[Any], values: Values) -> list[Any]:
        if len(self.steps) == 1:
            # by position: both operands of a product may be the same slot
            step, dependent = self.steps[0], set(self.takes)
            twice = len(self.takes) < sum(slot in dependent for slot in step.takes)
            left = [inputs[0]] * len(step.takes) if twice else list(inputs)
            return self.work.evaluated(
                step, [left.pop(0) if slot in dependent else values[slot] for slot in step.takes]
            )
        now = {**values, **dict(zip(self.takes, inputs, strict=True))}
        for step in self.steps:
            now.update(zip(step.gives, self.work.evaluated(step, [now[slot] for slot in step.takes]), strict=True))
        return [now[slot] for slot in self.gives]


class Softmax(Node):
    """A softmax over an axis of any length.

    Args:
        work: the functions of its framework.
        steps: its steps.
        slot: of its input.
        axis: its axis.
    """

    def __init__(self, work: Work, steps: Sequence[Any], slot: Any, axis: int) -> None:
        super().__init__(work, "softmax", steps, [slot])
        self.axis = axis

    def run(self, inputs: Sequence[Any], values: Values, weights: Change | None, bias: Change | None) -> Any:
        """See :class:`Node`."""
        return self.work.softmax(inputs[0], self.axis)


class Opened(Node):
    """A part of a step that is decomposed into simpler operators.

    Args:
        work: the functions of its framework.
        kind: see :mod:`saliency.rules`.
        step: the step it is part of.
        function: evaluates it.
        takes: slots of its inputs.
        gives: slot of its output, of the program or a new one.
    """

    def __init__(
        self, work: Work, kind: str, step: Any, function: Callable[..., Any], takes: Sequence[Any], gives: Any
    ) -> None:
        super().__init__(work, kind, [step], takes)
        self.gives, self._function = [gives], function

    def _through(self, inputs: Sequence[Any], values: Values) -> list[Any]:
        return [self._function(*inputs)]


class Linear(Node):
    """An operator with weights, and the constants that are added to its product or multiplied with it.

    Args:
        work: the functions of its framework.
        step: the product.
        place: position of the weights among its inputs.
        then: following steps, each with one constant or only a reshape.
    """

    def __init__(self, work: Work, step: Any, place: int, then: Sequence[Any]) -> None:
        kind = LINEAR[0] if step.primitive == "dot_general" else LINEAR[1]
        super().__init__(work, kind, [step, *then], [step.takes[1 - place]])
        self.place, self._then = place, list(then)

    def run(self, inputs: Sequence[Any], values: Values, weights: Change | None, bias: Change | None) -> Any:
        """See :class:`Node`."""
        (x,) = inputs
        step = self.steps[0]
        kernel = values[step.takes[self.place]]
        product = self._product(x, kernel)
        if weights is None and bias is None:
            return self._after(product, values)
        shift = self._after(product * 0.0, values)
        factor = self._after(product * 0.0 + 1.0, values) - shift
        kernel = kernel * self.work.to_weights(step, self.place, factor, self.channels, kernel)
        product = self._after(self._product(x, kernel if weights is None else weights(kernel)), values, moves=True)
        if not any(each.primitive in AFFINE for each in self._then):
            return product
        change = bias or weights
        return product + (shift if change is None else change(shift))

    def _product(self, x: Any, kernel: Any) -> Any:
        return self.work.evaluated(self.steps[0], [kernel, x] if self.place == 0 else [x, kernel])[0]

    def _after(self, y: Any, values: Values, moves: bool = False) -> Any:
        """Apply the steps after the product; with `moves`, only those that move values."""
        now, slot = y, self.steps[0].gives[0]
        for step in self._then:
            if not moves or step.primitive not in AFFINE:
                now = self.work.evaluated(step, [now if each == slot else values[each] for each in step.takes])[0]
            slot = step.gives[0]
        return now

    @property
    def channels(self) -> int:
        """Return the output's channel axis."""
        axis: int | None = self.work.channels(self.steps[0], self.place)
        for step in self._then:
            assert axis is not None
            axis = self.work.moved(step, axis)
        assert axis is not None
        return axis


def opened(node: Node, slot: Any) -> list[Node]:
    """Decompose an operator into simpler ones, if it is composite.

    Args:
        node: the operator.
        slot: a new slot, for the intermediate value.
    """
    step = node.steps[-1]
    if step.primitive == "squared_difference" and len(node.takes) == 2:
        return [
            Opened(node.work, "add", step, lambda x, y: x - y, node.takes, slot),
            Opened(node.work, "elementwise", step, lambda x: x * x, [slot], node.gives[0]),
        ]
    if node.kind != "divide":
        return [node]
    above, below = node.takes
    return [
        Opened(node.work, "elementwise", step, lambda x: 1 / x, [below], slot),
        Opened(node.work, "multiply", step, lambda x, y: x * y, [above, slot], node.gives[0]),
    ]


def moved(before: Sequence[Any], after: Sequence[Any], axis: int) -> int | None:
    """Return the position of an axis after a reshape that only adds and removes axes of length 1; None if unclear."""
    if axis == len(before) - 1 and before[-1] == after[-1]:
        return len(after) - 1
    long = [i for i, n in enumerate(before) if n != 1], [i for i, n in enumerate(after) if n != 1]
    same = [before[i] for i in long[0]] == [after[i] for i in long[1]]
    return long[1][long[0].index(axis)] if same and axis in long[0] else None
