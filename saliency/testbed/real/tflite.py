"""Read the layers of a TensorFlow Lite file, with its quantised weights as real numbers.

Such a file is a FlatBuffer (https://flatbuffers.dev/internals), whose tables are defined by TensorFlow's schema.fbs. An
integer q of a tensor with scale s and zero point z stands for s (q - z).
"""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from saliency.errors import BadArgument

CONV, DEPTHWISE, ADD, POOL, RESHAPE, SOFTMAX = "conv", "depthwise", "add", "pool", "reshape", "softmax"
KINDS = {0: ADD, 1: POOL, 3: CONV, 4: DEPTHWISE, 22: RESHAPE, 25: SOFTMAX}
"""BuiltinOperator of the schema."""

ACTIVATIONS = {0: "", 1: "relu", 3: "relu6"}
"""ActivationFunctionType of the schema."""

ACTIVATION_FIELD = {ADD: 0, POOL: 5, CONV: 3, DEPTHWISE: 4}
"""Where the options of a kind name the activation; padding and strides are fields 0 to 2 of those that have them."""

DTYPES = {0: "<f4", 1: "<f2", 2: "<i4", 3: "<u1", 4: "<i8", 9: "<i1"}
"""TensorType of the schema."""


class Layer(NamedTuple):
    """One operator with its weights."""

    name: str
    kind: str
    inputs: tuple[int, ...]
    """Numbers of the tensors that it reads, without its weights."""
    output: int
    """Number of the tensor that it writes."""
    shape: tuple[int, ...]
    """Shape of its output, (1, h, w, C) or (1, C)."""
    kernel: NDArray[np.float32] | None = None
    """(h, w, in, out) of a convolution, (h, w, C, 1) of a depthwise one."""
    bias: NDArray[np.float32] | None = None
    """(out,)."""
    window: tuple[int, int] = (1, 1)
    """Height and width of the kernel, or of the pooled window."""
    stride: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    """Zeros before and after, along height and width."""
    activation: str = ""
    """"relu", "relu6", or empty."""


class Program(NamedTuple):
    """The layers of a file, in calling order, from pictures to logits."""

    layers: tuple[Layer, ...]
    input: int
    """Number of the tensor of pictures."""
    shape: tuple[int, ...]
    """Shape of the pictures, (1, H, W, C)."""
    scale: float
    zero: int
    """Scale and zero point of the pictures: the network receives ``scale * (255 * x - zero)`` of x in 0-1."""


def read(path: Path) -> Program:
    """Read a classifier with one input and one output; a final softmax is left out.

    Raises:
        BadArgument: it is no TensorFlow Lite file, or contains operators that are not supported.
    """
    data = path.read_bytes()
    if data[4:8] != b"TFL3":
        raise BadArgument(f"{path} is no TensorFlow Lite file: expected the identifier TFL3, got {data[4:8]!r}.")
    model = _Table(data, _offset(data, 0))
    graph, *others = model.tables(2)
    if others or len(graph.numbers(1)) != 1 or len(graph.numbers(2)) != 1:
        raise BadArgument(f"{path}: expected one graph with one input and one output.")
    codes = [max(code.number(0, "b"), code.number(3, "i")) for code in model.tables(1)]
    tensors = [_Tensor(table, model.tables(4)) for table in graph.tables(0)]
    layers = []
    for operator in graph.tables(3):
        code = codes[operator.number(0, "I")]
        if code not in KINDS:
            raise BadArgument(f"{path}: expected operators among {', '.join(KINDS.values())}, got number {code}.")
        layers.append(_layer(KINDS[code], operator, tensors))
    if layers[-1].kind == SOFTMAX:
        layers.pop()
    (source,) = graph.numbers(1)
    pictures = tensors[source]
    return Program(tuple(_named(layers)), source, pictures.shape, float(pictures.scale[0]), int(pictures.zero[0]))


def _layer(kind: str, operator: _Table, tensors: list[_Tensor]) -> Layer:
    """Return an operator of the file as a layer."""
    inputs, (output,) = operator.numbers(1), operator.numbers(2)
    layer = Layer(tensors[output].name, kind, inputs[:1], output, tensors[output].shape)
    if kind in (RESHAPE, SOFTMAX):
        return layer
    options = operator.table(4)
    activation = options.number(ACTIVATION_FIELD[kind], "b")
    if activation not in ACTIVATIONS:
        raise BadArgument(f"Expected no activation, ReLU or ReLU6 in {layer.name}, got number {activation}.")
    layer = layer._replace(activation=ACTIVATIONS[activation])
    if kind == ADD:
        return layer._replace(inputs=inputs)
    if kind == POOL:
        layer = layer._replace(window=(options.number(4, "i"), options.number(3, "i")))
    else:
        _require_plain(kind, options, tensors[inputs[1]].name)
        # stored as (out, h, w, in), that of a depthwise convolution as (1, h, w, C)
        kernel = tensors[inputs[1]].real().transpose(1, 2, 3, 0)
        name, bias = tensors[inputs[1]].name, tensors[inputs[2]].real()
        layer = layer._replace(name=name, kernel=kernel, bias=bias, window=(kernel.shape[0], kernel.shape[1]))
    stride = options.number(2, "i"), options.number(1, "i")
    if options.number(0, "b"):  # 0 is SAME, 1 is VALID
        return layer._replace(stride=stride)
    height, width = tensors[inputs[0]].shape[1:3]
    padding = _same(height, layer.window[0], stride[0]), _same(width, layer.window[1], stride[1])
    if kind == POOL and any(map(any, padding)):
        raise BadArgument(f"Expected pooling without padding in {layer.name}.")
    return layer._replace(stride=stride, padding=padding)


