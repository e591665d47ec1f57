"""JAX: any pure function from images to scores, and what is made of one (jax_modules.py, keras.py).

Each kind of question is compiled once per shape, with the weights and the classes handed in, so that neither a step of
training nor another target compiles anything anew; a batch is padded to a size that is compiled already, or to the
next power of two.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from saliency.adapters.answers import (
    class_scores,
    indices,
    last_used,
    one_number_each,
    patches,
    shared_by,
    static,
    tokens_of,
    tokens_on_grid,
    told_by_the_model,
)
from saliency.adapters.jax_operators import WHOLE, JaxWork
from saliency.adapters.jax_ops import JaxOps
from saliency.adapters.jax_trace import Program
from saliency.adapters.rewired import Rewired
from saliency.adapters.tokens import Grid
from saliency.errors import NoGradient, Unsupported
from saliency.model import Answer, Attention, Attentive, Layer, Target
from saliency.rules import Composite
from saliency.targets import ClassScore, Unit, are_probabilities, units

SPARE = 8
"""By how many times a batch may be padded at most, lest a new size be compiled."""


class Source(Protocol):
    """How a JAX model is called. Compiled questions hold it, so it must hold neither the model nor its weights."""

    channels_first: bool
    notes: Sequence[str]
    signature: Hashable
    """What the answers depend on beside weights and images."""

    def call(self, weights: Any, images: Any) -> Any:
        """What the model says of (N, H, W, C)."""


class PureFunction(Source):
    """``f(x)``, or ``f(params, x)``.

    Args:
        function: held weakly.
        bare: whether it takes no parameters.
    """

    channels_first = False
    notes: Sequence[str] = ()

    def __init__(self, function: Callable[..., Any], bare: bool) -> None:
        self._function, self.signature = _weakly(function), bare

    def call(self, weights: Any, images: Any) -> Any:
        """See :class:`Source`."""
        function = self._function()
        return function(images) if self.signature else function(weights, images)


class JaxModel:
    """A function of JAX arrays with targets and layers bound. Build it with :func:`saliency.adapt`.

    Args:
        function: from images (N, H, W, C) to scores (N, classes); a jitted one too. With `params`: from these and
            images.
        labels: names of the classes.
        params: the tree of arrays that is handed to `function` first.
        source: how it is called, where it is more than a function.
        weights: gives the tree of arrays that it is made of now, where it is more than a function.
    """

    def __init__(
        self,
        function: Any,
        labels: Sequence[str] | None = None,
        *,
        params: Any = None,
        source: Source | None = None,
        weights: Callable[[], Any] | None = None,
    ) -> None:
        self.model, self.labels = function, labels
        self.source: Source = source or PureFunction(function, bare=params is None)
        self.weights = weights or (lambda: params)
        self._shared = shared_by(function)
        self.lock, self.batch_sizes = self._shared.lock, self._shared.batch_sizes
        self.lacks: Mapping[type, str] = {}
        if self.source.channels_first:
            self.lacks = {Attentive: "of a model of single images the axes of a map are not known"}
        self.notes: list[str] = list(self.source.notes)
        floats = [each.dtype for each in jax.tree.leaves(self.weights()) if _is_floating(each)]
        self.ops = JaxOps(np.float64 if floats and floats[0] == np.float64 else np.float32)
        self._targets: tuple[Target, ...] = ()
        self._layers: tuple[str, ...] = ()
        self._ends_in_softmax = False
        self._rules: Composite | None = None
        self._held: Composite | None = None
        # by number of tokens, how they lie over the image
        self._grids: dict[int, Grid] = {}

    @property
    def channels_first(self) -> bool:
        """Whether the model's own images are (C, H, W)."""
        return self.source.channels_first

    @property
    def version(self) -> Hashable:
        """Changes whenever a weight is replaced: JAX's arrays are never written to."""
        return self._shared.version(jax.tree.leaves(self.weights()))

    def at(self, targets: Sequence[int | Target], layers: Sequence[str] = ()) -> JaxModel:
        """See :meth:`saliency.model.Adapted.at`."""
        bound = copy.copy(self)
        bound._targets = tuple(t if callable(t) else ClassScore(t) for t in targets)
        bound._layers, bound._grids = tuple(layers), {}
        bound.notes = list(self.notes)
        return bound

    def outputs(self, images: Any) -> Any:
        """What the model says, (N, classes)."""
        said = self._ask("outputs", images)
        if not self._ends_in_softmax and are_probabilities(np.asarray(said)):
            program = self._program(images[:1])
            self._ends_in_softmax = program.softmaxed(program.outputs[0]) is not None
            which = "logit" if self._ends_in_softmax else "probability (its logits cannot be reached)"
            self.notes.append(f"the model ends in a softmax: explained the {which}")
        return said

    def scores(self, images: Any) -> Any:
        """(k, N)."""
        return self._ask("scores", images)

    def gradients(self, images: Any) -> Answer[Any]:
        """(k, N) and (k, N, H, W, C), from one forward pass."""
        if self._rules is None:
            return Answer(*self._ask("gradients", images))
        if self._held is not self._rules:
            self._hold(self._rules, images)
        return Answer(*self._ask("rewired", images))

    def rewired(self, rules: Composite) -> JaxModel:
        """See :meth:`saliency.model.Rewirable.rewired`."""
        view = self.at(self._targets, self._layers)
        # what cannot follow is told by the model itself
        view._rules, view.notes = rules, self.notes
        return view

    def operators(self, images: Any) -> frozenset[str]:
        """See :meth:`saliency.model.Rewirable.operators`."""
        with self.lock:
            return frozenset(Question(self).followed(self.weights(), images[:1], Composite(())).kinds)

    def _hold(self, rules: Composite, images: Any) -> None:
        """Refuse rules that find nothing to hold on to, and note which operators are not known."""
        with self.lock:
            followed = Question(self).followed(self.weights(), images[:1, 0] if rules.references else images[:1], rules)
        followed.require()
        self._held = rules
        if rules.exhaustive and followed.unknown:
            note = f"no rule is known for {', '.join(sorted(followed.unknown))}: the plain gradient went through"
            if note not in self.notes:
                self.notes.append(note)

    def layers(self, images: Any) -> list[Layer[Any]]:
        """One per bound layer: (N, h, w, K) activations and (k, N, h, w, K) gradients."""
        said = self._ask("layers", images)
        if self.channels_first:
            said = [(jnp.moveaxis(a, 1, -1), jnp.moveaxis(g, 2, -1)) if a.ndim == 4 else (a, g) for a, g in said]
        grids = [self._grid(activations, images) for activations, _ in said]
        return [
            Layer(*(patches(each, grid, jnp.reshape) for each in pair)) for pair, grid in zip(said, grids, strict=True)
        ]

    def activations(self, images: Any) -> list[Any]:
        """(N, h, w, K) per bound layer."""
        said: list[Any] = self._ask("activations", images)
        said = [jnp.moveaxis(each, 1, -1) if self.channels_first and each.ndim == 4 else each for each in said]
        return [patches(each, self._grid(each, images), jnp.reshape) for each in said]

    def scores_with(self, images: Any, activations: Any) -> Any:
        """(k, N), with something else in the place of what the bound layer says."""
        (seen,) = self._ask("activations", images)
        if (grid := self._grid(seen, images)) is not None:
            # what stands for no patch stays as it is
            rows = jnp.reshape(activations, (len(images), -1, seen.shape[-1]))
            own = jnp.concatenate([seen[:, : grid.before], rows, seen[:, seen.shape[1] - grid.after :]], 1)
        else:
            own = jnp.moveaxis(activations, -1, 1) if self.channels_first and activations.ndim == 4 else activations
        return self._ask("scores_with", images, own)

    def attentions(self, images: Any) -> Attention[Any]:
        """Every layer's maps (N, heads, T, T) and their gradients (k, N, heads, T, T)."""
        return self._attended("attentions", images)

    def early_exits(self, images: Any) -> Attention[Any]:
        """The same, each layer's gradients of the scores that the model's head gives behind its own block."""
        return self._attended("early exits", images)

    def _attended(self, kind: str, images: Any) -> Attention[Any]:
        layers = [Layer(*each) for each in self._ask(kind, images)]
        tokens, size = tokens_of([each.activations for each in layers], len(images)), _size(images)
        if tokens not in self._grids:
            maps = {(shape[1], shape[2]) for _, shape, _ in self.layer_table(images) if len(shape) == 4}
            self._grids[tokens] = tokens_on_grid(tokens, size, maps)
        grid = self._grids[tokens]
        note = f"attention read among {grid.said()}"
        self.notes += [] if note in self.notes else [note]
        return Attention(layers, grid.height, grid.width, grid.before)

    def automatic_layer(self, images: Any) -> str:
        """See :meth:`saliency.model.Adapted.automatic_layer`."""
        return last_used(self.layer_table(images), lambda names: self._used(images, names))

    def _used(self, images: Any, names: Sequence[str]) -> list[bool]:
        """Whether the scores depend on the patches at each of some layers."""
        layers = self.at(self._targets or (0,), names).layers(images[:1])
        return [bool((each.gradients != 0).any()) for each in layers]

    def _grid(self, activations: Any, images: Any) -> Grid | None:
        """How a layer's tokens lie over the image; None where it has none."""
        if activations.ndim != 3 or len(images.shape) != 4:
            return None
        tokens = int(activations.shape[1])
        if tokens not in self._grids:
            program = self._program(images[:1])
            found = program.grids(_size(images), self.channels_first, Question(self).scored(program))
            grid = next((grid for _, shape, grid in found if grid.layout == "tokens" and shape[1] == tokens), None)
            if grid is None:
                return None
            self._grids[tokens] = grid
            self.notes.append(f"a layer read as a grid of {grid.said()}")
        return self._grids[tokens]

    def layer_table(self, images: Any) -> list[tuple[str, tuple[int, ...], str]]:
        """(name, shape, grid in words) of every layer with a grid that the scores depend on, in the model's order."""
        program, first = self._program(images[:1]), self.channels_first
        found = program.grids(_size(images), first, Question(self).scored(program))
        return [
            (name, shape, grid.said() if grid.layout == "tokens" else f"{grid.height}×{grid.width}")
            for name, shape, grid in found
        ]

    def _program(self, images: Any) -> Program:
        """The way from the image to the class scores, or to what is bound where the outputs hold no scores."""
        question = Question(self)
        callables = self._targets and not any(isinstance(each, ClassScore) for each in self._targets)
        with self.lock:
            return Program(question.parts if callables else question.class_scores, self.weights(), images)

    def _ask(self, kind: str, images: Any, *beside: Any) -> Any:
        """Answer one kind of question, from the program compiled for it.

        Args:
            kind: of question.
            images: (N, H, W, C).
            *beside: what else is asked with, (N, …) too.
        """
        bound = () if kind == "outputs" else (static(self._targets), self._layers, self._ends_in_softmax, self._rules)
        key = (kind, self.source.signature, self.ops.dtype, bound)
        compiled = self._shared.compiled(key, lambda: Compiled(kind, Question(self)))
        with self.lock:
            return compiled(self.weights(), images, np.asarray(indices(self._targets), np.int32), *beside)


