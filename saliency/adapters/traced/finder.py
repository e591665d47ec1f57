"""Find the operators in a traced program.

A traced program consists of elementary steps: a bias is a separate addition, a GELU eight steps, a batch norm four. The
finder joins them to operators: products with weights and the constants added to or multiplied with them, elementwise
functions, and softmaxes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from saliency.adapters.traced.operators import (
    AFFINE,
    BY_VALUE,
    COMPARE,
    KINDS,
    PAIRS,
    RESHAPES,
    Linear,
    Node,
    Softmax,
    Work,
)

FAR = 50.0
"""Distance from zero at which a function is evaluated to detect a rectifier."""


class Program(Protocol):
    """A traced function as straight-line code."""

    steps: list[Any]
    """See :class:`saliency.adapters.traced.operators.Step`."""
    shapes: dict[Any, tuple[Any, ...]]
    """Shape of every slot."""
    constants: dict[Any, Any]
    """Known values, by slot."""
    images: Any
    """The images' slot."""

    def before(self, slots: set[Any]) -> set[Any]:
        """Return these slots and all slots that they depend on."""

    def after(self, slot: Any) -> set[Any]:
        """Return this slot and all slots that depend on it."""

    def softmaxed(self, slot: Any) -> Any:
        """Return the slot of the logits if this slot is the result of a softmax; else None."""

    def softmax_axis(self, steps: list[Any]) -> int:
        """Return the axis of a softmax's steps."""

    def spread(self, slot: Any) -> tuple[Any, tuple[int, ...]] | None:
        """Return the slot of a constant before it was broadcast, and the positions of its axes."""

    def ends(self, steps: list[Any], constants: dict[Any, Any], source: Any, at: Sequence[float]) -> list[float]:
        """Evaluate elementwise steps at some values."""


_STATISTICS = (
    "sub add mul div neg reduce_sum broadcast_in_dim reshape squeeze expand_dims rsqrt sqrt pow integer_pow square max "
    "squared_difference stop_gradient convert_element_type copy"
)
STATISTICS = frozenset(_STATISTICS.split())
"""Steps that compute a norm's mean and variance."""


def nodes_of(program: Program, work: Work, wanted: set[Any], *, folds: bool, norms: bool) -> list[Node]:
    """Return the operators between the images and some slots, in order.

    Args:
        program: of weights and images.
        work: the functions of its framework.
        wanted: the slots.
        folds: whether a batch norm is folded into the weights before it.
        norms: whether a norm by the example's own statistics is one operator.
    """
    return _Finder(program, work, wanted, folds, norms).found()


