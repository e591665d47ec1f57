"""The calls of a JAX model as functions of its weights, the images and the classes, and their compilation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from saliency.adapters.answers import Arrays, one_number_each, shape_error
from saliency.adapters.base import size_of
from saliency.adapters.cut import other_shape
from saliency.adapters.jax.operators import WHOLE, JaxWork
from saliency.adapters.jax.ops import JaxOps
from saliency.adapters.jax.trace import HALF, Program, wide
from saliency.adapters.layers import Surveyed, read_from_map, scores_or_sum
from saliency.adapters.outputs import parts_of
from saliency.adapters.tokens import no_blocks
from saliency.adapters.traced.model import TracedCalls
from saliency.adapters.traced.rewired import Rewired
from saliency.adapters.weights import Step, last_uses
from saliency.errors import NoGradient, Unsupported
from saliency.model.head import Ending
from saliency.rules import Composite
from saliency.targets import ClassScore, OfScores, Unit, units

STATISTICS = "batch_stats"
"""Flax's collection of running statistics."""

SPARE = 8
"""Largest factor by which a batch is padded to avoid the compilation of a new size."""

ARRAYS = Arrays(lambda value: isinstance(value, jax.Array), jnp.reshape)


class Source(Protocol):
    """How a JAX model is called. Compiled calls refer to it, so it must not refer to the model or its weights."""

    channels_first: bool
    notes: Sequence[str]
    signature: Hashable
    """A key of the state that the results depend on, besides weights and images."""

    def call(self, weights: Any, images: Any) -> Any:
        """Return the model's outputs for images (N, H, W, C)."""

    def weight_name(self, path: Sequence[Any]) -> str | None:
        """Return the name of a weight tensor by its path in the tree of arrays; None for a model's state."""


class TailSource(Source):
    """How the part of a model after a cut is called, with the values of the layer (N, …), channels last.

    Args:
        source: how the whole model is called.
        layer: name of the layer.
        image: an image that the model accepts, (1, H, W, C).
    """

    channels_first = False
    notes: Sequence[str] = ()

    def __init__(self, source: Source, layer: str, image: Any) -> None:
        self._source, self._layer, self._shape, self._dtype = source, layer, tuple(image.shape[1:]), image.dtype
        self.signature = (source.signature, "tail", layer, self._shape)

    def call(self, weights: Any, values: Any) -> Any:
        """See :class:`Source`."""
        shaped: Any = jax.ShapeDtypeStruct  # JAX has no type for it
        images = shaped((values.shape[0], *self._shape), self._dtype)
        program = Program(partial(_called, self._source), weights, images)
        slot = program.layer(self._layer)
        turned = self._source.channels_first and values.ndim == 4
        own = jnp.moveaxis(values, -1, 1) if turned else values
        if own.shape != (wanted := tuple(program.shapes[slot])):
            raise other_shape(repr(self._layer), wanted, tuple(own.shape))
        return program.resumed(weights, slot=slot, value=own)

    def weight_name(self, path: Sequence[Any]) -> str | None:
        """See :class:`Source`."""
        return self._source.weight_name(path)


