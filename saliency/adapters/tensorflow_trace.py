"""Looking into a model's call in a TensorFlow graph: what its operators and layers said, and gradients there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from saliency.adapters.answers import Arrays, class_scores, not_called
from saliency.adapters.tokens import NO_BLOCKS, NOT_A_LAYER, Grid, Laid, over_image, token_grid
from saliency.errors import NoGradient, Unsupported, unknown

ARRAYS = Arrays(tf.is_tensor, tf.reshape)


class Place(NamedTuple):
    """An operator's or a layer's result."""

    name: str
    output: Any


class Traced:
    """A model's call in a graph, and what can be read there.

    Args:
        images: that it was called with.
        raw: what it said.
        places: what its layers said, in order, where they have names.
        parts: names of its layers, whether called or not.
    """

    def __init__(self, images: Any, raw: Any, places: Sequence[Place], parts: Sequence[str]) -> None:
        self.images, self.raw = images, raw
        self._places, self._parts = places, parts

    def class_scores(self) -> Any:
        """(N, classes)."""
        return class_scores(self.raw, ARRAYS)

    def logits(self, said: Any) -> Any:
        """What went into the softmax that `said` came out of; None if it did not."""
        operator = said.op
        while operator.type in ("Identity", "Cast"):
            operator = operator.inputs[0].op
        return operator.inputs[0] if operator.type == "Softmax" else None

    def by(self, scores: Any, inputs: list[Any], names: Sequence[str]) -> list[Any]:
        """(k, N, …) gradients of the scores by each input, from the one forward pass."""
        found: list[list[Any]] = [[] for _ in inputs]
        for i in range(scores.shape[0]):
            for several, gradient, name in zip(found, tf.gradients(scores[i], inputs), names, strict=True):
                if gradient is None:
                    raise NoGradient(
                        why_no_gradient(scores, self.images)
                        if name == "image"
                        else f"The score does not depend on {name!r}: there is no gradient."
                    )
                several.append(tf.convert_to_tensor(gradient))
        return [tf.stack(several) for several in found]

    def layer(self, name: str) -> Any:
        """The (last) output of a layer."""
        for place in reversed(self._all()):
            if name in (place.name, place.name.rpartition("/")[2]):
                return place.output
        known = [place.name for place in self._places] or [place.name for place in self._all()]
        raise not_called(name) if name in self._parts else unknown("layer", name, known)

    def replace(self, output: Any, other: Any) -> None:
        """From now on, whatever takes `output` takes `other`."""
        for operator in self.images.graph.get_operations():
            for i, each in enumerate(operator.inputs):
                if each is output:
                    operator._update_input(i, other)

    def _all(self) -> list[Place]:
        """Every operator's result in order; a layer's in its own name."""
        named = {place.output.name: place.name for place in self._places if tf.is_tensor(place.output)}
        operators = self.images.graph.get_operations()
        return [
            Place(named.get(output.name, operator.name), output)
            for operator in operators
            for i, output in enumerate(operator.outputs)
            # the second result of a custom gradient, swish's say, is only kept for its backward pass
            if i == 0 or output.name in named
        ]

    def attention(self, scores: Any) -> list[Any]:
        """The results of every softmax that may mix tokens, (N, heads, T, T), on the way to the scores."""
        wanted = _before(scores.op)
        found = [each.outputs[0] for each in self.images.graph.get_operations() if each.type == "Softmax"]
        squares = [each for each in found if each.shape.rank == 4 and each.shape[2] is not None]
        return [each for each in squares if each.shape[2] == each.shape[3] > 1 and each.op.name in wanted]

    def blocks(self, maps: Sequence[Any], scores: Any) -> list[Any]:
        """The last sum of tokens, (N, T, K), behind each map and before the next.

        Raises:
            Unsupported: blocks do not end in one.
        """
        names, seen, found = {each.name for each in maps}, 0, dict[int, Any]()
        for operator, came in self._on_the_way(scores):
            output = operator.outputs[0]
            seen += output.name in names
            if seen and _sums(operator, came) and output.shape.rank == 3:
                found[seen] = output
        blocks = [found[i + 1] for i in range(len(maps)) if i + 1 in found]
        if len(blocks) < len(maps) or len({tuple(each.shape) for each in blocks}) > 1:
            raise Unsupported(NO_BLOCKS)
        return blocks

    def grids(self, scores: Any, size: tuple[int, int]) -> Iterator[Laid]:
        """Every layer with a grid that lies on the way from the image to the scores.

        Of tokens those of the stream through the blocks: sums of two rows of them.
        """
        named = {place.output.name for place in self._places if tf.is_tensor(place.output)}
        attended, maps = {int(each.shape[-1]) for each in self.attention(scores)}, set[tuple[int, int]]()
        came = {operator.name: taken for operator, taken in self._on_the_way(scores)}
        for name, output in self._all():
            operator = output.op
            shape: Sequence[Any] = output.shape.as_list() if output.shape.rank else ()
            if operator.name not in came or not output.dtype.is_floating:
                continue
            grid = None
            if len(shape) == 3 and _sums(operator, came[operator.name]):
                grid = token_grid(shape, size, maps, attended)
            elif (output.name in named or not _moves(operator)) and not _pads(operator) and over_image(shape, size):
                grid = Grid("last", shape[1], shape[2])
                maps.add((grid.height, grid.width))
            if grid is not None:
                yield Laid(name, (1, *shape[1:]), grid)

    def _on_the_way(self, scores: Any) -> Iterator[tuple[Any, list[Any]]]:
        """Each operator between the image and the scores, in order, and what it takes that depends on the image."""
        wanted, after = _before(scores.op), {self.images.op.name}
        for operator in self.images.graph.get_operations():
            came = [each for each in operator.inputs if each.op.name in after]
            if came:
                after.add(operator.name)
                if operator.name in wanted:
                    yield operator, came


def _sums(operator: Any, came: Sequence[Any]) -> bool:
    """Whether it adds two things that both depend on the image."""
    return operator.type in ("Add", "AddV2") and len(came) == 2


def _moves(operator: Any) -> bool:
    """Whether it only moves numbers about, or mixes what are no maps."""
    return operator.type.lower() in NOT_A_LAYER or operator.type in ("BatchMatMulV2", "Einsum", "Identity")


def _pads(operator: Any) -> bool:
    """Whether it is padding: a layer of its own in Keras, that says nothing new."""
    return operator.type in ("Pad", "PadV2")


def why_no_gradient(scores: Any, images: Any) -> str:
    """A sentence saying where, in the graph, the way from the image to the score is cut."""
    cut = "The score cannot be differentiated by the image"
    after, breaks, wanted = {images.op.name}, [], _before(scores.op)
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
        return f"{cut}: it does not depend on it, or the model works outside TensorFlow (NumPy)."
    operator, whole = breaks[-1]
    if whole:
        kind = operator.outputs[0].dtype.name
        return (
            f"{cut}: at {operator.type} it becomes {kind}, whole numbers that have no gradient. "
            "Explain what comes before."
        )
    return f"{cut}: at {operator.type} it is cut off. Remove it, or use a method that needs only scores."


def _before(operator: Any) -> set[str]:
    """Names of the operators that this one depends on, and its own."""
    found, waiting = {operator.name}, [operator]
    while waiting:
        for each in waiting.pop().inputs:
            if each.op.name not in found:
                found.add(each.op.name)
                waiting.append(each.op)
    return found


def graph_of(function: Callable[..., Any], images: Any, *beside: Any, with_classes: bool = True) -> Any:
    """`function` traced for batches of any size; for this very size where it cannot be for any."""
    classes = [tf.TensorSpec([None], tf.int32)] if with_classes else []
    try:
        wanted, *more = (tf.TensorSpec((None, *each.shape[1:]), each.dtype) for each in (images, *beside))
        return tf.function(function, autograph=False).get_concrete_function(wanted, *classes, *more)
    except (TypeError, ValueError) as error:
        if type(error).__module__.startswith("saliency"):
            raise
    fixed = tf.function(function, autograph=False)
    wanted, *more = (tf.TensorSpec(each.shape, each.dtype) for each in (images, *beside))
    fixed.get_concrete_function(wanted, *classes, *more)
    return fixed