class _Finder:
    """Joins steps to operators."""

    def __init__(self, program: Program, work: Work, wanted: set[Any], folds: bool, norms: bool) -> None:
        self._program, self._work, self._folds, self._norms = program, work, folds, norms
        self._dependents = program.after(program.images)
        # without steps that read an array's shape only: what they give does not depend on the image
        on_the_way = program.before(wanted) & self._dependents
        self._steps = [
            step
            for step in program.steps
            if not self._dependents.isdisjoint(step.takes) and not on_the_way.isdisjoint(step.gives)
        ]
        self._users: Counter[Any] = Counter(slot for step in self._steps for slot in set(step.takes))
        self._users.update(wanted)
        self._at = {given: i for i, step in enumerate(self._steps) for given in step.gives}
        # by output of an elementwise operator: the slot that it is a function of
        self._parent: dict[Any, Any] = {}
        self._nodes: dict[int, Node] = {}

    def found(self) -> list[Node]:
        for i, step in enumerate(self._steps):
            self._nodes[i] = self._softmax(step) or self._by_value(step) or self._norm(step) or self._single(step)
            # steps that are part of a later operator are not operators themselves
            own = {id(each) for each in self._nodes[i].steps[:-1]}
            self._nodes = {j: node for j, node in self._nodes.items() if j == i or id(self._steps[j]) not in own}
        self._join()
        self._average()
        return [self._nodes[i] for i in sorted(self._nodes)]

    def _dependent(self, step: Any) -> list[Any]:
        return [slot for slot in step.takes if slot in self._dependents]

    def _single(self, step: Any) -> Node:
        """Return a single step as an operator."""
        primitive, dependent = step.primitive, self._dependent(step)
        if primitive in ("dot_general", "conv_general_dilated") and len(dependent) == 1:
            place = 1 - step.takes.index(dependent[0])
            if primitive == "dot_general" or place == 1:
                return Linear(self._work, step, place, [])
        if primitive in PAIRS and len(dependent) == 2:
            return Node(self._work, PAIRS[primitive], [step], dependent)
        kind = self._kind(step)
        by_value = primitive in BY_VALUE | AFFINE | COMPARE or kind in ("rectifier", "activation")
        if by_value and len(dependent) == 1 and self._same_shape(step, dependent[0]):
            self._parent[step.gives[0]] = dependent[0]
        return Node(self._work, kind, [step], list(dict.fromkeys(dependent)))

    def _same_shape(self, step: Any, slot: Any) -> bool:
        return self._program.shapes[step.gives[0]] == self._program.shapes[slot]

    def _kind(self, step: Any) -> str | None:
        """Return the kind of a step with one input that depends on the image."""
        primitive, dependent = step.primitive, self._dependent(step)
        name = step.name.split(":")[1]
        if len(dependent) > 1:
            return None
        if primitive in ("mul", "div"):
            return "scale" if primitive == "mul" or step.takes[0] == dependent[0] else "elementwise"
        if name == "clip":
            return self._function_kind(dependent[0], [step])
        if primitive == "select_n":
            return None if step.takes[0] not in self._dependents else "elementwise"
        if (primitive == "max" and self._constant(step, dependent[0]) == 0) or (
            primitive == "clamp" and self._value(step.takes[0]) == 0
        ):
            return "rectifier"
        return KINDS.get(name, KINDS.get(primitive))

    def _constant(self, step: Any, dependent: Any) -> Any:
        return self._value(next(slot for slot in step.takes if slot != dependent))

    def _value(self, slot: Any) -> Any:
        """Return the value of a constant, if it is known and uniform."""
        made = next((each for each in self._program.steps if slot in each.gives), None)
        if made is not None and made.primitive in ("broadcast_in_dim", "convert_element_type"):
            return self._value(made.takes[0])
        value: Any = self._program.constants.get(slot)
        known = value is not None and np.ndim(value) == 0 and isinstance(value, int | float | np.generic | np.ndarray)
        return float(value) if known else None

    def _by_value(self, step: Any) -> Node | None:
        """Return the elementwise operator whose steps branch from one slot and join in this step."""
        dependent = list(dict.fromkeys(self._dependent(step)))
        primitive = step.primitive
        meets = primitive in AFFINE | {"max", "min", "select_n", "pow"}
        if not meets or (len(dependent) < 2 and len(self._dependent(step)) < 2):
            return None
        chains = [self._ancestors(slot) for slot in dependent]
        common = next((slot for slot in chains[0] if all(slot in chain for chain in chains)), None)
        if common is None:
            return None
        inside = self._between(common, step)
        if inside is None or not all(self._same_shape(each, common) for each in inside):
            return None
        self._parent[step.gives[0]] = common
        return Node(self._work, self._function_kind(common, inside), inside, [common])

    def _ancestors(self, slot: Any) -> list[Any]:
        chain = [slot]
        while chain[-1] in self._parent:
            chain.append(self._parent[chain[-1]])
        return chain

    def _between(self, slot: Any, step: Any) -> list[Any] | None:
        """Return the steps from a slot to a step, if no other step uses them."""
        inside, wanted = [step], set(step.takes)
        for each in reversed(self._steps[: self._at[step.gives[0]]]):
            if not wanted.isdisjoint(each.gives) and slot not in each.gives and not self._before(each.gives[0], slot):
                inside.insert(0, each)
                wanted.update(each.takes)
        return inside if self._used_here_only(inside) else None

    def _before(self, given: Any, slot: Any) -> bool:
        """Return whether a step's result precedes a slot and does not depend on it."""
        return slot in self._at and self._at[given] <= self._at[slot]

    def _function_kind(self, source: Any, steps: Sequence[Any]) -> str:
        """Return the kind of an elementwise function, rectifier or other, by its values far from zero."""
        constants = self._constants(source, steps)
        if constants is None:
            return "elementwise"
        low, middle, high = self._program.ends(list(steps), constants, source, (-FAR, 0.0, FAR))
        if high > 0 and ((abs(low) <= FAR / 2 <= high) or low == middle == 0):
            return "rectifier"
        return "activation" if abs(high) < FAR / 2 and abs(low) < FAR / 2 else "elementwise"

    def _constants(self, source: Any, steps: Sequence[Any]) -> dict[Any, Any] | None:
        """Return the constants that steps use besides a slot; None if one is not known."""
        taken = {slot for step in steps for slot in step.takes} - {slot for step in steps for slot in step.gives}
        constants: dict[Any, Any] = {slot: self._program.constants.get(slot) for slot in taken - {source}}
        made = [each for each in self._program.steps if not taken.isdisjoint(each.gives) and each not in steps]
        for each in made:
            value = self._value(each.gives[0])
            if value is not None:
                constants[each.gives[0]] = np.full(self._program.shapes[each.gives[0]], value, np.float32)
        known = all(isinstance(value, int | float | np.generic | np.ndarray) for value in constants.values())
        return constants if known else None

    def _softmax(self, step: Any) -> Node | None:
        """Return the softmax that ends in this step."""
        if step.primitive not in ("div", "softmax") or (slot := self._program.softmaxed(step.gives[0])) is None:
            return None
        inside = self._between(slot, step)
        if inside is None:
            return None
        return Softmax(self._work, inside, slot, self._program.softmax_axis(inside))

    def _norm(self, step: Any) -> Node | None:
        """Return the norm that ends in this step: mean zero and variance one, or variance one only."""
        if not self._norms or step.primitive not in ("mul", "div", "add", "sub"):
            return None
        if (steps := self._statistics(step)) is None:
            return None
        found = {each.primitive for each in steps}
        if found.isdisjoint({"rsqrt", "sqrt", "pow"}) or (made := self._maker(self._outside_slot(steps))) is None:
            return None
        if (before := self._statistics(made)) is not None and self._used_here_only([*before, *steps]):
            # the mean was subtracted first
            steps = [*before, *steps]
        return (
            Node(self._work, "normalization", steps, [self._outside_slot(steps)])
            if self._used_here_only(steps)
            else None
        )

    def _statistics(self, step: Any) -> list[Any] | None:
        """Return the steps from one slot and its sums to a step with two inputs; None if there is no such slot."""
        frontier, inside = set(self._dependent(step)), {}
        while len(frontier) > 1:
            slot = max(frontier, key=lambda each: self._at.get(each, -1))
            made = self._maker(slot)
            if made is None or made.primitive not in STATISTICS:
                return None
            inside[self._at[slot]] = made
            frontier = (frontier - {slot}) | set(self._dependent(made))
        steps = [inside[i] for i in sorted(inside)] + [step]
        same = len(steps) > 1 and self._same_shape(step, *frontier)
        return steps if same and any(each.primitive == "reduce_sum" for each in steps) else None

    def _maker(self, slot: Any) -> Any:
        """Return the step that computes a slot; None for the images."""
        return self._steps[self._at[slot]] if slot in self._at else None

    def _outside_slot(self, steps: Sequence[Any]) -> Any:
        """Return the single outside slot that steps use."""
        given = {slot for each in steps for slot in each.gives}
        return next(slot for each in steps for slot in self._dependent(each) if slot not in given)

    def _used_here_only(self, steps: Sequence[Any]) -> bool:
        """Return whether no other step uses intermediate results of these steps."""
        uses: Counter[Any] = Counter(taken for each in steps for taken in set(each.takes))
        return all(self._users[given] == uses[given] for each in steps[:-1] for given in each.gives)

    def _join(self) -> None:
        """Join constants that are added to or multiplied with a product of weights to the weights' operator."""
        for i, node in sorted(self._nodes.items()):
            if not isinstance(node, Linear):
                continue
            last, then = i, list[Any]()
            while (follower := self._follower(Linear(self._work, node.steps[0], node.place, then), last)) is not None:
                then.append(self._steps[follower])
                del self._nodes[last]
                last = follower
                self._nodes[last] = node
            self._nodes[last] = Linear(self._work, node.steps[0], node.place, then)

    def _average(self) -> None:
        """Join a sum and its divisor to a mean."""
        for i, node in sorted(self._nodes.items()):
            if node.kind != "average" or len(node.steps) > 1 or self._users[node.gives[0]] != 1:
                continue
            (slot,) = node.gives
            j = next((j for j in self._nodes if slot in self._nodes[j].steps[0].takes), None)
            if j is None or self._nodes[j].kind != "scale" or len(self._nodes[j].steps) > 1:
                continue
            step = self._nodes[j].steps[0]
            if all(each == slot or not self._program.shapes[each] for each in step.takes):
                self._nodes[j] = Node(self._work, "average", [*node.steps, step], node.takes)
                del self._nodes[i]

    def _follower(self, node: Linear, last: int) -> int | None:
        """Return the only following step, if it adds a constant, scales channels by constants, or only reshapes."""
        (slot,) = self._steps[last].gives
        i = next((i for i, step in enumerate(self._steps) if i > last and slot in step.takes), None)
        if self._users[slot] != 1 or i is None or i not in self._nodes or len(self._nodes[i].steps) != 1:
            return None
        step, primitive = self._steps[i], self._steps[i].primitive
        if primitive in RESHAPES:
            return i if self._work.moved(step, node.channels) is not None else None
        if primitive not in AFFINE or len(step.takes) != 2 or step.takes[0] == step.takes[1]:
            return None
        other = next(each for each in step.takes if each != slot)
        if other in self._dependents or not self._same_shape(step, slot):
            return None
        joins = self._is_folded(node, step, slot, other) if self._folds else self._is_bias(node, step, slot)
        return i if joins else None

    def _is_bias(self, node: Linear, step: Any, slot: Any) -> bool:
        """Return whether a step adds the first bias to the operator's output."""
        biased = any(each.primitive in AFFINE for each in node.steps)
        return step.primitive in ("add", "add_any", "sub") and step.takes[0] == slot and not biased

    def _is_folded(self, node: Linear, step: Any, slot: Any, other: Any) -> bool:
        """Return whether a step adds or multiplies by a constant of each channel."""
        if step.primitive in ("div", "sub") and step.takes[0] != slot:
            return False
        return self._per_channel(other, node.channels, len(self._program.shapes[slot]))

    def _per_channel(self, slot: Any, channels: int, rank: int) -> bool:
        """Return whether a constant varies along the output's channel axis at most."""
        axes = list(range(rank - len(self._program.shapes[slot]), rank))
        while True:
            shape = self._program.shapes[slot]
            if all(length == 1 or axis == channels for axis, length in zip(axes, shape, strict=True)):
                return True
            if (inner := self._program.spread(slot)) is None:
                return False
            slot, kept = inner
            axes = [axes[axis] for axis in kept]