class Question:
    """What of an adapter goes into a compiled program: never the model itself."""

    def __init__(self, model: JaxModel) -> None:
        self.source, self.bound, self.names = model.source, model._targets, model._layers
        self.through_softmax, self.dtype, self.rules = model._ends_in_softmax, model.ops.dtype, model._rules

    def raw(self, weights: Any, images: Any) -> Any:
        """What the model says, its complaints retold."""
        try:
            return self.source.call(weights, images)
        except jax.errors.TracerArrayConversionError as error:
            raise Unsupported(
                "JAX cannot trace this function: it turns its input into a NumPy array on the way. Write it with "
                f"jax.numpy throughout. JAX says: {str(error).splitlines()[0]}"
            ) from error
        except Exception as error:
            if (told := told_by_the_model(error, images.shape)) is None:
                raise
            raise told from error

    def class_scores(self, weights: Any, images: Any) -> Any:
        """(N, classes)."""
        return class_scores(self.raw(weights, images), _is_array, jnp.reshape)

    def parts(self, weights: Any, images: Any) -> tuple[Any, list[Any]]:
        """What targets are made of: the class scores, if any target wants them, and a row of each callable."""
        raw, rows, said = self.raw(weights, images), [], None
        for target in self.bound:
            if isinstance(target, ClassScore):
                said = class_scores(raw, _is_array, jnp.reshape) if said is None else said
            elif not isinstance(target, Unit):
                rows.append(one_number_each(target(raw), target, _is_array, images.shape[0]))
        return said, rows

    def joined(self, said: Any, rows: Sequence[Any], classes: Any, inner: Sequence[Any] = ()) -> Any:
        """(k, N) of :meth:`parts`, and of the rows of units."""
        called, read = iter(rows), iter(inner)
        found = [
            said[:, classes[i]]
            if isinstance(target, ClassScore)
            else next(read if isinstance(target, Unit) else called)
            for i, target in enumerate(self.bound)
        ]
        stacked = jnp.stack(found)
        # whole numbers stay what they are: they have no gradient, and that shall be found out
        return stacked.astype(self.dtype) if _is_floating(stacked) else stacked

    def scored(self, program: Program) -> set[int]:
        """The slots of :meth:`parts` that the scores are made of."""
        return {*program.outputs, *map(program.layer, units(self.bound))}

    def scores(self, weights: Any, images: Any, classes: Any) -> Any:
        """(k, N), of the logits where they were found."""
        if not self.through_softmax and not units(self.bound):
            return self.joined(*self.parts(weights, images), classes)
        program = Program(self.parts, weights, images)
        return self.of_program(program, classes, *program.run(weights, images))

    def of_program(self, program: Program, classes: Any, parts: Any, values: Mapping[int, Any]) -> Any:
        """(k, N) of what the traced :meth:`parts` gave."""
        said, rows = parts
        if self.through_softmax and said is not None:
            logits = program.softmaxed(program.outputs[0])
            said = said if logits is None else values[logits]
        inner = [self.read(each, program, values) for each in self.bound if isinstance(each, Unit)]
        return self.joined(said, rows, classes, inner)

    def followed(self, weights: Any, images: Any, rules: Composite) -> Rewired:
        """The way from the images to the scores, to be walked back by rules."""
        program = Program(self.parts, weights, images, whole=WHOLE)
        return Rewired(program, JaxWork(), set(self.sources(program)), rules, JaxOps(self.dtype))

    def sources(self, program: Program) -> list[int]:
        """The slots that the scores are read from."""
        found = [*program.outputs, *map(program.layer, units(self.bound))]
        if self.through_softmax and (logits := program.softmaxed(program.outputs[0])) is not None:
            found = [logits, *found[1:]]
        return found

    def read(self, target: Unit, program: Program, values: Mapping[int, Any]) -> Any:
        """(N,) of what a unit said."""
        activations = values[program.layer(target.layer)]
        if self.source.channels_first and activations.ndim == 4:
            activations = jnp.moveaxis(activations, 1, -1)
        return target.read(activations)


