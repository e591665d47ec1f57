"""The traced program of a JAX function as straight-line code, in which layers can be read and replaced.

A layer is named by its module ("block.conv", if modules have names), or, for operators without a module of their own,
by module, operator and number of the call inside that module: ":relu:1".
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from saliency.adapters.layers import Laid, Surveyed, last_part, made_by, nameable, spatial
from saliency.adapters.tokens import Grid, over_image, token_grid
from saliency.adapters.traced.operators import before
from saliency.errors import unknown
from saliency.model.head import Operator

MARK = "@"
"""Prefix of the scope of a module."""

SLASH = "|"
"""Replaces "/" in such a name, since JAX separates scopes by "/"."""

INLINED = frozenset({"jit", "pjit", "closed_call", "core_call"})
"""Primitives that only call another program."""

MOVES = frozenset(("reshape", "squeeze", "expand_dims", "broadcast_in_dim", "convert_element_type", "copy", "slice"))
"""Primitives that do not change values, provided that they keep all of them."""

LINEAR = ("dot_general", "conv_general_dilated")
"""Primitives whose result has no bounds."""


HALF = (np.dtype(jnp.bfloat16), np.dtype(jnp.float16))
"""Half-precision types, too coarse for sums and quotients."""


class Step(NamedTuple):
    """One operator's call."""

    name: str
    modules: tuple[str, ...]
    """Modules around the operator, outermost first."""
    equation: Any
    takes: list[int]
    gives: list[int]

    @property
    def function(self) -> str:
        """Name of the operator: a primitive, or a small program with its own name."""
        return self.name.rpartition(":")[0].rpartition(":")[2]

    @property
    def primitive(self) -> str:
        """Name of the primitive."""
        return str(self.equation.primitive.name)


