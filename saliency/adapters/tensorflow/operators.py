"""A TensorFlow graph as a program whose operators can be found and evaluated again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from saliency.adapters.tensorflow.trace import HALF, wide
from saliency.adapters.traced.operators import before, moved
from saliency.errors import Unsupported

PRIMITIVES = {
    name: primitive
    for primitive, names in {
        "conv_general_dilated": "Conv2D DepthwiseConv2dNative Conv3D",
        "dot_general": "MatMul BatchMatMul BatchMatMulV2 Einsum",
        "add": "Add AddV2 BiasAdd",
        "sub": "Sub",
        "mul": "Mul",
        "div": "Div RealDiv",
        "squared_difference": "SquaredDifference",
        "relu": "Relu",
        "relu6": "Relu6",
        "leaky_relu": "LeakyRelu",
        "elu": "Elu",
        "selu": "Selu",
        "softplus": "Softplus",
        "tanh": "Tanh",
        "logistic": "Sigmoid",
        "soft_sign": "Softsign",
        "erf": "Erf",
        "erfc": "Erfc",
        "atan": "Atan",
        "exp": "Exp",
        "expm1": "Expm1",
        "log": "Log",
        "log1p": "Log1p",
        "sqrt": "Sqrt",
        "rsqrt": "Rsqrt",
        "square": "Square",
        "pow": "Pow",
        "integer_pow": "Reciprocal Inv",
        "abs": "Abs",
        "sin": "Sin",
        "cos": "Cos",
        "max": "Maximum",
        "min": "Minimum",
        "neg": "Neg",
        "softmax": "Softmax",
        "reduce_max": "Max",
        "reduce_window_max": "MaxPool MaxPoolV2 MaxPool3D",
        "reduce_sum": "Mean Sum",
        "reduce_window_sum": "AvgPool AvgPool3D",
        "select_n": "Select SelectV2",
        "gt": "Greater GreaterEqual Less LessEqual Equal NotEqual LogicalAnd LogicalOr LogicalNot Sign IsFinite",
        "reshape": "Reshape",
        "squeeze": "Squeeze",
        "expand_dims": "ExpandDims",
        "transpose": "Transpose",
        "convert_element_type": "Cast",
        "copy": "Identity IdentityN Snapshot PreventGradient CheckNumerics",
        "stop_gradient": "StopGradient",
        "pad": "Pad PadV2 MirrorPad SpaceToBatchND BatchToSpaceND",
        "concatenate": "ConcatV2 Pack Unpack",
        "slice": "Slice StridedSlice Split SplitV",
        "gather": "Gather GatherV2 GatherNd",
        "rev": "ReverseV2 Roll Tile BroadcastTo",
        "reduce_precision": "Bitcast",
        "argmax": "ArgMax ArgMin",
    }.items()
    for name in names.split()
}
"""Names of TensorFlow's operators in :mod:`saliency.adapters.traced.operators`."""

CALLS = ("PartitionedCall", "While", "If", "Case")
"""Suffixes of the names of operators that call functions."""

NOT_FOLLOWED = ("Shape", "ShapeN", "Size", "Rank")
"""Operators that depend on an array's shape, but not on its values."""


class Step(NamedTuple):
    """One operator of the graph; its slots are the names of tensors."""

    name: str
    primitive: str
    operator: Any
    takes: list[str]
    gives: list[str]


class GraphProgram:
    """A part of a graph as straight-line code, see :class:`saliency.adapters.traced.finder.Program`.

    Args:
        operators: of the graph, in order.
        images: the tensor at which they begin.
    """

    def __init__(self, operators: Sequence[Any], images: Any) -> None:
        self.images = images.name
        self.steps = [
            Step(
                f"{each.name}:{(primitive := PRIMITIVES.get(each.type, each.type))}:0",
                primitive,
                each,
                [taken.name for taken in each.inputs],
                [given.name for given in each.outputs],
            )
            for each in operators
        ]
        tensors = [images, *(tensor for each in operators for tensor in (*each.inputs, *each.outputs))]
        self.shapes: dict[Any, tuple[Any, ...]] = {
            each.name: tuple(each.shape.as_list()) if each.shape.rank is not None else ("unknown",) for each in tensors
        }
        self._floating = {each.name for each in tensors if each.dtype.is_floating}
        static = ((each.outputs[0], tf.get_static_value(each.outputs[0])) for each in operators if each.type == "Const")
        self.constants: dict[Any, Any] = {tensor.name: value for tensor, value in static if np.ndim(value) == 0}

    def before(self, slots: set[Any]) -> set[Any]:
        """See :class:`~saliency.adapters.traced.finder.Program`; so for the other methods."""
        return before(self.steps, slots)

    def after(self, slot: Any) -> set[Any]:
        found = {slot}
        for step in self.steps:
            if step.operator.type not in NOT_FOLLOWED and not found.isdisjoint(step.takes):
                whole = step.primitive == "gt"
                found.update(given for given in step.gives if whole or given in self._floating)
        return found

    def softmaxed(self, slot: Any) -> Any:
        made = next((step for step in self.steps if slot in step.gives), None)
        return made.takes[0] if made is not None and made.primitive == "softmax" else None

    def softmax_axis(self, steps: list[Any]) -> int:
        return len(self.shapes[steps[-1].gives[0]]) - 1

    def spread(self, slot: Any) -> tuple[Any, tuple[int, ...]] | None:
        return None

    def ends(self, steps: list[Any], constants: dict[Any, Any], source: Any, at: Sequence[float]) -> list[float]:
        found = []
        with tf.init_scope():
            for value in at:
                now = {name: wide(tf.constant(each)) for name, each in constants.items()}
                now[source] = tf.fill((1,) * len(self.shapes[source]), np.float32(value))
                for step in steps:
                    now.update(zip(step.gives, again(step.operator, [now[slot] for slot in step.takes]), strict=True))
                found.append(float(tf.reshape(now[steps[-1].gives[0]], (-1,))[0]))
        return found