class Compiled:
    """One kind of question, compiled per size of batch."""

    def __init__(self, kind: str, question: Question) -> None:
        self._run, self._kind = jax.jit(_QUESTIONS[kind](question)), kind
        self._sizes: dict[tuple[int, ...], set[int]] = {}

    def __call__(self, weights: Any, images: Any, classes: np.ndarray, *beside: Any) -> Any:
        count, *shape = images.shape
        sizes = self._sizes.setdefault((len(classes), *shape), set())
        fitting = [size for size in sizes if count <= size <= SPARE * count]
        size = min(fitting, default=1 << (count - 1).bit_length())
        if size > count:
            # more of the last image: zeros might not be numbers the model can take
            images, *padded = (
                jnp.concatenate([each, jnp.repeat(each[-1:], size - count, 0)]) for each in (images, *beside)
            )
            beside = tuple(padded)
        try:
            said = self._run(weights, images, classes, *beside)
        except Exception as error:
            sizes.discard(size)
            if "do not support JVP" in str(error):
                raise NoGradient(
                    "The score cannot be differentiated by the image: the model works outside JAX on the way "
                    f"(a callback). JAX says: {str(error).splitlines()[0]}"
                ) from error
            raise
        sizes.add(size)
        if size == count:
            return said
        match self._kind:
            case "outputs":
                return said[:count]
            case "activations":
                return [each[:count] for each in said]
            case "layers" | "attentions" | "early exits":
                return [(activations[:count], gradients[:, :count]) for activations, gradients in said]
        return jax.tree.map(lambda array: array[:, :count], said)


