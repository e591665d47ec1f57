"""What the steps of a traced program are to a rule: operators of some kind, that can be asked again.

A program is mathematics in a row; JAX's primitives give the names (see :class:`Work` for what a framework adds).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol

from saliency.rules import LINEAR, Change

Slot = Hashable
"""Where a value of the program is kept."""

Values = Mapping[Any, Any]
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


class Step(Protocol):
    """One step of a program."""

    @property
    def name(self) -> str:
        """Module, operator and number, with colons between."""

    @property
    def primitive(self) -> str:
        """What it does, as JAX calls it."""

    @property
    def takes(self) -> list[Any]:
        """Slots of its inputs."""

    @property
    def gives(self) -> list[Any]:
        """Slots of its outputs."""


def before(steps: Sequence[Any], slots: set[Any]) -> set[Any]:
    """These slots, and all that they depend on."""
    found = set(slots)
    for step in reversed(steps):
        if not found.isdisjoint(step.gives):
            found.update(step.takes)
    return found


class Work(Protocol):
    """What a framework does for the operators of its programs."""

    def said(self, step: Any, values: list[Any]) -> list[Any]:
        """What a step says to other values."""

    def vjp(self, function: Callable[..., list[Any]], inputs: Sequence[Any]) -> tuple[list[Any], Callable[..., Any]]:
        """What a function says, and its pullback: from what came back to each output (None: nothing) to the inputs'."""

    def softmax(self, x: Any, axis: int) -> Any: ...

    def channels(self, step: Any, place: int) -> int:
        """The output's axis that stands for the weights' own."""

    def to_weights(self, step: Any, place: int, factor: Any, axis: int, kernel: Any) -> Any:
        """Of a factor that differs along one axis of the output alone: the same, to be multiplied with the weights."""

    def moved(self, step: Any, axis: int) -> int | None:
        """Where an axis is after a step that changes no number; None where it has no place of its own any more."""


class Node:
    """One operator: a step of the program, or several that are one.

    Args:
        work: what its framework does.
        kind: see :mod:`saliency.rules`; None for what follows no rule.
        steps: in order; the last one gives what the operator gives.
        takes: slots of its inputs that depend on the image.
    """

    axis, first = -1, False

    def __init__(self, work: Work, kind: str | None, steps: Sequence[Any], takes: Sequence[Any]) -> None:
        self.work, self.kind, self.steps, self.takes = work, kind, list(steps), tuple(takes)
        self.gives: list[Any] = self.steps[-1].gives

    @property
    def name(self) -> str:
        """What it is called."""
        name: str = self.steps[-1].name.split(":")[1]
        return name

    @property
    def unknown(self) -> bool:
        """Whether it does more than move numbers about, and nobody knows what."""
        return self.kind is None and self.steps[-1].primitive not in MOVES | COMPARE | AFFINE

    def run(self, inputs: Sequence[Any], values: Values, weights: Change | None, bias: Change | None) -> Any:
        """What it says to other inputs, its weights and bias changed."""
        return self._through(inputs, values)[-1]

    def plain(self, values: Values, given: Sequence[Any]) -> Any:
        """The gradient itself of what came back to its outputs (None: nothing did)."""
        inputs = [values[slot] for slot in self.takes]
        _, back = self.work.vjp(lambda *inputs: self._through(inputs, values), inputs)
        return back(given)

    def _through(self, inputs: Sequence[Any], values: Values) -> list[Any]:
        if len(self.steps) == 1:
            # by position: both operands of a product may be one and the same slot
            step, dependent = self.steps[0], set(self.takes)
            twice = len(self.takes) < sum(slot in dependent for slot in step.takes)
            left = [inputs[0]] * len(step.takes) if twice else list(inputs)
            return self.work.said(step, [left.pop(0) if slot in dependent else values[slot] for slot in step.takes])
        now = {**values, **dict(zip(self.takes, inputs, strict=True))}
        for step in self.steps:
            now.update(zip(step.gives, self.work.said(step, [now[slot] for slot in step.takes]), strict=True))
        return [now[slot] for slot in self.gives]


class Softmax(Node):
    """A softmax over an axis of whatever length.

    Args:
        work: what its framework does.
        steps: that it is made of.
        slot: of what goes in.
        axis: over which it is taken.
    """

    def __init__(self, work: Work, steps: Sequence[Any], slot: Any, axis: int) -> None:
        super().__init__(work, "softmax", steps, [slot])
        self.axis = axis

    def run(self, inputs: Sequence[Any], values: Values, weights: Change | None, bias: Change | None) -> Any:
        """See :class:`Node`."""
        return self.work.softmax(inputs[0], self.axis)


class Opened(Node):
    """A part of a step that is told in simpler operators.

    Args:
        work: what its framework does.
        kind: see :mod:`saliency.rules`.
        step: that it is a part of.
        function: what it does.
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
    """An operator with weights, and what is added to its product or multiplied with it, by constants.

    Args:
        work: what its framework does.
        step: of the product.
        place: of the weights among what it takes.
        then: steps of one constant each, or that only reshape.
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
        return self.work.said(self.steps[0], [kernel, x] if self.place == 0 else [x, kernel])[0]

    def _after(self, y: Any, values: Values, moves: bool = False) -> Any:
        """What the steps behind the product make of it; of these only the moves, if so wanted."""
        now, slot = y, self.steps[0].gives[0]
        for step in self._then:
            if not moves or step.primitive not in AFFINE:
                now = self.work.said(step, [now if each == slot else values[each] for each in step.takes])[0]
            slot = step.gives[0]
        return now

    @property
    def channels(self) -> int:
        """The output's axis that stands for the weights' own."""
        axis: int | None = self.work.channels(self.steps[0], self.place)
        for step in self._then:
            assert axis is not None
            axis = self.work.moved(step, axis)
        assert axis is not None
        return axis


def opened(node: Node, slot: Any) -> list[Node]:
    """An operator told in simpler ones, where it is made of such.

    Args:
        node: the operator.
        slot: a new one, for what lies between.
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
    """Where an axis is after a reshape that only adds and takes away axes of one; None where that cannot be told."""
    if axis == len(before) - 1 and before[-1] == after[-1]:
        return len(after) - 1
    long = [i for i, n in enumerate(before) if n != 1], [i for i, n in enumerate(after) if n != 1]
    same = [before[i] for i in long[0]] == [after[i] for i in long[1]]
    return long[1][long[0].index(axis)] if same and axis in long[0] else None
