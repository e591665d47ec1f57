"""A copy of the operations between X and T in the same graph, in which activations follow a rule.

Variables, constants and placeholders are shared with the user's operations. So a graph may have been built anywhere,
and its own gradients do not change.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

from saliency.deepexplain.functions import called, drop_lost_gradient, opened, standing_for, with_names_in_full
from saliency.errors import Unsupported

Rule = Callable[[Any, Any], Any]
"""Maps an activation's operation and the gradient of its output to the gradient of its input."""

ACTIVATIONS = {"Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus", "Softsign"}
"""Types of operation that follow rules: elementwise, with one input and one output."""

CURVED = {
    *("MaxPool", "MaxPoolV2", "MaxPool3D", "Max", "Min", "Maximum", "Minimum", "Softmax", "LogSoftmax"),
    *("Erf", "Erfc", "Exp", "Log", "Log1p", "Sqrt", "Rsqrt", "Square", "SquaredDifference", "Pow", "Abs", "Prod"),
}
"""Nonlinear types that are not activations."""

LOOPS = {"Enter", "RefEnter", "NextIteration", "RefNextIteration", "While", "StatelessWhile"}

GRADIENT_NAME = "SaliencyWidgetDeepExplain"
"""Name of the registered gradient; one for all rules, since TensorFlow never removes registered names."""

_rule: ContextVar[Rule] = ContextVar("rule")


class Copy(NamedTuple):
    """A copy of a part of the graph."""

    target: Any
    """Its T."""
    activations: Sequence[Any]
    """Its operations of the types in ACTIVATIONS, in the same order in all copies."""


@contextlib.contextmanager
def obeying(rule: Rule) -> Iterator[None]:
    """Apply a rule to gradients that are built within the context, at each activation of an obedient copy."""
    before = _rule.set(rule)
    try:
        yield
    finally:
        _rule.reset(before)


class Part:
    """The operations between X and T, as definitions, with functions inlined.

    Args:
        graph: the user's.
        target: T.
        inputs: X.

    Attributes:
        helps: whether a copy may be differentiable where the original is not: it has no functions and no unregistered
            gradients.
        untouched: activations to which no rule can be applied, by type and name.
    """

    def __init__(self, graph: Any, target: Any, inputs: Sequence[Any]) -> None:
        ops = _between(target, inputs)
        nodes = [op.node_def for op in ops]
        for node in nodes:
            with_names_in_full(node)
        library = {} if _call_nothing(nodes) else _library(graph)
        nodes, instead = opened(nodes, library)
        self._target = standing_for(target.name, instead)
        self._ends = {x.name for x in inputs}
        self._nodes = _needed(self._target, nodes, self._ends)
        self._tensors = {tensor.name: tensor for op in ops for tensor in op.inputs} | {target.name: target}
        self._versions = graph.graph_def_versions
        self._loop = next((node.name for node in self._nodes if node.op in LOOPS), None)
        hidden = _with_activations(library)
        self.untouched = [f"{node.op} {node.name}" for node in self._nodes if _out_of_reach(node, hidden)]
        lost = [drop_lost_gradient(node) for node in self._nodes]
        self.helps = (bool(instead) or any(lost)) and self._loop is None

    @property
    def curved(self) -> list[str]:
        """Nonlinear operations that keep their ordinary gradient, by type and name."""
        return [f"{node.op} {node.name}" for node in self._nodes if node.op in CURVED]

    def copied(self, sources: Mapping[str, Any], *, obedient: bool = False) -> Copy:
        """Return a copy of the part in the default graph.

        Args:
            sources: the copy's input for each X, by X's name.
            obedient: whether the copy's activations follow rules.

        Raises:
            Unsupported: there is a loop, whose activations cannot follow rules.
        """
        import tensorflow as tf

        if self._loop is not None:
            raise Unsupported(
                f"{self._loop} is part of a tf.while_loop between X and T, whose activations cannot follow a rule. "
                "Unroll it (static_rnn for dynamic_rnn), or use saliency, grad*input, intgrad, occlusion "
                "or shapley_sampling."
            )
        _register_gradient()
        definition = tf.compat.v1.GraphDef(versions=self._versions)
        definition.node.extend(self._nodes)
        inside = {node.name for node in definition.node}
        taken: dict[str, Any] = {}
        for node in definition.node:
            node.attr.pop("_class", None)  # colocation does not affect values
            if node.op in ACTIVATIONS:
                node.attr.pop("_gradient_op_type", None)
                if obedient:
                    node.attr["_gradient_op_type"].s = GRADIENT_NAME.encode()
            for name in node.input:
                if name in self._ends or name.rpartition(":")[0] not in inside:
                    taken[name] = sources.get(name, self._tensors.get(name))
        if self._target in self._ends or self._target.rpartition(":")[0] not in inside:
            return Copy(sources.get(self._target, self._tensors.get(self._target)), [])
        activations = [node.name for node in definition.node if node.op in ACTIVATIONS]
        target, *found = tf.graph_util.import_graph_def(
            definition, input_map=taken, return_elements=[self._target, *activations], name="copy"
        )
        return Copy(target, found)


