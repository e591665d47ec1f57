"""Read the last operator of an ONNX graph from the session's file, in the Protocol Buffers format.

Only the types of operators and the names of their inputs and outputs are read; weights are skipped.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from saliency.model.head import Operator

GRAPH, NODE = 7, 1
"""Fields: the graph of a model, a node of the graph."""

INPUTS, OUTPUTS, OP_TYPE = 1, 2, 4
"""Fields of a node."""

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


def last_operator(session: Any, name: str) -> Operator | None:
    """Return the last operator before an output of a session; None if it cannot be read.

    Args:
        session: an ``onnxruntime.InferenceSession``.
        name: of the output.
    """
    path, data = getattr(session, "_model_path", None), getattr(session, "_model_bytes", None)
    try:
        if data:
            return _ending(memoryview(data), name)
        with Path(path or "").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return _ending(mapped, name)
    except (OSError, ValueError, IndexError, KeyError):
        # ONNX Runtime's own format, or a file that was deleted or overwritten
        return None


def _ending(data: Any, name: str) -> Operator | None:
    (start, stop), *_ = (span for field, span in _fields(data, 0, len(data)) if field == GRAPH)
    made: dict[str, tuple[str, list[str]]] = {}
    for field, span in _fields(data, start, stop):
        if field == NODE:
            kind, takes, gives = _node(data, *span)
            made.update(dict.fromkeys(gives, (kind, takes)))
    kind, takes = made[name]
    while kind in MOVES:
        kind, takes = made[takes[0]]
    if kind == "Add" and any(made.get(each, ("", []))[0] in ("MatMul", "Gemm", "Conv") for each in takes):
        return "linear"
    return ACTIVATIONS.get(kind)


def _node(data: Any, start: int, stop: int) -> tuple[str, list[str], list[str]]:
    """Return the type of an operator and the names of its inputs and outputs."""
    found = [(field, span) for field, span in _fields(data, start, stop) if field in (INPUTS, OUTPUTS, OP_TYPE)]
    takes, gives, kind = (
        [_text(data, span) for field, span in found if field == wanted] for wanted in (INPUTS, OUTPUTS, OP_TYPE)
    )
    return kind[0], takes, gives


def _text(data: Any, span: tuple[int, int]) -> str:
    return bytes(data[slice(*span)]).decode()


def _fields(data: Any, at: int, stop: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield (number, (start, stop)) of every field with a length; fields that are numbers are skipped."""
    while at < stop:
        key, at = _number(data, at)
        match key & 7:
            case 0:
                _, at = _number(data, at)
            case 1:
                at += 8
            case 2:
                length, at = _number(data, at)
                yield key >> 3, (at, at + length)
                at += length
            case 5:
                at += 4
            case _:
                raise ValueError("no Protocol Buffers")


def _number(data: Any, at: int) -> tuple[int, int]:
    """Read a variable-length number from `at` on, seven bits per byte; return it and its end."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