class JaxCalls(TracedCalls):
    """The calls as functions of the weights, the images and the classes."""

    source: Source

    def raw(self, weights: Any, images: Any) -> Any:
        """Return the model's outputs; errors about shapes are raised as BadImage."""
        try:
            return _called(self.source, weights, images)
        except jax.errors.TracerArrayConversionError as error:
            raise Unsupported(
                "JAX cannot trace this function: it converts its input to a NumPy array. Write it with "
                f"jax.numpy throughout. Original error: {str(error).splitlines()[0]}"
            ) from error
        except Exception as error:
            if type(error).__name__ == "TraceContextError":
                raise Unsupported(
                    "The function writes to the state of a flax.nnx module that it uses, which cannot be traced: pass "
                    f"the module itself, or call its eval() first. Original error: {error}"
                ) from error
            if (explained := shape_error(error, images.shape, self.choice.name)) is None:
                raise
            raise explained from error

    def class_scores(self, weights: Any, images: Any) -> Any:
        """Return the class scores, (N, classes)."""
        return self.choice.rows(self.raw(weights, images), images.shape[0])

    def ending(self, weights: Any, images: Any) -> tuple[Ending, str]:
        """Return the last operator before the class scores, and the note on which of several outputs they are."""
        notes: list[str] = []

        def scores(weights: Any, images: Any) -> Any:
            found = self.choice.chosen(self.raw(weights, images), images.shape[0])
            notes.append(found.note)
            return found.array

        program = Program(scores, weights, images)
        operator, logits = program.activated(program.outputs[0])
        return Ending(operator, logits is not None), notes[0]

    def parts(self, weights: Any, images: Any) -> tuple[Any, list[Any]]:
        """Return the class scores, if any target reads them, and the row of each callable."""
        return self.parts_of(self.raw(weights, images), images.shape[0])

    def parts_of(self, raw: Any, count: int) -> tuple[Any, list[Any]]:
        """Return the same from the model's outputs for `count` images."""
        rows, scores = [], None
        for target in self.bound:
            if isinstance(target, OfScores):
                scores = self.choice.rows(raw, count) if scores is None else scores
            elif not isinstance(target, Unit):
                rows.append(one_number_each(target(self.choice.given(raw)), target, ARRAYS, count))
        return scores, rows

    def surveyed(self, weights: Any, images: Any) -> Surveyed:
        """Return the layers with a grid that the scores depend on; the class scores if no target is bound."""
        program, scores = self.to_scores(weights, images)
        _, raw = jax.tree.unflatten(program.tree, program.outputs)
        outputs = {slot for slot in jax.tree.leaves(raw) if slot in program.before(scores)}
        dense = read_from_map([program.shapes[slot] for slot in outputs], images.shape[0])
        return program.survey(size_of(images), self.source.channels_first, scores, outputs, dense)

    def to_scores(self, weights: Any, images: Any) -> tuple[Program, set[int]]:
        """Return the program to (what the scores are read from, all outputs), and the slots of the scores."""

        def parts(weights: Any, images: Any) -> tuple[Any, Any]:
            raw = self.raw(weights, images)
            made = self.parts_of(raw, images.shape[0]) if self.bound else scores_or_sum(self.choice, raw, jnp.sum)
            return made, [each.array for each in parts_of(raw, ARRAYS)]

        program = Program(parts, weights, images)
        made, _ = jax.tree.unflatten(program.tree, program.outputs)
        return program, {*jax.tree.leaves(made), *map(program.layer, units(self.bound))}

    def last_uses(self, weights: Any, images: Any) -> list[int | None]:
        """Return, for each leaf of the weights, the last step that combines it with the image on the way to the scores.

        None for leaves that the scores do not depend on.
        """
        program, scores = self.to_scores(weights, images)
        steps: list[Step] = [(set(step.takes), set(step.gives)) for step in program.steps]
        names = {slot: [str(i)] for i, slot in enumerate(program.inputs[:-1])}
        found = last_uses(steps, names, program.images, scores)
        return [found.get(str(i)) for i in range(len(names))]

    def penultimate(self, weights: Any, images: Any) -> str | None:
        """Return the name of the layer that the last operator with weights reads."""
        program, scores = self.to_scores(weights, images)
        return program.penultimate(scores)

    def paths(self, weights: Any, images: Any) -> tuple[bool, bool]:
        """Return whether the scores depend on the images around the bound layer, and whether through it."""
        program, scores = self.to_scores(weights, images)
        slot = program.layer(self.names[0])
        return not program.around(slot).isdisjoint(scores), slot in program.before(scores)

    def joined(self, class_scores: Any, rows: Sequence[Any], classes: Any, inner: Sequence[Any] = ()) -> Any:
        """Return the scores (k, N) from :meth:`parts` and the rows of units."""
        called, read, found = iter(rows), iter(inner), []
        for i, target in enumerate(self.bound):
            if isinstance(target, ClassScore):
                found.append(class_scores[:, classes[i]])
            elif isinstance(target, OfScores):
                found.append(target(class_scores))
            else:
                found.append(next(read if isinstance(target, Unit) else called))
        stacked = jnp.stack(found)
        # integers are not converted, so that their missing gradient is reported
        return stacked.astype(self.dtype) if is_floating(stacked) else stacked

    def scored(self, program: Program) -> set[int]:
        """Return the slots of :meth:`parts` that the scores depend on."""
        return {*program.outputs, *map(program.layer, units(self.bound))}

    def native_scores(self, weights: Any, images: Any, classes: Any) -> Any:
        """Return the scores (k, N), of the logits if they were found, in the model's own type."""
        if not self.to_logits and not units(self.bound):
            return self.joined(*self.parts(weights, images), classes)
        program = Program(self.parts, weights, images)
        return self.of_program(program, classes, *program.run(weights, images))

    def of_program(self, program: Program, classes: Any, parts: Any, values: Mapping[int, Any]) -> Any:
        """Return the scores (k, N) from the results of the traced :meth:`parts`."""
        class_scores, rows = parts
        if class_scores is not None and (logits := self.logits(program)) is not None:
            class_scores = jnp.reshape(values[logits], class_scores.shape)
        inner = [self.read(each, program, values) for each in self.bound if isinstance(each, Unit)]
        return self.joined(class_scores, rows, classes, inner)

    def followed(self, weights: Any, images: Any, rules: Composite) -> Rewired:
        """Return the program from the images to the scores, with a backward pass by rules."""
        program = Program(self.parts, weights, images, whole=WHOLE)
        return Rewired(program, JaxWork(), set(self.sources(program)), rules, JaxOps(self.dtype))

    def sources(self, program: Program) -> list[int]:
        """Return the slots that the scores are read from."""
        found = [*program.outputs, *map(program.layer, units(self.bound))]
        if any(isinstance(each, OfScores) for each in self.bound) and (logits := self.logits(program)) is not None:
            found = [logits, *found[1:]]
        return found

    def logits(self, program: Program) -> int | None:
        """Return the slot of the logits that targets read; None if it is the output."""
        return program.activated(program.outputs[0])[1] if self.to_logits else None

    def read(self, target: Unit, program: Program, values: Mapping[int, Any]) -> Any:
        """Return the values (N,) of a unit."""
        activations = values[program.layer(target.layer)]
        if self.source.channels_first and activations.ndim == 4:
            activations = jnp.moveaxis(activations, 1, -1)
        return target.read(activations)

    def outputs(self, weights: Any, images: Any, _: Any) -> Any:
        return self.class_scores(weights, images).astype(self.dtype)

    def scores(self, weights: Any, images: Any, classes: Any) -> Any:
        return self.native_scores(weights, images, classes).astype(self.dtype)

    def gradients(self, weights: Any, images: Any, classes: Any) -> Any:
        score = self._differentiable(weights, images, classes)
        scores, back = jax.vjp(score, images)
        return scores, _each(back, scores)

    def gated(self, weights: Any, images: Any, classes: Any, selected: Any) -> Any:
        self._differentiable(weights, images, classes)

        def only(value: Any) -> Any:
            return (value * selected + jax.lax.stop_gradient(value) * (1 - selected)).astype(value.dtype)

        def score(images: Any) -> Any:
            program = Program(self.parts, weights, images)
            through = {program.layer(self.names[0]): only}
            parts, values = program.run(weights, images, through=through)
            return self.of_program(program, classes, parts, values)

        scores, back = jax.vjp(score, images)
        return scores, _each(back, scores)

    def layers(self, weights: Any, images: Any, classes: Any) -> Any:
        program = Program(self.parts, weights, images)
        slots = [program.layer(name) for name in self.names]
        wanted = program.before(self.scored(program))
        for name, slot in zip(self.names, slots, strict=True):
            if slot not in wanted:
                raise NoGradient(f"The score does not depend on {name!r}, so it has no gradient there.")
        return self._read_at(program, slots, weights, images, classes)

    def activations(self, weights: Any, images: Any, _: Any) -> Any:
        program = Program(self.parts, weights, images)
        values = program.run(weights, images)[1]
        return [values[program.layer(name)] for name in self.names]

    def scores_with(self, weights: Any, images: Any, classes: Any, activations: Any) -> Any:
        program = Program(self.parts, weights, images)
        (name,) = self.names
        parts, values = program.run(weights, images, instead={program.layer(name): activations})
        return self.of_program(program, classes, parts, values)

    def rewired(self, weights: Any, images: Any, classes: Any) -> Any:
        rules = self.rules
        assert rules is not None
        own = images[:, 0] if rules.references else images
        self._differentiable(weights, own, classes)
        followed = self.followed(weights, own, rules)
        program: Any = followed.program
        slots = self.sources(program)
        values = _widened(program.run(weights, own)[1])
        references = [_widened(program.run(weights, images[:, 1 + i])[1]) for i in range(rules.references)]

        def score(read: list[Any]) -> Any:
            now = {**values, **dict(zip(slots, read, strict=True))}
            parts = jax.tree.unflatten(program.tree, [now[slot] for slot in program.outputs])
            return self.of_program(program, classes, parts, now)

        def walk(row: Any) -> Any:
            found: dict[int, Any] = {}
            for slot, slope in zip(slots, back(row)[0], strict=True):
                # the score is a weighted sum of outputs; the relevance of each is its term
                share = values[slot] / _nonzero(_along((row * scores).sum(0), slope)) if rules.accounts else 1
                found[slot] = found[slot] + slope * share if slot in found else slope * share
            return followed.back(values, references, found)

        scores, back = jax.vjp(score, [values[slot] for slot in slots])
        gradients, lost = _each(lambda row: [walk(row)], scores)
        # counted for one image only: such a batch is never padded
        return scores, gradients, lost if len(own) == 1 else None

    def attentions(self, weights: Any, images: Any, classes: Any) -> Any:
        program = Program(self.parts, weights, images)
        maps = program.attention(self.scored(program))
        _, found = self._read_at(program, maps, weights, images, classes)
        axes = self._image_axes(program, maps, weights, images)
        return [_by_heads(seen, back, axis) for (seen, back), axis in zip(found, axes, strict=True)]

    def early_exits(self, weights: Any, images: Any, classes: Any) -> Any:
        program = Program(self.parts, weights, images)
        maps = program.attention(self.scored(program))
        blocks, axes = program.blocks(maps), self._image_axes(program, maps, weights, images)
        if len({program.aval(each).shape for each in blocks}) > 1 or len(blocks) != len(maps):
            raise no_blocks(self.choice.name)

        def after_block(i: int) -> Any:
            """Return the map of a block, and its gradients of the scores that the head gives after that block."""

            def score(change: Any) -> Any:
                values = program.run(weights, images, changes={maps[i]: change})[1]
                parts, after = program.run(weights, images, instead={blocks[-1]: values[blocks[i]]})
                return self.of_program(program, classes, parts, after), values[maps[i]]

            aval = program.aval(maps[i])
            scores, back, seen = jax.vjp(score, jnp.zeros(aval.shape, aval.dtype), has_aux=True)
            return _by_heads(seen, _each(back, scores), axes[i])

        return [after_block(i) for i in range(len(maps))]

    def _image_axes(self, program: Program, maps: list[int], weights: Any, images: Any) -> list[int]:
        """Return the batch axis of each map: the one that grows when an image is added."""
        one_more: Any = jax.ShapeDtypeStruct  # JAX has no type for it
        other = Program(self.parts, weights, one_more((images.shape[0] + 1, *images.shape[1:]), images.dtype))
        pairs = zip(maps, other.attention(self.scored(other)), strict=True)
        shapes = [(program.shapes[ours], other.shapes[theirs]) for ours, theirs in pairs]
        return [next((i for i, (n, m) in enumerate(zip(*both, strict=True)) if n != m), 0) for both in shapes]

    def _differentiable(self, weights: Any, images: Any, classes: Any) -> Callable[[Any], Any]:
        """Return the scores as a function of the images, after checking that they have a gradient."""

        def score(images: Any) -> Any:
            return self.native_scores(weights, images, classes)

        program = Program(score, images)
        if (why := program.cut(program.outputs[0])) is not None:
            raise NoGradient(why)
        return score

    def _read_at(self, program: Program, slots: list[int], weights: Any, images: Any, classes: Any) -> Any:
        """Return the scores, and for each slot its values and the gradients there."""

        def score(changes: list[Any]) -> Any:
            parts, values = program.run(weights, images, changes=dict(zip(slots, changes, strict=True)))
            return self.of_program(program, classes, parts, values), [values[slot] for slot in slots]

        # the gradient at a slot is that of the score by a term added to it
        nothing = [jnp.zeros(each.shape, each.dtype) for each in map(program.aval, slots)]
        scores, back, seen = jax.vjp(score, nothing, has_aux=True)
        return scores, list(zip(seen, _each(back, scores), strict=True))


