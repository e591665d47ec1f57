"""TensorFlow 2: any function of tensors, a ``tf.Module``, a SavedModel; and Keras on TensorFlow (keras.py).

A model is traced into a graph once per kind of question, for batches of any size: there every operator can be seen,
so that gradients, layers and the logits before a softmax can be had of all of them. The classes are handed in.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from saliency.adapters.answers import (
    NO_GRID,
    NOT_A_LAYER,
    class_scores,
    indices,
    last_used,
    not_called,
    on_grid,
    one_number_each,
    patches,
    shared_by,
    static,
    token_grid,
    tokens_of,
    tokens_on_grid,
    told_by_the_model,
)
from saliency.adapters.rewired import Rewired
from saliency.adapters.tensorflow_ops import TensorFlowOps
from saliency.adapters.tensorflow_rules import CALLS, GraphProgram, TensorFlowWork, not_seen
from saliency.adapters.tokens import Grid
from saliency.errors import NoGradient, UnknownName, Unsupported, unknown
from saliency.model import Answer, Attention, Attentive, EarlyExit, Inspectable, Layer, Rewirable, Target
from saliency.rules import Composite
from saliency.targets import ClassScore, Unit, are_probabilities

CAPTURED = ("Placeholder", "Const")
"""Operators by which a graph has what was made outside."""

HIDDEN_OPERATORS = "the operators inside a SavedModel are hidden: pass the model that it was made of"
HIDDEN = "the layers inside a SavedModel are hidden: pass the model that it was made of"


def _is_saved(model: Any) -> bool:
    """Whether it was loaded: then all of it is one operator, whose inside has gradients but no names."""
    loaded = any(base.__module__.startswith("tensorflow.python.saved_model") for base in type(model).__mro__)
    return loaded or (hasattr(model, "structured_input_signature") and hasattr(model, "function_def"))


class Place(NamedTuple):
    """An operator's or a layer's result."""

    name: str
    output: Any


class Laid(NamedTuple):
    """A result with a grid over the image."""

    name: str
    output: Any
    grid: Grid


class Source:
    """How a model is called while it is traced. Compiled questions hold it, so it holds the model weakly.

    Args:
        model: a function of a tensor (N, H, W, C), or a SavedModel.
    """

    def __init__(self, model: Any) -> None:
        try:
            self.model: Callable[[], Any] = weakref.ref(model)
        except TypeError:
            self.model = lambda: model

    def call(self, images: Any) -> tuple[Any, list[Place]]:
        """What the model says, and what its layers said, in order, where they have names."""
        model = self.model()
        if callable(model):
            # what lies in a tf.function is one operator to the graph around it, unless that is left out
            function = model if hasattr(model, "python_function") else getattr(model, "__call__", None)  # noqa: B004
            try:
                return getattr(function, "python_function", model)(images), []
            except TypeError:  # it needs AutoGraph
                return model(images), []
        signatures = dict(model.signatures)
        signature = signatures.get("serving_default") or next(iter(signatures.values()))
        (name, wanted), *_ = signature.structured_input_signature[1].items()
        return signature(**{name: tf.cast(images, wanted.dtype)}), []


class TensorFlowModel:
    """A function of TensorFlow's tensors with targets and layers bound. Build it with :func:`saliency.adapt`.

    Args:
        model: from images (N, H, W, C) to scores (N, classes); a ``tf.function``, a ``tf.Module`` that can be called,
            or what ``tf.saved_model.load`` gave.
        labels: names of the classes.
        source: how it is called, where it is more than a function.
    """

    channels_first = False

    def __init__(self, model: Any, labels: Sequence[str] | None = None, *, source: Source | None = None) -> None:
        if not callable(model) and not getattr(model, "signatures", None):
            raise Unsupported(
                f"This {type(model).__name__} of TensorFlow can neither be called nor has it signatures: pass the "
                "function that gives the scores."
            )
        self.model, self.labels = model, labels
        self.source = source or Source(model)
        self._shared = shared_by(model)
        self.lock, self.batch_sizes = self._shared.lock, self._shared.batch_sizes
        self.lacks: Mapping[type, str] = {
            EarlyExit: "a graph of TensorFlow runs once: its head cannot be asked behind each block"
        }
        if _is_saved(model):
            self.lacks = {**self.lacks, Inspectable: HIDDEN, Attentive: HIDDEN, Rewirable: HIDDEN_OPERATORS}
        self.notes: list[str] = []
        floats = [each.dtype for each in self._variables() if tf.as_dtype(each.dtype).is_floating]
        self.ops = TensorFlowOps(np.float64 if floats and tf.as_dtype(floats[0]) == tf.float64 else np.float32)
        self._targets: tuple[Target, ...] = ()
        self._layers: tuple[str, ...] = ()
        self._ends_in_softmax = False
        self._rules: Composite | None = None
        # by number of tokens, how they lie over the image
        self._grids: dict[int, Grid] = {}

    def _variables(self) -> Sequence[Any]:
        return list(getattr(self.model, "variables", None) or ())

    @property
    def version(self) -> Hashable:
        """Changes whenever the weights do; they can be written to in place, so this reads them."""
        sums = [(float(tf.reduce_sum(each)), float(tf.reduce_sum(tf.abs(each)))) for each in self._floats()]
        return hash(tuple(sums))

    def _floats(self) -> list[Any]:
        values = [tf.convert_to_tensor(each) for each in self._variables() if "seed" not in str(each.name)]
        return [each for each in values if each.dtype.is_floating]

    def at(self, targets: Sequence[int | Target], layers: Sequence[str] = ()) -> TensorFlowModel:
        """See :meth:`saliency.model.Adapted.at`."""
        bound = copy.copy(self)
        bound._targets = tuple(t if callable(t) else ClassScore(t) for t in targets)
        bound._layers, bound._grids = tuple(layers), {}
        bound.notes = list(self.notes)
        return bound

    def outputs(self, images: Any) -> Any:
        """What the model says, (N, classes)."""
        said, through = self._ask("outputs", images)
        if not self._ends_in_softmax and are_probabilities(np.array(said)):
            self._ends_in_softmax = bool(through)
            which = "logit" if self._ends_in_softmax else "probability (its logits cannot be reached)"
            self.notes.append(f"the model ends in a softmax: explained the {which}")
        return said

    def scores(self, images: Any) -> Any:
        """(k, N)."""
        return self._ask("scores", images)

    def gradients(self, images: Any) -> Answer[Any]:
        """(k, N) and (k, N, H, W, C), from one forward pass."""
        return Answer(*self._ask("gradients" if self._rules is None else "rewired", images))

    def rewired(self, rules: Composite) -> TensorFlowModel:
        """See :meth:`saliency.model.Rewirable.rewired`."""
        view = self.at(self._targets, self._layers)
        # what cannot follow is told by the model itself
        view._rules, view.notes = rules, self.notes
        return view

    def operators(self, images: Any) -> frozenset[str]:
        """See :meth:`saliency.model.Rewirable.operators`."""
        question, found = Question(self), set[str]()

        def look(images: Any) -> Any:
            found.update(question.followed(images, Composite(()))[0].kinds)
            return tf.constant(0)

        with self.lock:
            _graph(look, images, with_classes=False)
        return frozenset(found)

    def layers(self, images: Any) -> list[Layer[Any]]:
        """One per bound layer: (N, h, w, K) activations and (k, N, h, w, K) gradients."""
        said = self._ask("layers", images)
        grids = [self._grid(activations, images) for activations, _ in said]
        return [
            Layer(*(patches(each, grid, tf.reshape) for each in pair)) for pair, grid in zip(said, grids, strict=True)
        ]

    def activations(self, images: Any) -> list[Any]:
        """(N, h, w, K) per bound layer."""
        return [patches(each, self._grid(each, images), tf.reshape) for each in self._ask("activations", images)]

    def scores_with(self, images: Any, activations: Any) -> Any:
        """(k, N), with something else in the place of what the bound layer says."""
        (seen,) = self._ask("activations", images)
        if (grid := self._grid(seen, images)) is not None:
            # what stands for no patch stays as it is
            rows = tf.reshape(activations, (len(images), -1, seen.shape[-1]))
            activations = tf.concat([seen[:, : grid.before], rows, seen[:, seen.shape[1] - grid.after :]], 1)
        return self._ask("scores_with", images, activations)

    def attentions(self, images: Any) -> Attention[Any]:
        """Every layer's maps (N, heads, T, T) and their gradients (k, N, heads, T, T)."""
        layers = [Layer(*each) for each in self._ask("attentions", images)]
        tokens = tokens_of([each.activations for each in layers], len(images))
        size = (int(images.shape[1]), int(images.shape[2]))
        if tokens not in self._grids:
            maps = {(shape[1], shape[2]) for _, shape, _ in self.layer_table(images) if len(shape) == 4}
            self._grids[tokens] = tokens_on_grid(tokens, size, maps)
        grid = self._grids[tokens]
        note = f"attention read among {grid.said()}"
        self.notes += [] if note in self.notes else [note]
        return Attention(layers, grid.height, grid.width, grid.before)

    def automatic_layer(self, images: Any) -> str:
        """See :meth:`saliency.model.Adapted.automatic_layer`."""
        if not (table := self.layer_table(images)):
            raise UnknownName(f"{NO_GRID} Operators inside a tf.function that is called by another cannot be seen.")
        return last_used(table, lambda names: self._used(images, names))

    def _used(self, images: Any, names: Sequence[str]) -> list[bool]:
        """Whether the scores depend on the patches at each of some layers."""
        layers = self.at(self._targets or (0,), names).layers(images[:1])
        return [bool(tf.reduce_any(each.gradients != 0)) for each in layers]

    def _grid(self, activations: Any, images: Any) -> Grid | None:
        """How a layer's tokens lie over the image; None where it has none."""
        if len(activations.shape) != 3 or len(images.shape) != 4:
            return None
        tokens, found = int(activations.shape[1]), list[Grid]()

        def look(images: Any) -> Any:
            found[:] = [each.grid for each in Question(self).grids(images) if each.grid.layout == "tokens"]
            return tf.constant(0)

        if tokens not in self._grids:
            with self.lock:
                _graph(look, images, with_classes=False)
            grids = {each.height * each.width + each.before + each.after: each for each in found}
            if tokens not in grids:
                return None
            self._grids[tokens] = grids[tokens]
            self.notes.append(f"a layer read as a grid of {grids[tokens].said()}")
        return self._grids[tokens]

    def layer_table(self, images: Any) -> list[tuple[str, tuple[int, ...], str]]:
        """(name, shape, grid in words) of every layer with a grid that the scores depend on, in the model's order."""
        found: list[tuple[str, tuple[int, ...], str]] = []

        def look(images: Any) -> Any:
            found[:] = [
                (each.name, (1, *map(int, each.output.shape[1:])), each.grid.said())
                for each in Question(self).grids(images)
            ]
            return tf.constant(0)

        with self.lock:
            _graph(look, images, with_classes=False)
        return found

    def _ask(self, kind: str, images: Any, *beside: Any) -> Any:
        """Answer one kind of question, from the graph traced for it.

        Args:
            kind: of question.
            images: (N, H, W, C).
            *beside: what else is asked with, (N, …) too.
        """
        bound = () if kind == "outputs" else (static(self._targets), self._layers, self._ends_in_softmax, self._rules)
        key = (kind, tuple(images.shape[1:]), images.dtype, bound)
        with self.lock:
            ask, question = self._shared.compiled(key, lambda: self._traced(kind, images, *beside))
            for note in question.notes:
                if note not in self.notes:
                    self.notes.append(note)
            return ask(images, tf.constant(indices(self._targets), tf.int32), *beside)

    def _traced(self, kind: str, images: Any, *beside: Any) -> tuple[Any, Question]:
        question = Question(self)
        return _graph(getattr(question, kind), images, *beside), question


