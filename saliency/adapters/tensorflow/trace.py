"""A model's call in a TensorFlow graph: the results of its operators and layers, and gradients there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from saliency.adapters.answers import Arrays, not_called
from saliency.adapters.layers import (
    REARRANGES,
    WEIGHTS,
    Laid,
    Surveyed,
    last_part,
    made_by,
    nameable,
    read_from_map,
    spatial,
)
from saliency.adapters.outputs import Choice, parts_of
from saliency.adapters.tokens import Grid, no_blocks, over_image, token_grid
from saliency.errors import NoGradient, unknown
from saliency.model.head import Operator

ARRAYS = Arrays(tf.is_tensor, tf.reshape)

ACTIVATIONS: Mapping[str, Operator] = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "Sigmoid": "sigmoid"}
"""Operators whose result is probabilities, or their logarithms."""

KEEPS = ("Identity", "Cast", "Reshape", "Squeeze", "ExpandDims")
"""Operators that do not change values."""

MOVES = (*KEEPS, "StridedSlice")
"""Operators that do not change values, provided that they keep all of them."""

CALLS = ("PartitionedCall", "StatefulPartitionedCall")
"""Operators that call a function, as all of a SavedModel is one."""

ADDS = ("Add", "AddV2", "BiasAdd")

LINEAR = ("MatMul", "BatchMatMulV2", "Conv2D", "Einsum")
"""Operators whose result has no bounds."""

PRODUCTS = ("BatchMatMulV2", "Einsum")
"""Operators that mix tokens, unless they return a layer's output."""


SHAPES = ("Shape", "Size", "Rank", "ZerosLike", "OnesLike")
"""Operators that do not use a tensor's values."""

HALF = (tf.bfloat16, tf.float16)
"""Half-precision types, too coarse for sums and quotients."""


class Place(NamedTuple):
    """An operator's or a layer's result."""

    name: str
    output: Any