class Compiled:
    """A compiled call, per batch size, for the most recent shapes of images."""

    MOST = 6
    """Largest number of image shapes with cached programs."""

    def __init__(self, call: Callable[..., Any], calls: JaxCalls) -> None:
        self._call = call

        def run(*arguments: Any) -> Any:
            results = call(calls, *arguments)
            return jax.tree.map(lambda each: each.astype(calls.dtype) if is_floating(each) else each, results)

        self._run = run
        # by number of classes and shape of an image: a compiled function, and its batch sizes so far
        self._cached: OrderedDict[tuple[int, ...], tuple[Any, set[int]]] = OrderedDict()

    def _compiled(self, shape: tuple[int, ...]) -> tuple[Any, set[int]]:
        """Return the function for one shape: jax.jit caches programs for the lifetime of the function."""
        if shape not in self._cached:
            self._cached[shape] = jax.jit(partial(self._run)), set()
        self._cached.move_to_end(shape)
        while len(self._cached) > self.MOST:
            _, (oldest, _) = self._cached.popitem(last=False)
            oldest.clear_cache()
        return self._cached[shape]

    def __call__(self, weights: Any, images: Any, classes: np.ndarray, *beside: Any) -> Any:
        count, *shape = images.shape
        run, sizes = self._compiled((len(classes), *shape))
        fitting = [size for size in sizes if count <= size <= SPARE * count]
        size = min(fitting, default=1 << (count - 1).bit_length())
        if size > count:
            # pad with the last image: zeros may be invalid inputs
            images, *padded = (
                jnp.concatenate([each, jnp.repeat(each[-1:], size - count, 0)]) for each in (images, *beside)
            )
            beside = tuple(padded)
        try:
            results = run(weights, images, classes, *beside)
        except Exception as error:
            sizes.discard(size)
            if "do not support JVP" in str(error):
                raise NoGradient(
                    "The score cannot be differentiated by the image: the model calls code outside JAX "
                    f"(a callback). Original error: {str(error).splitlines()[0]}"
                ) from error
            raise
        sizes.add(size)
        if size == count:
            return results
        if self._call is JaxCalls.outputs:
            return results[:count]
        if self._call is JaxCalls.activations:
            return [each[:count] for each in results]
        if self._call is JaxCalls.layers:
            scores, pairs = results
            return scores[:, :count], [(activations[:count], back[:, :count]) for activations, back in pairs]
        if self._call in (JaxCalls.attentions, JaxCalls.early_exits):
            return [(activations[:count], gradients[:, :count]) for activations, gradients in results]
        return jax.tree.map(lambda array: array[:, :count], results)