class Question:
    """What of an adapter goes into a graph: never the model itself. Its methods are traced."""

    def __init__(self, model: TensorFlowModel) -> None:
        self.source, self.bound, self.names = model.source, model._targets, model._layers
        self.through_softmax, self.dtype, self.rules = model._ends_in_softmax, model.ops.dtype, model._rules
        self.notes: list[str] = []

    def traced(self, images: Any, classes: Any = None) -> Traced:
        """The model, called once."""
        try:
            raw, places = self.source.call(images)
        except Exception as error:
            if (told := told_by_the_model(error, images.shape)) is None:
                raise
            raise told from error
        return Traced(self, images, raw, places, classes)

    def grids(self, images: Any) -> list[Laid]:
        """Every layer with a grid that the scores depend on, in order."""
        traced = self.traced(images)
        size = (int(images.shape[1]), int(images.shape[2])) if len(images.shape) == 4 else (1, 1)
        return list(traced.grids(traced.joined() if self.bound else traced.class_scores(), size))

    def outputs(self, images: Any, classes: Any) -> Any:
        traced = self.traced(images)
        said = traced.class_scores()
        return tf.cast(said, self.dtype), tf.constant(traced.logits(said) is not None)

    def scores(self, images: Any, classes: Any) -> Any:
        return tf.cast(self.traced(images, classes).joined(), self.dtype)

    def gradients(self, images: Any, classes: Any) -> Any:
        traced = self.traced(images, classes)
        scores = traced.joined()
        return scores, traced.by(scores, [images], ["image"])[0]

    def rewired(self, images: Any, classes: Any) -> Any:
        assert self.rules is not None
        followed, values, references, scores = self.followed(images, self.rules, classes)
        if called := [name for name in followed.unknown if name.endswith(CALLS)]:
            raise Unsupported(not_seen(called[0]))
        followed.require()
        if self.rules.exhaustive and followed.unknown:
            names = ", ".join(sorted(followed.unknown))
            self.notes[:] = [f"no rule is known for {names}: the plain gradient went through"]
        rows = [
            tf.one_hot(i, len(self.bound), dtype=scores.dtype)[:, None] * tf.ones_like(scores)
            for i in range(len(self.bound))
        ]
        return scores, tf.stack([followed.back(values, references, {scores.name: row}) for row in rows])

    def followed(self, images: Any, rules: Composite, classes: Any = None) -> tuple[Rewired, Any, list[Any], Any]:
        """The way from the images to the scores, to be walked back by rules; what it held; the scores.

        Args:
            images: (N, H, W, C), or (N, 1 + references, H, W, C).
            rules: which operator follows which.
            classes: as in the other questions.
        """
        graph = images.graph

        def traced(images: Any) -> tuple[Any, Any, list[Any]]:
            own, first = tf.identity(images), len(graph.get_operations())
            scores = self.traced(own, classes).joined()
            return own, scores, graph.get_operations()[first:]

        own, scores, operators = traced(images[:, 0] if rules.references else images)
        references = []
        for i in range(rules.references):
            other, _, others = traced(images[:, 1 + i])
            # what is captured is captured once, and then found again
            pair = [[each for each in several if each.type not in CAPTURED] for several in (operators, others)]
            if [each.type for each in pair[0]] != [each.type for each in pair[1]]:
                raise Unsupported(
                    "The model works otherwise on the baseline than on the image, so the two cannot be compared "
                    "operator by operator. Use a method that asks only for gradients."
                )
            found = {own.name: other}
            for mine, its in zip(*pair, strict=True):
                found.update(zip((each.name for each in mine.outputs), its.outputs, strict=True))
            references.append(found)
        values = {tensor.name: tensor for each in graph.get_operations() for tensor in each.outputs}
        program = GraphProgram(operators, own)
        followed = Rewired(program, TensorFlowWork(), {scores.name}, rules, TensorFlowOps(self.dtype))
        return followed, values, [{**values, **each} for each in references], scores

    def activations(self, images: Any, classes: Any) -> Any:
        traced = self.traced(images, classes)
        return [traced.layer(name) for name in self.names]

    def scores_with(self, images: Any, classes: Any, activations: Any) -> Any:
        traced = self.traced(images, classes)
        (name,) = self.names
        traced.replace(traced.layer(name), activations)
        return traced.joined()

    def attentions(self, images: Any, classes: Any) -> Any:
        traced = self.traced(images, classes)
        scores = traced.joined()
        maps = traced.attention(scores)
        return list(zip(maps, traced.by(scores, maps, [each.op.name for each in maps]), strict=True)) if maps else []

    def layers(self, images: Any, classes: Any) -> Any:
        traced = self.traced(images, classes)
        seen = [traced.layer(name) for name in self.names]
        return list(zip(seen, traced.by(traced.joined(), seen, self.names), strict=True))


