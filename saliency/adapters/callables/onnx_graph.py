"""Read an ONNX session's file, in the Protocol Buffers format, and the last operator of its graph."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from saliency.adapters.callables.protobuf import Field, fields, text
from saliency.model.head import Operator

GRAPH, NODE = 7, 1
"""Fields: the graph of a model, a node of the graph."""

INPUTS, OUTPUTS, NAME, OP_TYPE, ATTRIBUTE = 1, 2, 3, 4, 5
"""Fields of a node."""

INNER_GRAPHS = (6, 11)
"""Fields of an attribute: a graph, several graphs."""

ACTIVATIONS: Mapping[str, Operator] = {
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
    "Sigmoid": "sigmoid",
    "Gemm": "linear",
    "MatMul": "linear",
    "Conv": "linear",
}

MOVES = ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast")
"""Operators that do not change values."""


UNREADABLE = (OSError, ValueError, IndexError, KeyError, StopIteration)
"""Errors of a file in ONNX Runtime's own format, or that was deleted or overwritten."""


def last_operator(session: Any, name: str) -> Operator | None:
    """Return the last operator before an output of a session; None if it cannot be read.

    Args:
        session: an ``onnxruntime.InferenceSession``.
        name: of the output.
    """
    try:
        with contents(session) as data:
            return _ending(data, name)
    except UNREADABLE:
        return None


@contextmanager
def contents(session: Any) -> Iterator[Any]:
    """Yield the bytes of the model that a session was opened with.

    Raises:
        OSError: its file cannot be read.
    """
    path, data = getattr(session, "_model_path", None), getattr(session, "_model_bytes", None)
    if data:
        yield memoryview(data)
        return
    with Path(path or "").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        yield mapped


def _ending(data: Any, name: str) -> Operator | None:
    made: dict[str, Node] = {}
    for each in nodes(data, graph_of(data)):
        made.update(dict.fromkeys(each.gives, each))
    node = made[name]
    while node.kind in MOVES:
        node = made[node.takes[0]]
    if node.kind == "Add" and any(made[each].kind in ("MatMul", "Gemm", "Conv") for each in node.takes if each in made):
        return "linear"
    return ACTIVATIONS.get(node.kind)


class Node(NamedTuple):
    """An operator of the graph."""

    name: str
    """Its own name, or else that of its first output."""
    kind: str
    takes: list[str]
    """Names of its inputs, and of those that its inner graphs read."""
    gives: list[str]


def graph_of(data: Any) -> Field:
    """Return the field of a model that is its graph."""
    return next(each for each in fields(data, 0, len(data)) if each.number == GRAPH)


def nodes(data: Any, graph: Field) -> Iterator[Node]:
    """Yield the operators of a graph, in order."""
    for each in fields(data, graph.at, graph.stop):
        if each.number == NODE:
            yield _node(data, each)


def _node(data: Any, field: Field) -> Node:
    found: dict[int, list[str]] = {number: [] for number in (INPUTS, OUTPUTS, NAME, OP_TYPE)}
    inner: list[str] = []
    for each in fields(data, field.at, field.stop):
        if each.number in found:
            found[each.number].append(text(data, each))
        elif each.number == ATTRIBUTE:
            graphs = (part for part in fields(data, each.at, each.stop) if part.number in INNER_GRAPHS)
            inner += (name for graph in graphs for node in nodes(data, graph) for name in node.takes)
    name = next(filter(None, [*found[NAME], *found[OUTPUTS]]), "")
    return Node(name, found[OP_TYPE][0], found[INPUTS] + inner, found[OUTPUTS])