def _called(source: Source, weights: Any, images: Any) -> Any:
    """Call the model; if it only takes images in the type of its weights, convert them."""
    try:
        return source.call(weights, images)
    except TypeError:
        halves = [each.dtype for each in jax.tree.leaves(weights) if getattr(each, "dtype", None) in HALF]
        if not halves or images.dtype == halves[0]:
            raise
        return source.call(weights, images.astype(halves[0]))


def _widened(values: Mapping[int, Any]) -> dict[int, Any]:
    """Convert half-precision slots to float32: rules divide by differences and sums of them."""
    return {slot: wide(value) for slot, value in values.items()}


def _each(back: Callable[..., Any], scores: Any) -> Any:
    """Return the gradients of each target's scores, from one forward pass."""
    rows = jnp.eye(len(scores), dtype=scores.dtype)[:, :, None] * jnp.ones_like(scores)
    return jax.vmap(lambda row: back(row)[0])(rows)


def _by_heads(maps: Any, gradients: Any, axis: int) -> tuple[Any, Any]:
    """Move the batch axis `axis`: return maps (N, heads, T, T) and gradients (k, N, heads, T, T)."""

    def turned(maps: Any) -> Any:
        first = jnp.moveaxis(maps, axis, 0)
        return first.reshape(first.shape[0], -1, *first.shape[-2:])

    return turned(maps), jax.vmap(turned)(gradients)


def _along(numbers: Any, array: Any) -> Any:
    """Reshape (N,) to broadcast against (N, …)."""
    return numbers.reshape(-1, *(1,) * (array.ndim - 1))


def _nonzero(numbers: Any) -> Any:
    return jnp.where(numbers == 0, 1, numbers)


def is_floating(value: Any) -> bool:
    """Return whether a value is an array of floats."""
    return hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jnp.floating)


def name_in(path: Sequence[Any]) -> str:
    """Return the name of a leaf by its path in a tree: keys and indices, joined by dots."""
    return ".".join(jax.tree_util.keystr((key,), simple=True) for key in path)