class Program:
    """The operators of a function in order, with jitted functions inlined.

    Args:
        function: of arrays and trees of arrays; its last argument is the images.
        arguments: example arguments; only their shapes matter.
        whole: names of jitted functions that stay one operator.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any, whole: frozenset[str] = frozenset()) -> None:
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
        self.tree = jax.tree.structure(shapes)
        self.shapes: dict[int, tuple[int, ...]] = {}
        self.steps: list[Step] = []
        self.constants: dict[int, Any] = {}
        self._slots = 0
        self._counts: Counter[str] = Counter()
        self._whole = whole
        self.inputs = [self._slot() for _ in closed.jaxpr.invars]
        self.shapes.update({slot: each.aval.shape for slot, each in zip(self.inputs, closed.jaxpr.invars, strict=True)})
        constants = [self._slot(value) for value in closed.consts]
        self.outputs = self._flatten(closed.jaxpr, constants, self.inputs, "")
        self._makers = {given: step for step in self.steps for given in step.gives}
        self.images = self.inputs[-1]

    def _slot(self, *value: Any) -> int:
        self._slots += 1
        if value:
            self.constants[self._slots] = value[0]
            self.shapes[self._slots] = tuple(jnp.shape(value[0]))
        return self._slots

    def _flatten(self, jaxpr: Any, constants: list[int], inputs: list[int], scope: str) -> list[int]:
        slots: dict[Any, int] = dict(zip(jaxpr.constvars, constants, strict=True))
        slots.update(zip(jaxpr.invars, inputs, strict=True))

        def at(atom: Any) -> int:
            return self._slot(atom.val) if isinstance(atom, core.Literal) else slots[atom]

        for equation in jaxpr.eqns:
            takes, here = [at(atom) for atom in equation.invars], f"{scope}/{equation.source_info.name_stack}"
            inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
            whole = equation.params.get("name") in self._whole
            if equation.primitive.name in INLINED and inner is not None and not whole:
                consts = [self._slot(value) for value in getattr(inner, "consts", ())]
                gives = self._flatten(getattr(inner, "jaxpr", inner), consts, takes, here)
            else:
                gives = [self._slot() for _ in equation.outvars]
                self.shapes.update({slot: each.aval.shape for slot, each in zip(gives, equation.outvars, strict=True)})
                marks = (mark.replace(SLASH, "/") for mark in re.findall(rf"{MARK}([^/()]+)", here))
                modules = tuple(dict.fromkeys(marks))
                path, operator = modules[-1] if modules else "", _operator(equation)
                count = self._counts[f"{path}:{operator}"]
                self._counts[f"{path}:{operator}"] += 1
                self.steps.append(Step(f"{path}:{operator}:{count}", modules, equation, takes, gives))
            slots.update(zip(equation.outvars, gives, strict=True))
        return [at(atom) for atom in jaxpr.outvars]

    def run(
        self,
        *arguments: Any,
        changes: Mapping[int, Any] | None = None,
        instead: Mapping[int, Any] | None = None,
        through: Mapping[int, Callable[[Any], Any]] | None = None,
    ) -> tuple[Any, dict[int, Any]]:
        """Return the function's result, and every value by its slot.

        Args:
            *arguments: like those of the trace.
            changes: by slot, terms added to values before they are used.
            instead: by slot, replacements of values.
            through: by slot, functions of values.
        """
        values = {**self.constants, **dict(zip(self.inputs, jax.tree.leaves(arguments), strict=True))}
        for step in self.steps:
            outputs = bound(step.equation, [values[slot] for slot in step.takes])
            several = outputs if step.equation.primitive.multiple_results else [outputs]
            for slot, given in zip(step.gives, several, strict=True):
                value = instead[slot].astype(given.dtype) if instead and slot in instead else given
                value = through[slot](value) if through and slot in through else value
                values[slot] = value + changes[slot] if changes and slot in changes else value
        return jax.tree.unflatten(self.tree, [values[slot] for slot in self.outputs]), values

    def resumed(self, *arguments: Any, slot: int, value: Any) -> Any:
        """Return the function's result from the value of a slot; only the steps after it run.

        Args:
            *arguments: like those of the trace; the result must not depend on the images but through the slot.
            slot: of the value.
            value: replaces it.
        """
        values = {**self.constants, **dict(zip(self.inputs, jax.tree.leaves(arguments), strict=False))}
        wanted, steps = set(self.outputs) - {slot}, list[Step]()
        for step in reversed(self.steps):
            if not wanted.isdisjoint(step.gives):
                steps.insert(0, step)
                wanted |= set(step.takes) - {slot}
        values[slot] = value.astype(self.aval(slot).dtype)
        for step in steps:
            outputs = bound(step.equation, [values[each] for each in step.takes])
            several = outputs if step.equation.primitive.multiple_results else [outputs]
            values.update((each, given) for each, given in zip(step.gives, several, strict=True) if each != slot)
        return jax.tree.unflatten(self.tree, [values[each] for each in self.outputs])

    def around(self, slot: int) -> set[int]:
        """Return all slots that depend on the images by a path around a slot."""
        found = {self.images} - {slot}
        for step in self.steps:
            if not found.isdisjoint(step.takes):
                found.update(each for each in step.gives if each != slot)
        return found

    def softmaxed(self, slot: int) -> int | None:
        """Return the slot of the logits if this slot is the result of a softmax; else None."""

        def by(slot: int, *kinds: str) -> Step | None:
            step = self._makers.get(slot)
            while step is not None and step.equation.primitive.name in ("convert_element_type", "copy"):
                step = self._makers.get(step.takes[0])
            return step if step is not None and step.equation.primitive.name in kinds else None

        last = self._makers.get(slot)
        if last is not None and "softmax" in last.name and len(last.takes) == 1:
            return last.takes[0]
        if (ratio := by(slot, "div")) is None or (power := by(ratio.takes[0], "exp")) is None:
            return None
        total = by(ratio.takes[1], "broadcast_in_dim", "reshape", "reduce_sum")
        if total is not None and total.equation.primitive.name != "reduce_sum":
            total = by(total.takes[0], "reduce_sum")
        difference = by(power.takes[0], "sub")
        if total is None or difference is None or by(total.takes[0], "exp") is not power:
            return None
        return difference.takes[0]

    def activated(self, slot: int) -> tuple[Operator | None, int | None]:
        """Return the last operator before a slot, skipping moves, and the slot of its logits."""
        last = self._maker(slot)
        if last is None:
            return None, None
        if (logits := self.softmaxed(last.gives[0])) is not None:
            return "softmax", logits
        if (logits := self._sigmoid(last)) is not None:
            return "sigmoid", logits
        if (logits := self._log_softmax(last)) is not None:
            return "log_softmax", logits
        biased = last.function == "add" and any(self._maker(each, *LINEAR) for each in last.takes)
        return ("linear" if biased or last.function in LINEAR else None), None

    def _maker(self, slot: int, *names: str) -> Step | None:
        """Return the step that computed a slot, if it has one of these names; moves are skipped."""
        step = self._makers.get(slot)
        while step is not None and step.primitive in MOVES and self._keeps(step):
            slot = step.takes[0]
            step = self._makers.get(slot)
        return step if step is not None and (not names or step.function in names) else None

    def _sigmoid(self, last: Step) -> int | None:
        """Return the slot of the logits x if the last step returns their sigmoid, written 1 / (1 + exp(-x)) or not."""
        if last.function in ("logistic", "sigmoid"):
            return last.takes[0]
        if last.function != "div" or not self._is_one(last.takes[0]):
            return None
        total = self._maker(last.takes[1], "add")
        if total is None or not any(map(self._is_one, total.takes)):
            return None
        power = next((step for each in total.takes if (step := self._maker(each, "exp"))), None)
        negative = self._maker(power.takes[0], "neg") if power else None
        return negative.takes[0] if negative else None

    def _log_softmax(self, last: Step) -> int | None:
        """Return the slot of the logits x if the last step computes y - log(sum(exp(y))), with y = x - max(x)."""
        if last.function != "sub":
            return None
        shifted, log = self._maker(last.takes[0], "sub"), self._maker(last.takes[1], "log")
        total = self._maker(log.takes[0], "reduce_sum") if log else None
        power = self._maker(total.takes[0], "exp") if total else None
        if shifted is None or power is None or self._maker(power.takes[0]) is not shifted:
            return None
        return shifted.takes[0]

    def _keeps(self, step: Step) -> bool:
        """Return whether a step returns all of its input values."""
        return math.prod(self.shapes[step.takes[0]]) == math.prod(self.shapes[step.gives[0]])

    def _is_one(self, slot: int) -> bool:
        value = self.constants.get(slot)
        return value is not None and jnp.ndim(value) == 0 and float(value) == 1

    def softmax_axis(self, steps: list[Step]) -> int:
        """Return the axis of a softmax's steps."""
        total = next(each for each in reversed(steps) if each.primitive == "reduce_sum")
        return int(total.equation.params["axes"][0])

    def spread(self, slot: int) -> tuple[int, tuple[int, ...]] | None:
        """Return the slot of a constant before it was broadcast, and the positions of its axes."""
        made = self._makers.get(slot)
        if made is None or made.primitive != "broadcast_in_dim":
            return None
        return made.takes[0], made.equation.params["broadcast_dimensions"]

    def ends(self, steps: list[Step], constants: dict[int, Any], source: int, at: Sequence[float]) -> list[float]:
        """Evaluate elementwise steps at some values."""
        found = []
        with jax.ensure_compile_time_eval():
            for value in at:
                now = {**constants, source: jnp.full(self.shapes[source], value)}
                for step in steps:
                    now.update(zip(step.gives, widely(step.equation, [now[slot] for slot in step.takes]), strict=True))
                found.append(float(jnp.ravel(now[steps[-1].gives[0]])[0]))
        return found

    def cut(self, score: int) -> str | None:
        """Return the message why the score has no gradient by the images; None if it has one."""
        alive, breaks, wanted = {self.images}, [], self.before({score})
        for step in self.steps:
            if alive.isdisjoint(step.takes):
                continue
            stops = step.equation.primitive.name == "stop_gradient"
            for slot, variable in zip(step.gives, step.equation.outvars, strict=True):
                if jnp.issubdtype(variable.aval.dtype, jnp.inexact) and not stops:
                    alive.add(slot)
                elif slot in wanted:
                    breaks.append((step, variable.aval.dtype))
        if score in alive:
            return None
        sentence = "The score cannot be differentiated by the image"
        if not breaks:
            return f"{sentence}: it does not depend on it."
        step, dtype = breaks[-1]
        where = f"{step.name.split(':')[1]}" + (f" in {step.modules[-1]!r}" if step.modules else "")
        if step.equation.primitive.name == "stop_gradient":
            return f"{sentence}: {where} stops the gradient. Remove it, or use a method that needs only scores."
        return f"{sentence}: {where} converts to {dtype}, and integers have no gradient. Explain an output before it."

    def before(self, slots: set[int]) -> set[int]:
        """Return these slots and all slots that they depend on."""
        return before(self.steps, slots)

    def after(self, slot: int) -> set[int]:
        """Return this slot and all slots that depend on it."""
        found = {slot}
        for step in self.steps:
            if not found.isdisjoint(step.takes):
                found.update(step.gives)
        return found

    @property
    def precision(self) -> Any:
        """Return the first half-precision type in the program; None without one."""
        types = (each.aval.dtype for step in self.steps for each in step.equation.outvars)
        return next((each for each in types if each in HALF), None)

    def aval(self, slot: int) -> Any:
        """Return the shape and dtype of a slot."""
        return next(
            variable.aval
            for step in self.steps
            for given, variable in zip(step.gives, step.equation.outvars, strict=True)
            if given == slot
        )

    def layer(self, name: str) -> int:
        """Return the slot of a layer's (last) output.

        Raises:
            UnknownName: there is no such layer.
        """
        # the whole name first: the last part of another one may be the same
        for named in (str, last_part):
            for step in reversed(self.steps):
                if step.name == name or name in map(named, step.modules):
                    return step.gives[0]
        modules = {module for step in self.steps for module in step.modules}
        raise unknown("layer", name, sorted(modules) or [step.name for step in self.steps])

    def attention(self, scores: set[int]) -> list[int]:
        """Return the slots of every softmax that may mix tokens, before the scores.

        They are (N, heads, T, T), or (groups, N, heads, T, T) in ``jax.nn.dot_product_attention``.
        """
        wanted = self.before(scores)
        squares = [
            step.gives[0]
            for step in self.steps
            if len(shape := step.equation.outvars[0].aval.shape) in (4, 5) and shape[-2] == shape[-1] > 1
        ]
        return [slot for slot in squares if slot in wanted and self.softmaxed(slot) is not None]

    def blocks(self, maps: list[int]) -> list[int]:
        """Return the slots of the last sum of tokens, (N, T, K), after each map and before the next."""
        found: dict[int, int] = {}
        seen, alive = 0, self.after(self.images)
        for step in self.steps:
            seen += step.gives[0] in maps
            shapes = {tuple(each.aval.shape) for each in (*step.equation.invars, *step.equation.outvars)}
            # a bias does not depend on the image
            both = step.equation.primitive.name in ("add", "add_any") and alive.issuperset(step.takes)
            if seen and both and len(shapes) == 1 and len(shapes.pop()) == 3:
                found[seen] = step.gives[0]
        return [found[i + 1] for i in range(len(maps)) if i + 1 in found]

    def survey(self, image: tuple[int, int], first: bool, scores: set[int], outputs: set[int], dense: bool) -> Surveyed:
        """Return every layer with a grid, in order; layers of tokens only if they are in the residual stream.

        Args:
            image: height and width.
            first: whether the function's own layout has the channels first.
            scores: slots of the scores.
            outputs: slots of the model's outputs, which are not layers.
            dense: whether scores are read from a map.
        """
        wanted = (self.before(scores) & self.after(self.images)) - outputs
        if dense:
            wanted &= self.before(outputs)
        maps: set[tuple[int, int]] = set()
        attention = {tuple(self.shapes[slot]) for slot in self.attention(scores)}
        attended = {int(shape[-1]) for shape in attention}
        found: list[Laid] = []
        called: list[str] = []
        for i, step in enumerate(self.steps):
            shape = tuple(self.shapes[step.gives[0]])
            if step.gives[0] not in wanted or shape in attention:
                continue
            operator = step.name.split(":")[1]
            if spatial(shape):
                called.append(operator)
            moved = [shape[i] for i in (0, 2, 3, 1)] if first and len(shape) == 4 else shape
            if over_image(moved, image):
                grid: Grid | None = Grid("first" if first else "last", moved[1], moved[2])
            else:
                grid = token_grid(shape, image, maps, attended) if self._in_stream(step) else None
            # a product of two arrays mixes tokens, or resizes
            if grid is None or made_by([step.primitive]) is None or step.primitive == "dot_general":
                continue
            if not grid.of_tokens:
                maps.add((moved[1], moved[2]))
            found.append(Laid(self._name(i), shape, grid, tuple(called)))
            called = []
        return Surveyed(nameable(found), dense)

    def _name(self, i: int) -> str:
        """Return the name of the layer that step `i` returns."""
        step, following = self.steps[i], self.steps[i + 1].modules if i + 1 < len(self.steps) else ()
        # a module's name is shorter than an operator's, where its call ends here
        ends = [module for module in step.modules if module not in following]
        return ends[0] if ends and self.layer(ends[0]) == step.gives[0] else step.name

    def penultimate(self, scores: set[int]) -> str | None:
        """Return the name of the layer that the last operator with weights before the scores reads; None without."""
        wanted, alive = self.before(scores), self.after(self.images)
        for step in reversed(self.steps):
            read = [slot for slot in step.takes if slot in alive]
            if step.primitive in LINEAR and len(read) == 1 and not wanted.isdisjoint(step.gives):
                # names of moves depend on the batch size: broadcasting one image is a squeeze
                while (made := self._makers.get(read[0])) is not None and made.primitive in MOVES:
                    read = made.takes[:1]
                return None if made is None else self._name(self.steps.index(made))
        return None

    def _in_stream(self, step: Step) -> bool:
        """Return whether a step is in a residual stream: a sum of two rows of tokens, or a norm's output."""
        if step.primitive not in ("add", "add_any"):
            return False
        alive = self.after(self.images)
        dependent = [slot for slot in step.takes if slot in alive]
        if len(dependent) == 2:
            return self.shapes[dependent[0]] == self.shapes[dependent[1]]
        made = self._makers.get(dependent[0]) if dependent else None
        return made is not None and made.primitive == "mul"