class TensorFlowWork:
    """See :class:`saliency.adapters.traced.operators.Work`."""

    def evaluated(self, step: Step, values: list[Any]) -> list[Any]:
        return again(step.operator, values)

    def vjp(self, function: Callable[..., list[Any]], inputs: Sequence[Any]) -> tuple[list[Any], Callable[..., Any]]:
        leaves = [tf.identity(each) for each in inputs]
        answer = function(*leaves)

        def back(given: Sequence[Any]) -> tuple[Any, ...]:
            pairs = [(y, each) for y, each in zip(answer, given, strict=True) if each is not None]
            ys, relevance = zip(*pairs, strict=True)
            found = tf.gradients(ys, leaves, list(relevance), stop_gradients=leaves, unconnected_gradients="zero")
            return tuple(map(tf.convert_to_tensor, found))

        return answer, back

    def softmax(self, x: Any, axis: int) -> Any:
        return tf.nn.softmax(x, axis)

    def channels(self, step: Step, place: int) -> int:
        rank = int(step.operator.outputs[0].shape.rank)
        return rank - 2 if step.operator.type in ("MatMul", "BatchMatMulV2") and place == 0 else rank - 1

    def to_weights(self, step: Step, place: int, factor: Any, axis: int, kernel: Any) -> Any:
        rank, channels = int(factor.shape.rank), int(factor.shape[axis])
        order = [each for each in range(rank) if each != axis] + [axis]
        along = tf.reshape(tf.transpose(factor, order), (-1, channels))[0]
        shape = [1] * int(kernel.shape.rank)
        match step.operator.type:
            case "DepthwiseConv2dNative":
                shape[-2:] = kernel.shape[-2:]
            case "Einsum":
                weights, out = _base_name(step.operator, place)
                shape[weights.index(out[-1])] = channels
            case "MatMul" | "BatchMatMul" | "BatchMatMulV2":
                turned = _turned(step.operator, place)
                shape[-2 if turned != (place == 0) else -1] = channels
            case _:
                shape[-1] = channels
        return tf.reshape(along, shape)

    def moved(self, step: Step, axis: int) -> int | None:
        source, result = step.operator.inputs[0].shape, step.operator.outputs[0].shape
        match step.primitive:
            case "transpose":
                order = tf.get_static_value(step.operator.inputs[1])
                return None if order is None else int(list(order).index(axis))
            case "reshape" | "squeeze" | "expand_dims":
                known = source.rank is not None and result.rank is not None
                return moved(source.as_list(), result.as_list(), axis) if known else None
        return axis


def not_seen(name: str) -> str:
    """Return the message on an operator that calls a function."""
    return (
        f"The rules cannot be applied inside {name}: operators of a nested tf.function are not visible. "
        "Call its python_function there, or use a method that needs only gradients."
    )


def again(operator: Any, inputs: Sequence[Any]) -> list[Any]:
    """Evaluate an operator on other inputs, half precision in float32.

    Raises:
        Unsupported: the operator calls a function, whose operators are not visible.
    """
    function = getattr(tf.raw_ops, operator.type, None)
    if function is None or operator.type.endswith(CALLS):
        raise Unsupported(not_seen(operator.type))
    left, taken = list(inputs), list(inspect.signature(function).parameters)
    given: dict[str, Any] = {}
    for place, each in enumerate(operator.op_def.input_arg):
        # some inputs have another name in Python, at the same position
        name = each.name if each.name in taken else taken[place]
        if several := each.number_attr or each.type_list_attr:
            count = operator.get_attr(several)
            count = count if isinstance(count, int) else len(count)
            given[name], left = left[:count], left[count:]
        else:
            given[name] = left.pop(0)
    for each in operator.op_def.attr:
        if each.name in taken and each.name not in given:
            value = operator.get_attr(each.name)
            value = tf.float32 if isinstance(value, tf.DType) and value in HALF else value
            given[each.name] = value.decode() if isinstance(value, bytes) else value
    answer = function(**given)
    return list(answer) if len(operator.outputs) > 1 else [answer]


def _turned(operator: Any, place: int) -> bool:
    """Return whether a matrix product transposes its weights."""
    names = ("transpose_a", "transpose_b") if operator.type == "MatMul" else ("adj_x", "adj_y")
    return bool(operator.get_attr(names[place]))


def _base_name(operator: Any, place: int) -> tuple[str, str]:
    """Return the letters of an Einsum's weights and of its output."""
    taken, out = operator.get_attr("equation").decode().replace(" ", "").split("->")
    return taken.split(",")[place], out