class Traced:
    """A model's call in a graph, and the values that can be read there.

    Args:
        images: its input.
        raw: its outputs.
        places: the outputs of its named layers, in order.
        parts: names of all its layers, called or not.
        choice: selects the output to explain.
        scope: name scope of the call, a prefix of the names of its operators.
    """

    def __init__(
        self,
        images: Any,
        raw: Any,
        places: Sequence[Place],
        parts: Sequence[str],
        choice: Choice | None = None,
        scope: str = "",
    ) -> None:
        self.images, self.raw, self.choice = images, raw, choice or Choice(ARRAYS)
        self._places, self._parts, self._scope = places, parts, scope

    def class_scores(self) -> Any:
        """Return the class scores, (N, classes)."""
        return self.choice.rows(self.raw)

    def ending(self, output: Any) -> tuple[Operator | None, Any]:
        """Return the last operator before `output`, and its logits, moved like `output`."""
        unmoved = _unmoved(output)
        last = unmoved.op
        match last.type:
            case "Softmax" | "LogSoftmax" | "Sigmoid":
                kind, logits = ACTIVATIONS[last.type], last.inputs[0]
            case _ if (logits := _sigmoid_of(last)) is not None:
                kind = "sigmoid"
            case _ if last.type in LINEAR or (
                last.type in ADDS and any(_unmoved(each).op.type in LINEAR for each in last.inputs)
            ):
                return "linear", None
            case _ if last.type in CALLS:
                return _inside_call(last, unmoved.value_index), None
            case _:
                return None, None
        return kind, tf.reshape(logits, tf.shape(output))

    def by(self, scores: Any, inputs: list[Any], names: Sequence[str]) -> list[Any]:
        """Return the gradients (k, N, …) of the scores by each input, from one forward pass."""
        found: list[list[Any]] = [[] for _ in inputs]
        for i in range(scores.shape[0]):
            for several, gradient, name in zip(found, tf.gradients(scores[i], inputs), names, strict=True):
                if gradient is None:
                    raise NoGradient(
                        why_no_gradient(scores, self.images)
                        if name == "image"
                        else f"The score does not depend on {name!r}, so it has no gradient there."
                    )
                several.append(tf.convert_to_tensor(gradient))
        return [tf.stack(several) for several in found]

    def layer(self, name: str) -> Any:
        """Return the (last) output of a layer."""
        places = self._all()
        # the whole name first: the last part of another one may be the same
        for named in (str, last_part):
            for place in reversed(places):
                if name == named(place.name):
                    return place.output
        known = [place.name for place in self._places] or [place.name for place in places]
        raise not_called(name) if name in self._parts else unknown("layer", name, known)

    def replace(self, output: Any, other: Any) -> None:
        """Make every consumer of `output` use `other`, except those that compute `other` from it."""
        inside = before(other.op) - before(output.op)
        for operator in self.images.graph.get_operations():
            for i, each in enumerate(operator.inputs):
                if each is output and operator.name not in inside:
                    operator._update_input(i, other)

    def around(self, output: Any) -> set[str]:
        """Return the names of all tensors whose values depend on the images by a path around `output`."""
        found = {self.images.name} - {output.name}
        for operator in self.images.graph.get_operations():
            if operator.type not in SHAPES and any(each.name in found for each in operator.inputs):
                found.update(each.name for each in operator.outputs if each is not output)
        return found

    def _all(self) -> list[Place]:
        """Return every operator's result in order; layers' outputs under the layers' names."""
        named = {place.output.name: place.name for place in self._places if tf.is_tensor(place.output)}
        operators = self.images.graph.get_operations()
        return [
            Place(named.get(output.name, operator.name.removeprefix(self._scope)), output)
            for operator in operators
            if operator.name.startswith(self._scope)
            for i, output in enumerate(operator.outputs)
            # the second result of a custom gradient, such as swish's, is only for its backward pass
            if i == 0 or output.name in named
        ]

    def attention(self, scores: Any) -> list[Any]:
        """Return the results of every softmax that may mix tokens, (N, heads, T, T), before the scores."""
        wanted = before(scores.op)
        found = [each.outputs[0] for each in self.images.graph.get_operations() if each.type == "Softmax"]
        squares = [each for each in found if each.shape.rank == 4 and each.shape[2] is not None]
        return [each for each in squares if each.shape[2] == each.shape[3] > 1 and each.op.name in wanted]

    def blocks(self, maps: Sequence[Any], scores: Any) -> list[Any]:
        """Return the last sum of tokens, (N, T, K), after each map and before the next.

        Raises:
            Unsupported: the blocks do not end in one.
        """
        names, seen, found = {each.name for each in maps}, 0, dict[int, Any]()
        for operator, came in self._on_the_way(scores):
            output = operator.outputs[0]
            seen += output.name in names
            if seen and _sums(operator, came) and output.shape.rank == 3:
                found[seen] = output
        blocks = [found[i + 1] for i in range(len(maps)) if i + 1 in found]
        if len(blocks) < len(maps) or len({tuple(each.shape) for each in blocks}) > 1:
            raise no_blocks(self.choice.name)
        return blocks

    def penultimate(self, scores: Any) -> str | None:
        """Return the name of the layer that the last operator with weights before the scores reads; None without."""
        for operator, came in reversed(list(self._on_the_way(scores))):
            if operator.type.lower() in WEIGHTS and len(came) == 1:
                return next((place.name for place in self._all() if place.output.name == came[0].name), None)
        return None

    def survey(self, scores: Any, size: tuple[int, int]) -> Surveyed:
        """Return every layer with a grid between the image and the scores, in order.

        Layers of tokens count if they are in the residual stream: sums of two rows of tokens.
        """
        named = {place.output.name for place in self._places if tf.is_tensor(place.output)}
        attended, maps = {int(each.shape[-1]) for each in self.attention(scores)}, set[tuple[int, int]]()
        came = {operator.name: taken for operator, taken in self._on_the_way(scores)}
        returned = [each.array for each in parts_of(self.raw, ARRAYS)]
        explained = [each for each in returned if each.op.name in came]
        dense = read_from_map([each.shape.as_list() for each in explained], self.images.shape[0])
        if dense:
            # the target's own operators are not part of the model
            made = set[str]().union(*(before(each.op) for each in explained))
            came = {name: taken for name, taken in came.items() if name in made}
        outputs = {each.name for each in returned}
        found: list[Laid] = []
        called: list[str] = []
        for name, output in self._all():
            operator = output.op
            shape: Sequence[Any] = output.shape.as_list() if output.shape.rank else ()
            if operator.name not in came or not output.dtype.is_floating:
                continue
            if spatial(shape):
                called.append(operator.type.lower())
            grid = None
            if len(shape) == 3 and _sums(operator, came[operator.name]):
                grid = token_grid(shape, size, maps, attended)
            elif over_image(shape, size) and output.name not in outputs and self._is_layer(output, named):
                grid = Grid("last", shape[1], shape[2])
                maps.add((grid.height, grid.width))
            if grid is not None:
                found.append(Laid(name, (1, *shape[1:]), grid, tuple(called)))
                called = []
        return Surveyed(nameable(found), dense)

    def _is_layer(self, output: Any, named: set[str]) -> bool:
        """Return whether an operator, or the layer of its name, computes a map rather than moves one."""
        if output.name not in named:
            return output.op.type not in PRODUCTS and made_by([output.op.type.lower()]) is not None
        # a layer may use another layout inside
        while (kind := output.op.type.lower()) in REARRANGES and output.op.inputs:
            output = output.op.inputs[0]
            if output.name in named or output is self.images:
                return False
        return made_by([kind]) is not None

    def _on_the_way(self, scores: Any) -> Iterator[tuple[Any, list[Any]]]:
        """Yield each operator between the image and the scores, in order, with its inputs that depend on the image."""
        wanted, after = before(scores.op), {self.images.op.name}
        for operator in self.images.graph.get_operations():
            came = [each for each in operator.inputs if each.op.name in after]
            if came:
                after.add(operator.name)
                if operator.name in wanted:
                    yield operator, came


