"""Functions within a graph (``tf.function``, a SavedModel of TensorFlow 2), replaced by what they are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
"""Types of operation that only call a function. Another type may be a function's name itself."""


def called(node: Any) -> set[str]:
    """The names of the functions that a node may call; its own type among them."""
    named = {value.func.name for value in node.attr.values() if value.HasField("func")}
    listed = {func.name for value in node.attr.values() for func in value.list.func}
    return {node.op, *named, *listed}


def opened(nodes: Iterable[Any], library: Mapping[str, Any]) -> tuple[list[Any], dict[str, str]]:
    """Nodes without those that only call a function: what it is made of stands in their place.

    Args:
        nodes: definitions. Inputs have their names in full, "name:0", and none is for control.
        library: functions by name.

    Returns:
        such nodes, and the name of what stands for each tensor of those that are gone.
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
    """Let a node have its ordinary gradient if the one that it names is not known here; whether that was so.

    A SavedModel names gradients that were made by hand (SiLU's), but does not bring them. The ordinary one goes through
    what the node was computed from.
    """
    from tensorflow.python.framework.ops import gradient_registry  # nothing public tells

    if "_gradient_op_type" not in node.attr:
        return False
    try:
        gradient_registry.lookup(node.attr["_gradient_op_type"].s)
    except LookupError:
        node.attr.pop("_gradient_op_type")
        return True
    return False


def with_names_in_full(node: Any) -> None:
    """Name a node's inputs "name:0", and let it wait for nothing."""
    kept = [name for name in node.input if not name.startswith("^")]
    node.input[:] = [name if ":" in name else f"{name}:0" for name in kept]


def standing_for(name: str, instead: Mapping[str, str]) -> str:
    """What stands for a tensor in the end."""
    while name in instead:
        name = instead[name]
    return name
