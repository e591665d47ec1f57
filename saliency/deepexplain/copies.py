"""What lies between X and T, once more in the same graph, where each activation may obey a rule.

Everything else is shared with the user's part: variables keep the values they have, constants are not held twice,
placeholders are fed as ever. So a graph may have been built anywhere, and its own gradients stay as they are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

from saliency.errors import Unsupported

Rule = Callable[[Any, Any], Any]
"""From an activation's operation and the gradient above it to the one below."""

ACTIVATIONS = {"Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus", "Softsign"}
"""The types of operation that rules are about: elementwise, one tensor in, one out."""

CURVED = {
    *("MaxPool", "MaxPoolV2", "MaxPool3D", "Max", "Min", "Maximum", "Minimum", "Softmax", "LogSoftmax"),
    *("Erf", "Erfc", "Exp", "Log", "Log1p", "Sqrt", "Rsqrt", "Square", "SquaredDifference", "Pow", "Abs", "Prod"),
}
"""Types that are not linear, and no activations."""

LOOPS = {"Enter", "RefEnter", "NextIteration", "RefNextIteration", "While", "StatelessWhile"}

GRADIENT_NAME = "SaliencyWidgetDeepExplain"
"""Under which TensorFlow knows the gradient that obeys; one for all rules, for it keeps such names for good."""

_rule: ContextVar[Rule] = ContextVar("rule")


class Copy(NamedTuple):
    """A part of the graph, once more."""

    target: Any
    """Its T."""
    activations: Sequence[Any]
    """Its operations of the types in ACTIVATIONS, in the order of the original."""


@contextlib.contextmanager
def obeying(rule: Rule) -> Iterator[None]:
    """Gradients that are built within obey the rule wherever they pass an activation of a copy."""
    before = _rule.set(rule)
    try:
        yield
    finally:
        _rule.reset(before)


def between(target: Any, inputs: Sequence[Any]) -> list[Any]:
    """The operations that depend on an input and on which T depends.

    Raises:
        Unsupported: they form a loop.
    """
    ends = {x.name for x in inputs}
    needed = _needed(target, ends)
    found: dict[str, Any] = {}
    ahead = [consumer for x in inputs for consumer in x.consumers()]
    while ahead:
        op = ahead.pop()
        if op.name not in needed or op.name in found:
            continue
        if op.type in LOOPS:
            raise Unsupported(
                f"{op.name} is part of a tf.while_loop between X and T, whose activations can obey no rule. Unroll it "
                "(static_rnn for dynamic_rnn), or use saliency, grad*input, intgrad, occlusion or shapley_sampling."
            )
        found[op.name] = op
        ahead += [consumer for tensor in op.outputs if tensor.name not in ends for consumer in tensor.consumers()]
    return list(found.values())


def copied(graph: Any, target: Any, ops: Sequence[Any], sources: Mapping[str, Any], *, obedient: bool = False) -> Copy:
    """Some operations once more, in the same graph.

    Args:
        graph: theirs.
        target: T.
        ops: what is copied; see :func:`between`.
        sources: what the copy takes for each X, by X's name.
        obedient: whether the copy's activations shall obey rules.
    """
    import tensorflow as tf

    _register_gradient()
    if not ops:
        return Copy(sources.get(target.name, target), [])
    inside = {op.name for op in ops}
    definition = tf.compat.v1.GraphDef(versions=graph.graph_def_versions)
    shared: dict[str, Any] = {}
    for op in ops:
        node = definition.node.add()
        node.CopyFrom(op.node_def)
        # what it waits for and what it is placed with has no part in its value, and is not copied
        node.attr.pop("_class", None)
        kept = [name for name in node.input if not name.startswith("^")]
        del node.input[:]
        node.input.extend(kept)
        if op.type in ACTIVATIONS:
            node.attr.pop("_gradient_op_type", None)
            if obedient:
                node.attr["_gradient_op_type"].s = GRADIENT_NAME.encode()
        for tensor in op.inputs:
            if tensor.name in sources or tensor.op.name not in inside:
                shared[tensor.name] = sources.get(tensor.name, tensor)
    activations = [op.name for op in ops if op.type in ACTIVATIONS]
    new_target, *new_activations = tf.graph_util.import_graph_def(
        definition, input_map=shared, return_elements=[target.name, *activations], name="copy"
    )
    return Copy(new_target, new_activations)


def again(op: Any, entered: Any) -> Any:
    """What an activation says of another tensor, with its own gradient."""
    import tensorflow as tf

    settings = {each.name: op.get_attr(each.name) for each in op.op_def.attr if each.type != "type"}
    return getattr(tf.raw_ops, op.type)(**{op.op_def.input_arg[0].name: entered}, **settings)


def untouched(ops: Sequence[Any]) -> list[str]:
    """Activations that no rule reaches, by type and name: within functions, or with a gradient made by hand."""
    calling = [op for op in ops if _functions(op.node_def)]
    hidden = _with_activations(calling[0].graph.as_graph_def().library) if calling else set()
    return [
        f"{op.type} {op.name}"
        for op in ops
        if op.type in ("Erf", "Erfc")  # GELU's
        or (op.type == "IdentityN" and "_gradient_op_type" in op.node_def.attr)  # SiLU's, and tf.custom_gradient's
        or _functions(op.node_def) & hidden
    ]


def curved(ops: Sequence[Any]) -> list[str]:
    """What is not linear, by type and name, and keeps its ordinary gradient."""
    return [f"{op.type} {op.name}" for op in ops if op.type in CURVED]


def _needed(target: Any, ends: set[str]) -> set[str]:
    """The names of the operations that T is computed by, no further back than some tensors."""
    found: set[str] = set()
    ahead = [target]
    while ahead:
        tensor = ahead.pop()
        if tensor.name not in ends and tensor.op.name not in found:
            found.add(tensor.op.name)
            ahead += tensor.op.inputs
    return found


def _functions(node: Any) -> set[str]:
    """The names of the functions that a node may call; its own type, if it is a function."""
    named = {value.func.name for value in node.attr.values() if value.HasField("func")}
    return {node.op, *named, *(func.name for value in node.attr.values() for func in value.list.func)} - {""}


def _with_activations(library: Any) -> set[str]:
    """The names of the functions with an activation in them, or in what they call."""
    found: set[str] = set()
    bodies = {each.signature.name: list(each.node_def) for each in library.function}
    while True:
        more = {
            name
            for name, nodes in bodies.items()
            if name not in found and any(node.op in ACTIVATIONS or _functions(node) & found for node in nodes)
        }
        if not more:
            return found
        found |= more


def _register_gradient() -> None:
    """Tell TensorFlow that there is a gradient which does what the rule says that is in force."""
    import tensorflow as tf

    def obedient(op: Any, above: Any) -> Any:
        return _rule.get()(op, above)

    with contextlib.suppress(KeyError):  # it knows already
        tf.RegisterGradient(GRADIENT_NAME)(obedient)