def _unmoved(tensor: Any) -> Any:
    """Return the tensor with the same values before they were moved."""
    while tensor.op.type in MOVES and _keeps(tensor.op):
        tensor = tensor.op.inputs[0]
    return tensor


def _keeps(operator: Any) -> bool:
    """Return whether an operator returns all of its input values for each image."""
    if operator.type != "StridedSlice":
        return True
    before, after = (each.shape for each in (operator.inputs[0], operator.outputs[0]))
    known = before.rank and after.rank and before[1:].is_fully_defined() and after[1:].is_fully_defined()
    return bool(known) and math.prod(before[1:]) == math.prod(after[1:])


def _sigmoid_of(operator: Any) -> Any:
    """Return x if the operator ends a written-out 1 / (1 + exp(-x)); else None."""
    if operator.type in ("RealDiv", "Div") and _is_one(operator.inputs[0]):
        total = operator.inputs[1].op
    elif operator.type in ("Reciprocal", "Inv"):
        total = operator.inputs[0].op
    else:
        return None
    if total.type not in ADDS or not any(map(_is_one, total.inputs)):
        return None
    power = next((each.op for each in total.inputs if each.op.type == "Exp"), None)
    return power.inputs[0].op.inputs[0] if power is not None and power.inputs[0].op.type == "Neg" else None


def _inside_call(operator: Any, index: int) -> Operator | None:
    """Return the last activation before an output of a called function, by the function's definition."""
    library = {each.signature.name: each for each in operator.graph.as_graph_def().library.function}
    function = library.get(operator.get_attr("f").name)
    while function is not None:
        nodes = {each.name: each for each in function.node_def}
        # "node:output:index", or the name of an argument
        node, *place = function.ret[function.signature.output_arg[index].name].split(":")
        while node in nodes and nodes[node].op in KEEPS:
            node, *place = nodes[node].input[0].split(":")
        if node not in nodes or nodes[node].op not in CALLS:
            return ACTIVATIONS.get(nodes[node].op) if node in nodes else None
        index = int(place[-1]) if place else 0
        function = library.get(nodes[node].attr["f"].func.name)
    return None


def _is_one(tensor: Any) -> bool:
    value = tf.get_static_value(tensor)
    return value is not None and value.size == 1 and value.item() == 1


def wide(value: Any) -> Any:
    """Convert a half-precision tensor to float32; return all other values unchanged."""
    return tf.cast(value, tf.float32) if tf.is_tensor(value) and value.dtype in HALF else value


def precision_of(graph: Any) -> Any:
    """Return the first half-precision type among the results of a graph's operators; None without one."""
    types = (tf.as_dtype(each.dtype) for operator in graph.get_operations() for each in operator.outputs)
    return next((each for each in types if each in HALF), None)


def _sums(operator: Any, came: Sequence[Any]) -> bool:
    """Return whether an operator adds two tensors that both depend on the image."""
    return operator.type in ("Add", "AddV2") and len(came) == 2


def why_no_gradient(scores: Any, images: Any) -> str:
    """Return the message that names the operator of the graph where the gradient is lost."""
    cut = "The score cannot be differentiated by the image"
    after, breaks, wanted = {images.op.name}, [], before(scores.op)
    for operator in images.graph.get_operations():
        if operator.name not in wanted or not any(each.op.name in after for each in operator.inputs):
            continue
        after.add(operator.name)
        came = any(each.dtype.is_floating and each.op.name in after for each in operator.inputs)
        whole = bool(operator.outputs) and not any(each.dtype.is_floating for each in operator.outputs)
        stops = operator.type in ("StopGradient", "PreventGradient", "PyFunc", "EagerPyFunc")
        if came and (whole or stops) and operator.type not in ("Shape", "Size", "Rank"):
            breaks.append((operator, whole))
    if scores.op.name not in after or not breaks:
        return f"{cut}: it does not depend on it, or the model computes outside TensorFlow (in NumPy)."
    operator, whole = breaks[-1]
    if whole:
        kind = operator.outputs[0].dtype.name
        return f"{cut}: {operator.type} converts to {kind}, and integers have no gradient. Explain an output before it."
    return f"{cut}: {operator.type} stops the gradient. Remove it, or use a method that needs only scores."


def before(operator: Any) -> set[str]:
    """Return the names of an operator and of all operators that it depends on."""
    found, waiting = {operator.name}, [operator]
    while waiting:
        for each in waiting.pop().inputs:
            if each.op.name not in found:
                found.add(each.op.name)
                waiting.append(each.op)
    return found
