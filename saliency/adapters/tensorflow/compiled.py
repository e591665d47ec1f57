"""The calls of a TensorFlow model, as functions to be traced into a graph."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from saliency.adapters.answers import by_batch, one_number_each, shape_error
from saliency.adapters.base import size_of
from saliency.adapters.cut import other_shape
from saliency.adapters.layers import Surveyed, scores_or_sum
from saliency.adapters.tensorflow.operators import CALLS, GraphProgram, TensorFlowWork, not_seen
from saliency.adapters.tensorflow.ops import TensorFlowOps
from saliency.adapters.tensorflow.trace import ARRAYS, HALF, Place, Traced, before, precision_of, wide
from saliency.adapters.tensorflow.weights import last_uses_in
from saliency.adapters.traced.model import TracedCalls
from saliency.adapters.traced.rewired import Rewired
from saliency.errors import Unsupported
from saliency.model.head import Ending
from saliency.model.names import capitalized
from saliency.model.precision import precision_note
from saliency.rules import Composite
from saliency.targets import ClassScore, OfScores, Unit

CAPTURED = ("Placeholder", "Const")
"""Operators that bring outside values into a graph."""


class Source:
    """How a model is called while it is traced. Traced graphs refer to it, so it refers to the model weakly.

    Args:
        model: a function of a tensor (N, H, W, C), or a SavedModel.
        signature: what a graph depends on, besides the model and the shape of its input.
    """

    def __init__(self, model: Any, signature: Hashable = None) -> None:
        self.signature = signature
        try:
            self.model: Callable[[], Any] = weakref.ref(model)
        except TypeError:
            self.model = lambda: model

    def call(self, images: Any) -> tuple[Any, list[Place]]:
        """Return the model's outputs, and the outputs of its named layers in order."""
        model = self.model()
        if callable(model):
            # a tf.function is a single operator in the outer graph, so its Python function is called
            function = model if hasattr(model, "python_function") else getattr(model, "__call__", None)  # noqa: B004

            def call(images: Any) -> Any:
                try:
                    return getattr(function, "python_function", model)(images)
                except TypeError:  # the function needs AutoGraph
                    return model(images)

            return by_batch(call, images, "tensorflow"), []
        signatures = dict(model.signatures)
        signature = signatures.get("serving_default") or next(iter(signatures.values()))
        (name, wanted), *_ = signature.structured_input_signature[1].items()
        return signature(**{name: tf.cast(images, wanted.dtype)}), []


class TailSource(Source):
    """How the part of a model after a cut is called, with the values of the layer (N, …).

    Args:
        source: how the whole model is called.
        layer: name of the layer.
        image: an image that the model accepts, (1, H, W, C).
    """

    def __init__(self, source: Source, layer: str, image: Any) -> None:
        self._source, self._layer, self._shape, self._dtype = source, layer, tuple(image.shape[1:]), image.dtype
        self.model, self.signature = source.model, (source.signature, "tail", layer, self._shape)

    def call(self, images: Any) -> tuple[Any, list[Place]]:
        """Return the model's outputs for the values of the layer."""
        values = images
        blank = tf.zeros(tf.concat([tf.shape(values)[:1], self._shape], 0), self._dtype)
        blank.set_shape((values.shape[0], *self._shape))
        with tf.name_scope("cut") as scope:
            raw, places = _called(self._source, blank)
        traced = Traced(blank, raw, places, _parts(self._source), scope=scope)
        layer = traced.layer(self._layer)
        if not layer.shape.is_compatible_with(values.shape):
            raise other_shape(repr(self._layer), tuple(layer.shape), tuple(values.shape))
        own = tf.cast(values, layer.dtype)
        traced.replace(layer, own)
        return tf.nest.map_structure(lambda each: own if each is layer else each, raw), places


def _parts(source: Source) -> list[str]:
    """Return the names of all of a model's layers."""
    return [getattr(each, "name", "") for each in getattr(source.model(), "layers", ())]