def bound(equation: Any, values: list[Any]) -> Any:
    """Evaluate an equation's operator on other values."""
    found = equation.primitive.get_bind_params(equation.params)
    # older JAX versions bind inner functions separately, newer ones as parameters
    functions, params = found if isinstance(found, tuple) else ((), found)
    return equation.primitive.bind(*functions, *values, **params)


def widely(equation: Any, values: Sequence[Any]) -> list[Any]:
    """Evaluate an equation's operator on other values, half precision in float32."""
    several = equation.primitive.multiple_results
    if not any(getattr(each.aval, "dtype", None) in HALF for each in (*equation.invars, *equation.outvars)):
        outputs = bound(equation, list(values))
        return list(outputs) if several else [outputs]
    inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
    if inner is not None and equation.primitive.name in INLINED:
        return _evaluated(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), values)
    if inner is not None:
        # a function with a custom gradient fixes its types
        own = [each.astype(to.aval.dtype) for each, to in zip(map(jnp.asarray, values), equation.invars, strict=True)]
        outputs = bound(equation, own)
        return [wide(each) for each in (outputs if several else [outputs])]
    params = {name: np.dtype(np.float32) if _is_half(value) else value for name, value in equation.params.items()}
    outputs = bound(equation.replace(params=params), [wide(each) for each in values])
    return list(outputs) if several else [outputs]


def _evaluated(jaxpr: Any, constants: Sequence[Any], values: Sequence[Any]) -> list[Any]:
    """Evaluate a program inside an operator step by step in float32."""
    now = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*constants, *values), strict=True))

    def at(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else now[atom]

    for equation in jaxpr.eqns:
        now.update(zip(equation.outvars, widely(equation, [at(atom) for atom in equation.invars]), strict=True))
    return [wide(at(atom)) for atom in jaxpr.outvars]


def wide(value: Any) -> Any:
    """Convert a half-precision array to float32; return all other values unchanged."""
    return jnp.asarray(value, jnp.float32) if getattr(value, "dtype", None) in HALF else value


def _is_half(value: Any) -> bool:
    return isinstance(value, np.dtype | type) and value in HALF


def _operator(equation: Any) -> str:
    """Return the name of an operator: functions such as jax.nn.relu are small programs with their own name."""
    inner = equation.params.get("call_jaxpr")
    equations: Any = getattr(getattr(inner, "jaxpr", inner), "eqns", ())
    if len(equations) == 1 and "name" in equations[0].params:
        return str(equations[0].params["name"])
    return str(equation.params.get("name") or equation.primitive.name).replace(":", "")