class Traced:
    """A model's call in a graph, and what can be read there."""

    def __init__(self, question: Question, images: Any, raw: Any, places: list[Place], classes: Any) -> None:
        self.question, self.images, self.raw, self.classes = question, images, raw, classes
        self.places = places

    def class_scores(self) -> Any:
        """(N, classes)."""
        return class_scores(self.raw, tf.is_tensor, tf.reshape)

    def logits(self, said: Any) -> Any:
        """What went into the softmax that `said` came out of; None if it did not."""
        operator = said.op
        while operator.type in ("Identity", "Cast"):
            operator = operator.inputs[0].op
        return operator.inputs[0] if operator.type == "Softmax" else None

    def joined(self) -> Any:
        """(k, N)."""
        rows, said = [], None
        for i, target in enumerate(self.question.bound):
            if isinstance(target, ClassScore):
                if said is None:
                    said = self.class_scores()
                    logits = self.logits(said) if self.question.through_softmax else None
                    said = said if logits is None else logits
                rows.append(tf.gather(said, 0 if self.classes is None else self.classes[i], axis=1))
            elif isinstance(target, Unit):
                rows.append(target.read(self.layer(target.layer)))
            else:
                rows.append(one_number_each(target(self.raw), target, tf.is_tensor, None))
        floating = rows[0].dtype.is_floating
        return tf.cast(tf.stack(rows), self.question.dtype) if floating else tf.stack(rows)

    def by(self, scores: Any, inputs: list[Any], names: Sequence[str]) -> list[Any]:
        """(k, N, …) gradients of the scores by each input, from the one forward pass."""
        found: list[list[Any]] = [[] for _ in inputs]
        for i in range(len(self.question.bound)):
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
        known = [place.name for place in self.places] or [place.name for place in self._all()]
        raise not_called(name) if self._has(name) else unknown("layer", name, known)

    def replace(self, output: Any, other: Any) -> None:
        """From now on, whatever takes `output` takes `other`."""
        for operator in self.images.graph.get_operations():
            for i, each in enumerate(operator.inputs):
                if each is output:
                    operator._update_input(i, other)

    def _has(self, name: str) -> bool:
        return any(name == getattr(each, "name", None) for each in getattr(self.question.source.model(), "layers", ()))

    def _all(self) -> list[Place]:
        """Every operator's result in order; a layer's in its own name."""
        named = {place.output.name: place.name for place in self.places if tf.is_tensor(place.output)}
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

    def grids(self, scores: Any, size: tuple[int, int]) -> Iterator[Laid]:
        """Every result with a grid that lies on the way from the image to the scores.

        Of tokens those of the stream through the blocks: sums of two rows of them.
        """
        wanted, after = _before(scores.op), {self.images.op.name}
        layers = {place.output.name for place in self.places if tf.is_tensor(place.output)}
        attended, maps = {int(each.shape[-1]) for each in self.attention(scores)}, set[tuple[int, int]]()
        for place in self._all():
            operator, shape = place.output.op, place.output.shape
            came = [each for each in operator.inputs if each.op.name in after]
            if not came:
                continue
            after.add(operator.name)
            if operator.name not in wanted or not place.output.dtype.is_floating or shape.rank not in (3, 4):
                continue
            if shape.rank == 3:
                both = operator.type in ("Add", "AddV2") and len(came) == 2
                if both and (grid := token_grid(shape.as_list(), size, maps, attended)) is not None:
                    yield Laid(place.name, place.output, grid)
                continue
            if operator.type in ("Pad", "PadV2"):
                continue  # a layer of its own in Keras, that says nothing new
            moves = operator.type.lower() in NOT_A_LAYER or operator.type in ("BatchMatMulV2", "Einsum", "Identity")
            if (place.output.name in layers or not moves) and on_grid(shape, size):
                maps.add((int(shape[1]), int(shape[2])))
                yield Laid(place.name, place.output, Grid("first", int(shape[1]), int(shape[2])))


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


def _graph(function: Callable[..., Any], images: Any, *beside: Any, with_classes: bool = True) -> Any:
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
