"""Inlining of the functions in a graph (``tf.function``, a SavedModel of TensorFlow 2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
"""Types of operation that only call a function. A function's name may also be a type."""


def called(node: Any) -> set[str]:
    """Return the names of the functions that a node may call, including its own type."""
    named = {value.func.name for value in node.attr.values() if value.HasField("func")}
    listed = {func.name for value in node.attr.values() for func in value.list.func}
    return {node.op, *named, *listed}


def opened(nodes: Iterable[Any], library: Mapping[str, Any]) -> tuple[list[Any], dict[str, str]]:
    """Inline the functions of nodes that only call a function.

    Args:
        nodes: definitions. Inputs have full names, "name:0", without control inputs.
        library: functions by name.

    Returns:
        The nodes, and the replacement of each tensor of the removed nodes, by name.
    """
    from tensorflow.python.framework.function_def_to_graph import function_def_to_graph_def  # nothing public does it

    left, found = list(nodes), []
    instead: dict[str, str] = {}
    while left:
        call = left.pop()
        function = library.get(call.attr["f"].func.name if call.op in CALLS else call.op)
        if function is None:
            found.append(call)
            continue
        body, full = function_def_to_graph_def(function)
        inside = {f"{each.name}:0": given for each, given in zip(function.signature.input_arg, call.input, strict=True)}
        handed = {each.name for each in function.signature.input_arg}
        inner = [node for node in body.node if node.name not in handed]
        for node in inner:
            with_names_in_full(node)
            inside |= {name: f"{call.name}/{name}" for name in node.input if name not in inside}
            node.input[:] = [inside[name] for name in node.input]
            node.name = f"{call.name}/{node.name}"
        left += inner
        for i, result in enumerate(function.signature.output_arg):
            name = full[function.ret[result.name]]
            instead[f"{call.name}:{i}"] = inside.get(name, f"{call.name}/{name}")
    for node in found:
        node.input[:] = [standing_for(name, instead) for name in node.input]
    return found, instead


def drop_lost_gradient(node: Any) -> bool:
    """Remove a node's gradient name if it is not registered, and return whether it was removed.

    A SavedModel refers to custom gradients (SiLU's), but does not contain them. The ordinary gradient goes through the
    node's inputs.
    """
    from tensorflow.python.framework.ops import gradient_registry  # there is no public interface

    if "_gradient_op_type" not in node.attr:
        return False
    try:
        gradient_registry.lookup(node.attr["_gradient_op_type"].s)
    except LookupError:
        node.attr.pop("_gradient_op_type")
        return True
    return False


def with_names_in_full(node: Any) -> None:
    """Give a node's inputs full names, "name:0", and remove its control inputs."""
    kept = [name for name in node.input if not name.startswith("^")]
    node.input[:] = [name if ":" in name else f"{name}:0" for name in kept]


def standing_for(name: str, instead: Mapping[str, str]) -> str:
    """Return the final replacement of a tensor."""
    while name in instead:
        name = instead[name]
    return name