def _outputs(question: Question) -> Callable[..., Any]:
    def ask(weights: Any, images: Any, _: Any) -> Any:
        return question.class_scores(weights, images).astype(question.dtype)

    return ask


def _scores(question: Question) -> Callable[..., Any]:
    def ask(weights: Any, images: Any, classes: Any) -> Any:
        return question.scores(weights, images, classes).astype(question.dtype)

    return ask


def _gradients(question: Question) -> Callable[..., Any]:
    def ask(weights: Any, images: Any, classes: Any) -> Any:
        def score(images: Any) -> Any:
            return question.scores(weights, images, classes)

        program = Program(score, images)
        if (why := program.cut(program.outputs[0])) is not None:
            raise NoGradient(why)
        scores, back = jax.vjp(score, images)
        return scores, _each(back, scores)

    return ask


def _layers(question: Question) -> Callable[..., Any]:
    def ask(weights: Any, images: Any, classes: Any) -> Any:
        program = Program(question.parts, weights, images)
        slots = [program.layer(name) for name in question.names]
        wanted = program.before(question.scored(program))
        for name, slot in zip(question.names, slots, strict=True):
            if slot not in wanted:
                raise NoGradient(f"The score does not depend on {name!r}: there is no gradient.")

        return _read_at(program, slots, question, weights, images, classes)

    return ask