@dataclass
class TensorFlowCalls(TracedCalls):
    """The calls as functions of the images and the classes; the graph reads the model's variables.

    Args:
        notes: notes found while tracing.
        ending: the last operator before the class scores, known after a trace of ``outputs``.
        chosen: the note on the chosen output, known after the same.
    """

    notes: list[str] = field(default_factory=list)
    ending: Ending = field(default_factory=Ending)
    chosen: str = ""

    def traced(self, images: Any) -> Traced:
        """Call the model once in the graph."""
        try:
            raw, places = _called(self.source, images)
        except Exception as error:
            if (explained := shape_error(error, images.shape, self.choice.name)) is None:
                raise
            raise explained from error
        if (note := precision_note(precision_of(images.graph))) is not None and note not in self.notes:
            self.notes.append(note)
        return Traced(images, raw, places, _parts(self.source), self.choice)

    def joined(self, traced: Traced, classes: Any = None) -> Any:
        """Return the scores (k, N) of the bound targets."""
        rows, scores = [], None
        for i, target in enumerate(self.bound):
            if isinstance(target, OfScores):
                scores = self._target_scores(traced) if scores is None else scores
                by_index = isinstance(target, ClassScore) and classes is not None
                rows.append(tf.gather(scores, classes[i], axis=1) if by_index else target(scores))
            elif isinstance(target, Unit):
                rows.append(target.read(traced.layer(target.layer)))
            else:
                rows.append(one_number_each(target(self.choice.given(traced.raw)), target, ARRAYS, None))
        return tf.stack([tf.cast(row, self.dtype) if row.dtype.is_floating else row for row in rows])

    def _target_scores(self, traced: Traced) -> Any:
        """Return the logits if targets read them and they were found; otherwise the class scores."""
        scores = traced.class_scores()
        logits = traced.ending(scores)[1] if self.to_logits else None
        return scores if logits is None else logits

    def surveyed(self, images: Any) -> Surveyed:
        """Return the layers with a spatial grid that the scores depend on."""
        traced, scores = self.to_scores(images)
        return traced.survey(scores, size_of(images))

    def to_scores(self, images: Any) -> tuple[Traced, Any]:
        """Return the traced call and the scores; without targets, all class scores."""
        traced = self.traced(images)
        return traced, self.joined(traced) if self.bound else scores_or_sum(self.choice, traced.raw, tf.reduce_sum)

    def paths(self, images: Any) -> tuple[bool, bool]:
        """Return whether the scores depend on the images around the bound layer, and whether through it."""
        traced, scores = self.to_scores(images)
        layer = traced.layer(self.names[0])
        return scores.name in traced.around(layer), scores is layer or layer.op.name in before(scores.op)

    def penultimate(self, images: Any) -> str | None:
        """Return the name of the layer that the last operator with weights reads."""
        traced, scores = self.to_scores(images)
        return traced.penultimate(scores)

    def last_uses(self, images: Any, handles: Mapping[int, str]) -> dict[str, int]:
        """Return :func:`last_uses_in` of the scores."""
        return last_uses_in(images, self.to_scores(images)[1], handles)

    def outputs(self, images: Any, classes: Any) -> Any:
        traced = self.traced(images)
        outputs, self.chosen, _ = self.choice.chosen(traced.raw)
        operator, logits = traced.ending(outputs)
        self.ending = Ending(operator, logits is not None)
        return tf.cast(outputs, self.dtype)

    def scores(self, images: Any, classes: Any) -> Any:
        return tf.cast(self.joined(self.traced(images), classes), self.dtype)

    def gradients(self, images: Any, classes: Any) -> Any:
        traced = self.traced(images)
        scores = self.joined(traced, classes)
        return scores, traced.by(scores, [images], ["image"])[0]

    def gated(self, images: Any, classes: Any, selected: Any) -> Any:
        traced = self.traced(images)
        layer = traced.layer(self.names[0])
        gate = tf.cast(selected, layer.dtype)
        traced.replace(layer, layer * gate + tf.stop_gradient(layer) * (1 - gate))
        scores = self.joined(traced, classes)
        return scores, traced.by(scores, [images], ["image"])[0]

    def rewired(self, images: Any, classes: Any) -> Any:
        assert self.rules is not None
        followed, values, references, scores = self.followed(images, self.rules, classes)
        if called := [name for name in followed.unknown if name.endswith(CALLS)]:
            raise Unsupported(not_seen(called[0]))
        followed.require()
        self.notes += followed.notes()
        rows = [
            tf.one_hot(i, len(self.bound), dtype=scores.dtype)[:, None] * tf.ones_like(scores)
            for i in range(len(self.bound))
        ]
        backs = [followed.back(values, references, {scores.name: row}) for row in rows]
        lost = {cause: tf.stack([each[cause] for _, each in backs]) for cause in backs[0][1]}
        return scores, tf.stack([gradient for gradient, _ in backs]), lost

    def followed(self, images: Any, rules: Composite, classes: Any = None) -> tuple[Rewired, Any, list[Any], Any]:
        """Return the program with a backward pass by rules, its values, the references' values and the scores.

        Args:
            images: (N, H, W, C), or (N, 1 + references, H, W, C).
            rules: map operators to rules.
            classes: indices of the classes.
        """
        graph = images.graph

        def traced(images: Any) -> tuple[Any, Any, list[Any]]:
            own, first = tf.identity(images), len(graph.get_operations())
            scores = self.joined(self.traced(own), classes)
            return own, scores, graph.get_operations()[first:]

        own, scores, operators = traced(images[:, 0] if rules.references else images)
        references = []
        for i in range(rules.references):
            other, _, others = traced(images[:, 1 + i])
            # captured tensors are captured once and reused
            pair = [[each for each in several if each.type not in CAPTURED] for several in (operators, others)]
            if [each.type for each in pair[0]] != [each.type for each in pair[1]]:
                raise Unsupported(
                    f"{capitalized(self.choice.name)} runs other operators on the baseline than on the image, so "
                    "the two cannot be compared operator by operator. Use a method that needs only gradients."
                )
            found = {own.name: other}
            for mine, its in zip(*pair, strict=True):
                found.update(zip((each.name for each in mine.outputs), map(wide, its.outputs), strict=True))
            references.append(found)
        values = {tensor.name: wide(tensor) for each in graph.get_operations() for tensor in each.outputs}
        program = GraphProgram(operators, own)
        followed = Rewired(program, TensorFlowWork(), {scores.name}, rules, TensorFlowOps(self.dtype))
        return followed, values, [{**values, **each} for each in references], scores

    def activations(self, images: Any, classes: Any) -> Any:
        traced = self.traced(images)
        return [traced.layer(name) for name in self.names]

    def scores_with(self, images: Any, classes: Any, activations: Any) -> Any:
        traced = self.traced(images)
        (name,) = self.names
        layer = traced.layer(name)
        traced.replace(layer, tf.cast(activations, layer.dtype))
        return self.joined(traced, classes)

    def attentions(self, images: Any, classes: Any) -> Any:
        traced = self.traced(images)
        scores = self.joined(traced, classes)
        maps = traced.attention(scores)
        return list(zip(maps, traced.by(scores, maps, [each.op.name for each in maps]), strict=True)) if maps else []

    def early_exits(self, images: Any, classes: Any) -> Any:
        traced = self.traced(images)
        scores = self.joined(traced, classes)
        maps = traced.attention(scores)
        blocks, found = traced.blocks(maps, scores), []
        for each, block in zip(maps, blocks, strict=True):
            exits = scores
            if block is not blocks[-1]:
                # a separate call, of which only the head after the last block is evaluated
                head = self.traced(images)
                exits = self.joined(head, classes)
                head.replace(head.blocks(head.attention(exits), exits)[-1], block)
            found.append((each, traced.by(exits, [each], [each.op.name])[0]))
        return found

    def layers(self, images: Any, classes: Any) -> Any:
        traced = self.traced(images)
        seen = [traced.layer(name) for name in self.names]
        scores = self.joined(traced, classes)
        return tf.cast(scores, self.dtype), list(zip(seen, traced.by(scores, seen, self.names), strict=True))


def _called(source: Source, images: Any) -> Any:
    """Call the model; if it refuses float32 images, convert them to the type named in its error."""
    try:
        return source.call(images)
    except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
        named = re.search("bfloat16|float16|half", str(error))
        if named is None or images.dtype in HALF:
            raise
        return source.call(tf.cast(images, tf.bfloat16 if named[0] == "bfloat16" else tf.float16))