def again(op: Any, entered: Any) -> Any:
    """Evaluate an activation on another tensor, with its own gradient."""
    import tensorflow as tf

    settings = {each.name: op.get_attr(each.name) for each in op.op_def.attr if each.type != "type"}
    return getattr(tf.raw_ops, op.type)(**{op.op_def.input_arg[0].name: entered}, **settings)


def _between(target: Any, inputs: Sequence[Any]) -> list[Any]:
    """Return the operations that depend on an input and on which T depends."""
    ends = {x.name for x in inputs}
    needed: set[str] = set()
    back = [target]
    while back:
        tensor = back.pop()
        if tensor.name not in ends and tensor.op.name not in needed:
            needed.add(tensor.op.name)
            back += tensor.op.inputs
    found: dict[str, Any] = {}
    ahead = [consumer for x in inputs for consumer in x.consumers()]
    while ahead:
        op = ahead.pop()
        if op.name in needed and op.name not in found:
            found[op.name] = op
            ahead += [consumer for tensor in op.outputs if tensor.name not in ends for consumer in tensor.consumers()]
    return list(found.values())


def _needed(target: str, nodes: Sequence[Any], ends: set[str]) -> list[Any]:
    """Return the nodes that compute a tensor, back to the tensors `ends`."""
    by_name = {node.name: node for node in nodes}
    found: dict[str, Any] = {}
    back = [target]
    while back:
        name = back.pop()
        owner = name.rpartition(":")[0]
        if name not in ends and owner in by_name and owner not in found:
            found[owner] = by_name[owner]
            back += by_name[owner].input
    return list(found.values())


def _out_of_reach(node: Any, hidden: set[str]) -> bool:
    """Return whether a node is an activation without rules: composed, with a custom gradient, or in a branch."""
    of_its_own = node.op == "IdentityN" and "_gradient_op_type" in node.attr  # SiLU's, and tf.custom_gradient's
    return of_its_own or node.op in ("Erf", "Erfc") or bool(called(node) & hidden)  # GELU's


def _call_nothing(nodes: Sequence[Any]) -> bool:
    import tensorflow as tf

    return all(called(node) == {node.op} and hasattr(tf.raw_ops, node.op) for node in nodes)


def _library(graph: Any) -> dict[str, Any]:
    """Return the graph's functions, by name."""
    return {each.signature.name: each for each in graph.as_graph_def().library.function}


def _with_activations(library: Mapping[str, Any]) -> set[str]:
    """Return the names of the functions with an activation in them, or in functions that they call."""
    found: set[str] = set()
    while True:
        more = {
            name
            for name, function in library.items()
            if name not in found and any(node.op in ACTIVATIONS or called(node) & found for node in function.node_def)
        }
        if not more:
            return found
        found |= more


def _register_gradient() -> None:
    """Register a gradient that applies the active rule."""
    import tensorflow as tf

    def obedient(op: Any, above: Any) -> Any:
        return _rule.get()(op, above)

    with contextlib.suppress(KeyError):  # already registered
        tf.RegisterGradient(GRADIENT_NAME)(obedient)