def _read_at(program: Program, slots: list[int], question: Question, weights: Any, images: Any, classes: Any) -> Any:
    """What the slots hold, and the gradients there."""

    def score(changes: list[Any]) -> Any:
        parts, values = program.run(weights, images, changes=dict(zip(slots, changes, strict=True)))
        return question.of_program(program, classes, parts, values), [values[slot] for slot in slots]

    # the gradient there is that of the score by something added there
    nothing = [jnp.zeros(each.shape, each.dtype) for each in map(program.aval, slots)]
    scores, back, seen = jax.vjp(score, nothing, has_aux=True)
    return list(zip(seen, _each(back, scores), strict=True))


def _activations(question: Question) -> Callable[..., Any]:
    def ask(weights: Any, images: Any, _: Any) -> Any:
        program = Program(question.parts, weights, images)
        values = program.run(weights, images)[1]
        return [values[program.layer(name)] for name in question.names]

    return ask


def _scores_with(question: Question) -> Callable[..., Any]:
    def ask(weights: Any, images: Any, classes: Any, activations: Any) -> Any:
        program = Program(question.parts, weights, images)
        (name,) = question.names
        parts, values = program.run(weights, images, instead={program.layer(name): activations})
        return question.of_program(program, classes, parts, values)

    return ask


def _rewired(question: Question) -> Callable[..., Any]:
    rules = question.rules
    assert rules is not None

    def ask(weights: Any, images: Any, classes: Any) -> Any:
        own = images[:, 0] if rules.references else images
        scored = Program(lambda images: question.scores(weights, images, classes), own)
        if (why := scored.cut(scored.outputs[0])) is not None:
            raise NoGradient(why)
        followed = question.followed(weights, own, rules)
        program: Any = followed.program
        slots = question.sources(program)
        _, values = program.run(weights, own)
        references = [program.run(weights, images[:, 1 + i])[1] for i in range(rules.references)]

        def score(read: list[Any]) -> Any:
            now = {**values, **dict(zip(slots, read, strict=True))}
            parts = jax.tree.unflatten(program.tree, [now[slot] for slot in program.outputs])
            return question.of_program(program, classes, parts, now)

        scores, back = jax.vjp(score, [values[slot] for slot in slots])
        rows = jnp.eye(len(scores), dtype=scores.dtype)[:, :, None] * jnp.ones_like(scores)

        def walk(row: Any) -> Any:
            found: dict[int, Any] = {}
            for slot, each in zip(slots, back(row)[0], strict=True):
                found[slot] = found[slot] + each if slot in found else each
            return followed.back(values, references, found)

        return scores, jax.vmap(walk)(rows)

    return ask