def _require_plain(kind: str, options: _Table, name: str) -> None:
    """Raise BadArgument for dilated convolutions, and depthwise ones with several outputs for each channel."""
    first = 4 if kind == CONV else 5
    if {options.number(first, "i", 1), options.number(first + 1, "i", 1)} != {1}:
        raise BadArgument(f"Expected no dilation in {name}.")
    if kind == DEPTHWISE and options.number(3, "i") != 1:
        raise BadArgument(f"Expected one output for each channel of the depthwise convolution {name}.")


def _same(size: int, window: int, stride: int) -> tuple[int, int]:
    """Return the zeros before and after a side with which the output has ceil(size / stride) values."""
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def _named(layers: list[Layer]) -> list[Layer]:
    """Return the layers with short names, each of its own.

    A name in the file is one or several paths, such as "MobilenetV2/expanded_conv/depthwise/depthwise_Fold;…".
    """
    parts = [layer.name.split(";")[0].split("/") for layer in layers]
    short = ["_".join(part[1:-1]) or layer.kind for part, layer in zip(parts, layers, strict=True)]
    counts = Counter(short)
    return [
        layer._replace(name=name if counts[name] == 1 else f"{name}_{layer.kind}{index}")
        for index, (layer, name) in enumerate(zip(layers, short, strict=True))
    ]


_EMPTY = struct.pack("<HHi", 4, 4, 4)
"""A list of no fields, 4 bytes long, and a table that refers to it."""


class _Table:
    """A table of a FlatBuffer: its fields are found through offsets, and left out where they have their default."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - int(struct.unpack_from("<i", data, at)[0])

    def _place(self, field: int) -> int | None:
        """Return where a field is stored; None if it has its default."""
        entry = 4 + 2 * field
        if entry >= struct.unpack_from("<H", self._data, self._fields)[0]:
            return None
        (offset,) = struct.unpack_from("<H", self._data, self._fields + entry)
        return self._at + offset if offset else None

    def number(self, field: int, code: str, default: int = 0) -> int:
        """Return a number of the type that `code` names for the module struct."""
        place = self._place(field)
        return default if place is None else int(struct.unpack_from("<" + code, self._data, place)[0])

    def table(self, field: int) -> _Table:
        """Return a table; one whose fields have their defaults if it is left out."""
        place = self._place(field)
        return _Table(_EMPTY, 4) if place is None else _Table(self._data, place + _offset(self._data, place))

    def tables(self, field: int) -> list[_Table]:
        places = self._vector(field, "<u4")
        start = self._start(field)
        return [_Table(self._data, start + 4 * i + int(offset)) for i, offset in enumerate(places)]

    def numbers(self, field: int) -> tuple[int, ...]:
        return tuple(int(each) for each in self._vector(field, "<i4"))

    def vector(self, field: int, dtype: str) -> NDArray[Any]:
        return self._vector(field, dtype)

    def text(self, field: int) -> str:
        return self._vector(field, "<u1").tobytes().decode()

    def _start(self, field: int) -> int:
        """Return where the elements of a vector begin."""
        place = self._place(field)
        return 0 if place is None else place + _offset(self._data, place) + 4

    def _vector(self, field: int, dtype: str) -> NDArray[Any]:
        """Return a vector of numbers; empty if it is left out."""
        start = self._start(field)
        count = _offset(self._data, start - 4) if start else 0
        return np.frombuffer(self._data, dtype, count, start)


class _Tensor:
    """A tensor of the file."""

    def __init__(self, table: _Table, buffers: list[_Table]) -> None:
        self.shape, self.name = table.numbers(0), table.text(3)
        self.dtype = DTYPES.get(table.number(1, "b"), "")
        self._buffer = buffers[table.number(2, "I")]
        quantised = table.table(4)
        self.scale = quantised.vector(2, "<f4").astype(np.float64)
        self.zero = quantised.vector(3, "<i8")
        self._axis = quantised.number(6, "i")

    def real(self) -> NDArray[np.float32]:
        """Return the numbers that the integers stand for."""
        if not self.dtype:
            raise BadArgument(f"Expected integers or floats in the tensor {self.name}.")
        values = self._buffer.vector(0, "<u1").view(self.dtype).reshape(self.shape).astype(np.float64)
        if not len(self.scale):
            return values.astype(np.float32)
        along = [1] * len(self.shape)
        along[self._axis] = -1  # one scale for all, or one for each index of this axis
        return np.asarray(self.scale.reshape(along) * (values - self.zero.reshape(along)), np.float32)


def _offset(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])
