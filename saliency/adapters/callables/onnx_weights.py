"""Weights of ONNX models: initializers of the graph, and copies of a model with other values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from saliency.adapters.callables.onnx_graph import UNREADABLE, Node, contents, graph_of, nodes
from saliency.adapters.callables.protobuf import Field, fields, numbers, text, written
from saliency.adapters.weights import NO_WEIGHTS, QUANTISED, Step, last_uses

INITIALIZER = 5
"""Field of a graph."""

DIMS, TYPE, FLOATS, INTEGERS, NAME, RAW, DOUBLES, EXTERNAL = 1, 2, 4, 5, 8, 9, 10, 13
"""Fields of a tensor; `INTEGERS` hold half-precision values, too."""

KEY, VALUE = 1, 2
"""Fields of an entry of `EXTERNAL`."""

TYPES = {1: "<f4", 10: "<f2", 11: "<f8"}
"""By the type of a tensor: NumPy's, of all floating types that NumPy has."""

STATISTICS = {"BatchNormalization": (3, 4)}
"""Inputs that are running statistics."""

SETTINGS = ("Resize", "Upsample", "Pad", "Clip", "Range", "RoiAlign", "NonMaxSuppression")
"""Operators whose constant inputs are settings."""

QUANTISING = ("QuantizeLinear", "QLinear", "Integer", "NBits")
"""Parts of the names of operators that compute with integers."""


class Tensor(NamedTuple):
    """An initializer: where it is in the model's bytes."""

    name: str
    kind: int
    shape: tuple[int, ...]
    field: Field
    external: Mapping[str, str]
    """File, offset and length of values that are stored in another file."""


class WeightedGraph:
    """The operators and initializers of a session's model.

    An initializer of a floating type with more than one value is a weight, unless it is a running statistic or a
    setting: a graph does not tell weights from other constants.

    Args:
        session: an ``onnxruntime.InferenceSession``.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        with contents(session) as data:
            graph = graph_of(data)
            self.nodes: Sequence[Node] = list(nodes(data, graph))
            parts = [each for each in fields(data, graph.at, graph.stop) if each.number == INITIALIZER]
            self._tensors = {each.name: each for each in (_tensor(data, part) for part in parts)}
        unchanged = {name for node in self.nodes for name in _no_weights(node)}
        found = [each for each in self._tensors.values() if each.kind in TYPES and np.prod(each.shape) > 1]
        outputs = [each.name for each in session.get_outputs()]
        names = [each.name for each in found if each.name not in unchanged]
        used = self.last_uses(names, outputs)
        self.layers = {name: self.nodes[used[name]].name for name in names if name in used}
        """By name of each weight tensor that an output depends on: the last operator that uses it."""

    def last_uses(self, weights: Sequence[str], outputs: Sequence[str]) -> dict[str, int]:
        """Return, by name of each weight tensor that some outputs depend on, the last operator that uses it."""
        steps: list[Step] = [(set(each.takes), set(each.gives)) for each in self.nodes]
        (image,) = (each.name for each in self._session.get_inputs())
        return last_uses(steps, {name: [name] for name in weights}, image, outputs)

    def unchangeable(self) -> str | None:
        """Return how the reason ends why weights cannot be changed; None if they can."""
        if any(part in node.kind for node in self.nodes for part in QUANTISING):
            return QUANTISED
        return None if self.layers else NO_WEIGHTS

    def read(self, name: str) -> np.ndarray:
        """Return a weight tensor's values, in float32 or float64."""
        with contents(self._session) as data:
            values = self._values(data, self._tensors[name])
        return values.astype(np.float64 if values.dtype == np.float64 else np.float32)

    def _values(self, data: Any, tensor: Tensor) -> np.ndarray:
        kind = np.dtype(TYPES[tensor.kind])
        return np.frombuffer(self._bytes(data, tensor), kind).reshape(tensor.shape)

    def _bytes(self, data: Any, tensor: Tensor) -> bytes:
        """Return a tensor's values as they are stored raw."""
        if tensor.external:
            folder = Path(getattr(self._session, "_model_path", None) or ".").parent
            with (folder / tensor.external["location"]).open("rb") as file:
                file.seek(int(tensor.external.get("offset", 0)))
                return file.read(int(tensor.external.get("length", -1)))
        found = {each.number: each for each in fields(data, tensor.field.at, tensor.field.stop)}
        for number in (RAW, FLOATS, DOUBLES):
            if number in found:
                return bytes(data[found[number].at : found[number].stop])
        return np.array(numbers(data, found[INTEGERS]), np.uint16).tobytes()

    def copied(self, values: Mapping[str, np.ndarray]) -> Any:
        """Return a session of a copy of the model, with the options and providers of the first.

        Args:
            values: by name, new values of weight tensors.
        """
        import onnxruntime

        with contents(self._session) as data:
            model = self._model(data, values)
        options = self._session.get_session_options()
        with _no_files(options):
            return onnxruntime.InferenceSession(
                model,
                options,
                providers=self._session.get_providers(),
                provider_options=list(self._session.get_provider_options().values()),
            )

    def _model(self, data: Any, values: Mapping[str, np.ndarray]) -> bytes:
        """Return the model with other values, and with all values in it instead of in other files."""
        graph, by_start = graph_of(data), {each.field.start: each for each in self._tensors.values()}
        parts = []
        for each in fields(data, graph.at, graph.stop):
            tensor = by_start.get(each.start)
            if tensor is not None and (tensor.name in values or tensor.external):
                new = values.get(tensor.name)
                raw = self._bytes(data, tensor) if new is None else new.astype(TYPES[tensor.kind]).tobytes()
                parts.append(written(INITIALIZER, _inside(tensor, raw)))
            else:
                parts.append(bytes(data[each.start : each.stop]))
        inner = written(graph.number, b"".join(parts))
        return bytes(data[: graph.start]) + inner + bytes(data[graph.stop :])


def weighted_graph(session: Any) -> WeightedGraph | None:
    """Return the graph of a session; None if its file cannot be read."""
    try:
        return WeightedGraph(session)
    except UNREADABLE:
        return None


def _tensor(data: Any, field: Field) -> Tensor:
    name, kind, shape, external = "", 0, list[int](), dict[str, str]()
    for each in fields(data, field.at, field.stop):
        if each.number == DIMS:
            shape += numbers(data, each)
        elif each.number == TYPE:
            kind = each.value or 0
        elif each.number == NAME:
            name = text(data, each)
        elif each.number == EXTERNAL:
            entry = {part.number: text(data, part) for part in fields(data, each.at, each.stop)}
            external[entry[KEY]] = entry[VALUE]
    return Tensor(name, kind, tuple(shape), field, external)


def _inside(tensor: Tensor, raw: bytes) -> bytes:
    """Return a tensor's message with its values inside."""
    shape = b"".join(written(DIMS, size) for size in tensor.shape)
    return shape + written(TYPE, tensor.kind) + written(NAME, tensor.name.encode()) + written(RAW, raw)


def _no_weights(node: Node) -> list[str]:
    """Return the names of a node's inputs that are no weights."""
    if node.kind in SETTINGS:
        return node.takes[1:]
    return [node.takes[i] for i in STATISTICS.get(node.kind, ()) if i < len(node.takes)]


@contextmanager
def _no_files(options: Any) -> Iterator[None]:
    """Open sessions with these options without writing files."""
    before = options.optimized_model_filepath, options.enable_profiling
    try:
        options.optimized_model_filepath, options.enable_profiling = "", False
        yield
    finally:
        options.optimized_model_filepath, options.enable_profiling = before