def _attentions(question: Question) -> Callable[..., Any]:
    def ask(weights: Any, images: Any, classes: Any) -> Any:
        program = Program(question.parts, weights, images)
        maps = program.attention(question.scored(program))
        found = _read_at(program, maps, question, weights, images, classes)
        return [(_by_heads(each), jax.vmap(_by_heads)(gradients)) for each, gradients in found]

    return ask


def _by_heads(maps: Any) -> Any:
    """(N, heads, T, T) of maps that may have groups of heads first."""
    if maps.ndim == 4:
        return maps
    return jnp.moveaxis(maps, 0, 1).reshape(maps.shape[1], -1, *maps.shape[3:])


def _early_exits(question: Question) -> Callable[..., Any]:
    def ask(weights: Any, images: Any, classes: Any) -> Any:
        program = Program(question.parts, weights, images)
        maps = program.attention(question.scored(program))
        blocks = program.blocks(maps)
        if len({program.aval(each).shape for each in blocks}) > 1 or len(blocks) != len(maps):
            raise Unsupported("The model's blocks cannot be told apart: they do not end in a sum of tokens, (N, T, K).")

        def behind(i: int) -> Any:
            """The map of a block, and the gradients there of what the head says behind that block."""

            def score(change: Any) -> Any:
                values = program.run(weights, images, changes={maps[i]: change})[1]
                parts, after = program.run(weights, images, instead={blocks[-1]: values[blocks[i]]})
                return question.of_program(program, classes, parts, after), values[maps[i]]

            aval = program.aval(maps[i])
            scores, back, seen = jax.vjp(score, jnp.zeros(aval.shape, aval.dtype), has_aux=True)
            return _by_heads(seen), jax.vmap(_by_heads)(_each(back, scores))

        return [behind(i) for i in range(len(maps))]

    return ask


_QUESTIONS = {
    "attentions": _attentions,
    "early exits": _early_exits,
    "outputs": _outputs,
    "scores": _scores,
    "gradients": _gradients,
    "activations": _activations,
    "layers": _layers,
    "scores_with": _scores_with,
    "rewired": _rewired,
}


def _each(back: Callable[..., Any], scores: Any) -> Any:
    """Per target, the gradients of its scores, from the one forward pass."""
    rows = jnp.eye(len(scores), dtype=scores.dtype)[:, :, None] * jnp.ones_like(scores)
    return jax.vmap(lambda row: back(row)[0])(rows)


def _weakly(function: Any) -> Callable[[], Any]:
    """A reference that does not keep it alive, where there can be one."""
    try:
        return weakref.ref(function)
    except TypeError:
        return lambda: function


def _is_array(value: Any) -> bool:
    return isinstance(value, jax.Array)


def _is_floating(value: Any) -> bool:
    return hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jnp.floating)


def _size(images: Any) -> tuple[int, int]:
    return (int(images.shape[1]), int(images.shape[2])) if images.ndim == 4 else (1, 1)
