"""Keras 3 on torch: channels last; the model itself is called, since Keras cannot copy a model with shared weights."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any, Self, TypeVar

import numpy as np
import torch
from keras import StatelessScope
from torch import Tensor

from saliency.adapters.answers import Arrays, not_called, shape_error
from saliency.adapters.base import GridAdapter, size_of
from saliency.adapters.calls import Calls
from saliency.adapters.host_random import NOTE
from saliency.adapters.keras.layers import watched
from saliency.adapters.keras.weights import named_weights
from saliency.adapters.layers import Laid, Surveyed, last_part, made_by, nameable, read_from_map, scores_or_sum
from saliency.adapters.outputs import parts_of
from saliency.adapters.tokens import Grid, over_image, token_grid
from saliency.adapters.torch.attention import Attending, exits_of
from saliency.adapters.torch.cut import Inputs, Tail, paths_of
from saliency.adapters.torch.gradients import backward, by_each, each_gradient, image_gradients, leaf_of, ledger_for
from saliency.adapters.torch.layers import Replaced, as_output
from saliency.adapters.torch.ops import TorchOps
from saliency.adapters.torch.precision import computed_in
from saliency.adapters.torch.random import OwnRandomness
from saliency.adapters.torch.rules import kinds_of, run_by_rules
from saliency.adapters.torch.scores import scores_of
from saliency.adapters.torch.trace import Break, LastActivation, Watch
from saliency.adapters.torch.weights import Uses, on_host
from saliency.adapters.weights import Weight, Weighted, by_tensor
from saliency.errors import NoGradient, unknown
from saliency.model.precision import precision_note
from saliency.model.protocols import Answer, Layer, Target
from saliency.rules import Composite, Ledger
from saliency.targets import ClassScore, Unit, units
from saliency.threads import uninterrupted

KERAS = Arrays(torch.is_tensor, torch.reshape)


class Seen(dict[str, Tensor]):
    """The last output of each layer by its name, in the order of the calls.

    Args:
        instead: by name and number of the call, from 1, replacements of the layer's output, or functions of it.
        called: names of the operators called so far, if they are recorded.
    """

    def __init__(
        self,
        instead: Mapping[tuple[str, int], Tensor | Callable[[Tensor], Tensor]] | None = None,
        called: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._instead, self.calls = instead or {}, Counter[str]()
        self.called = called
        self.spans: dict[str, tuple[int, int]] = {}
        """By layer, the operators called inside it."""
        self.returned: Any = None
        """The model's outputs."""

    def keep(self, name: str, output: Tensor, entered: int) -> Tensor:
        """Store a layer's output and return it or its replacement; `entered` counts the operators before it."""
        self.calls[name] += 1
        self.spans[name] = entered, len(self.called)
        self.pop(name, None)
        put = self._instead.get((name, self.calls[name]), output)
        self[name] = (put(output) if callable(put) else put).to(output.dtype)
        return self[name]


class KerasOnTorch(Weighted, GridAdapter):
    """A Keras model on the torch backend, with targets and layers bound. Build it with :func:`saliency.adapt`.

    Args:
        model: called with ``training=False``.
        labels: names of the classes.
        function: calls the model with its input, or with packed rows of several inputs; by default with its input.
    """

    def __init__(
        self, model: Any, labels: Sequence[str] | None = None, function: Callable[[Tensor], Any] | None = None
    ) -> None:
        self._function = function or partial(model, training=False)
        first = next((t for t in _tensors(model) if t.is_floating_point()), torch.zeros(1))
        dtype = torch.float64 if first.dtype == torch.float64 else torch.float32
        super().__init__(model, labels, TorchOps(first.device, dtype))
        self._device, self.wide = first.device, dtype
        self._randomness = OwnRandomness()
        # variables and the tensors that replace their values, in a copy with other weights
        self._instead: list[tuple[Any, Tensor]] = []
        # the bound layer, and the number of its last call
        self._call_of: tuple[str, int] | None = None
        self._cut: Tail | None = None

    @property
    def version(self) -> Hashable:
        """A number that changes whenever a weight is written to or replaced."""
        tensors = [tensor for _, tensor in self._instead] or _tensors(self.model)
        return hash(tuple((each.data_ptr(), each._version) for each in tensors))

    def at(self, targets: Sequence[int | Target], layers: Sequence[str] = ()) -> Self:
        """See :meth:`saliency.model.protocols.Adapted.at`."""
        bound = super().at(targets, layers)
        bound._call_of = None
        return bound

    def outputs(self, images: Tensor) -> Tensor:
        """Return the model's class scores, (N, classes)."""
        with self.ready(grad=False), LastActivation(active=self.head is None) as spy:
            scores, choice, _ = self._choice(KERAS).chosen(self.call(images), len(images))
            if self._undecided:
                self._decide(self.ops.tohost(scores.float()), spy.ending(scores), choice)
        return scores.to(self.wide)

    @property
    def layer_names(self) -> Sequence[str]:
        """The names of the bound layers."""
        return self._layers

    @property
    def rules(self) -> Composite | None:
        """The rules of the backward pass; None for plain gradients."""
        return self._rules

    @property
    def half(self) -> bool:
        """Return whether a backward pass goes through float16, in which small gradients are zero."""
        named = any(getattr(each, "compute_dtype", "") == "float16" for each in self.model._flatten_layers())
        return named or computed_in(self._device, self.wide) == torch.float16

    def _operators(self, images: Tensor) -> frozenset[str]:
        with self.ready(grad=True):
            return kinds_of(self.scored, leaf_of(images))

    @property
    def _calls(self) -> Calls:
        return KerasCalls(self)

    def _named(self) -> list[tuple[str, Tensor]]:
        """Return every name and tensor of the weights that calls use."""
        instead = {id(variable): tensor for variable, tensor in self._instead}
        return [(name, instead.get(id(each), each.value)) for name, each in named_weights(self.model)]

    def _weights(self) -> list[Weight]:
        return by_tensor((name, each.data_ptr(), partial(on_host, each)) for name, each in self._named())

    def _last_uses(self, images: Tensor) -> dict[str, int]:
        leaf = leaf_of(images)
        with self.ready(grad=True), Uses() as uses:
            if self._targets:
                scores = self.scored(leaf)
            else:
                scores = scores_or_sum(self._choice(KERAS), self.call(leaf), torch.sum)
        return uses.last(self._named(), leaf, scores)

    def _with_weights(self, values: Mapping[str, np.ndarray]) -> Self:
        view = self._copied()
        view._randomness, view._call_of = OwnRandomness(), None
        before = {id(variable): tensor for variable, tensor in self._instead}
        new = {id(each): values[name] for name, each in named_weights(self.model) if name in values}
        view._instead = []
        for each in self.model.variables:
            tensor = before.get(id(each), each.value).detach().clone()
            if id(each) in new:
                tensor.copy_(torch.from_numpy(new[id(each)]))
            view._instead.append((each, tensor))
        return view

    def _survey(self, images: Tensor) -> Surveyed:
        """See :class:`Adapter`; layers of tokens count if they return a sum of two rows of tokens."""
        size = size_of(images)
        with self.lock, self.ready(grad=True):
            leaf = leaf_of(images[:1])
            with _watching(Attending(torch.nn.Module(), leaf, self.name)) as watch:
                seen = Seen(called=watch.called)
                if self._targets:
                    scores = self.scored(leaf, seen)
                else:
                    scores = scores_or_sum(self._choice(KERAS), self.watched(leaf, seen), torch.sum)
            parts = [each.array for each in parts_of(seen.returned, KERAS)]
            outputs = [each for each in parts if each.requires_grad]
            returned, maps, kept = {id(each) for each in outputs}, set[tuple[int, int]](), 0
            found: list[tuple[Laid, Tensor]] = []
            for name, each in seen.items():
                grid, shape, (entered, left) = None, tuple(each.shape), seen.spans[name]
                if over_image(shape, size):
                    moved = id(each) in returned or made_by(seen.called[entered:left]) is None
                    grid = None if moved else Grid("last", shape[1], shape[2])
                    maps.add((shape[1], shape[2]))
                elif watch.is_sum(each):
                    grid = token_grid(shape, size, maps, watch.attended)
                if grid is not None and each.requires_grad:
                    found.append((Laid(name, shape, grid, tuple(seen.called[kept:left])), each))
                    kept = max(kept, left)
            if not found or not scores.requires_grad:
                return Surveyed([], dense=False)
            at = [*(each for _, each in found), *outputs]
            used = backward(scores, at, keep=False)
        layers = [laid for (laid, _), gradient in zip(found, used[: len(found)], strict=True) if gradient is not None]
        explained = [each for each, back in zip(outputs, used[len(found) :], strict=True) if back is not None]
        return Surveyed(nameable(layers), read_from_map([each.shape for each in explained], 1))

    def why(self, leaf: Tensor) -> str:
        """Return the message why the scores have no gradient."""
        watch = Break(torch.nn.Module())

        def around(name: str, call: Any) -> Any:
            with watch.inside(name):
                return call()

        with watched(self.model, around), watch, watch.inside(""):
            self.call(leaf)
        return watch.why()

    def known(self, name: str, seen: Seen) -> str:
        # the whole name first: the last part of another one may be the same
        for named in (str, last_part):
            for each in reversed(seen):
                if name == named(each):
                    return each
        if any(name == layer.name for layer in self.model.layers):
            raise not_called(name)
        raise unknown("layer", name, seen)

    def scored(self, images: Tensor, seen: Seen | None = None, count: int | None = None) -> Tensor:
        """Return the scores (k, N) of `count` images, by default all; store each layer's last output in `seen`."""
        seen = Seen() if seen is None and units(self._targets) else seen
        count = len(images) if count is None else count
        choice = self._choice(KERAS)

        def unit(target: Unit) -> Tensor:
            assert seen is not None
            read: Tensor = target.read(seen[self.known(target.layer, seen)])
            return read

        with LastActivation(active=self._to_logits) as spy:
            raw = self.call(images) if seen is None else self.watched(images, seen)
            targets = self._targets or (ClassScore(0),)
            scores = scores_of(raw, targets, count, arrays=KERAS, choice=choice, spy=spy, unit=unit)
        return scores.to(self.wide)

    def watched(self, images: Tensor, seen: Seen) -> Any:
        def around(name: str, call: Any) -> Any:
            entered = len(seen.called)
            output = call()
            return seen.keep(name, output, entered) if isinstance(output, Tensor) else output

        with watched(self.model, around):
            seen.returned = self.call(images)
        return seen.returned

    @contextmanager
    def ready(self, grad: bool) -> Iterator[None]:
        """Set gradients on or off and use separate random numbers, independent of the caller's context."""
        with uninterrupted(), torch.inference_mode(False), torch.set_grad_enabled(grad), self._randomness.used():
            yield
        if self._randomness.drew:
            self.note(NOTE)

    def call(self, images: Tensor) -> Any:
        """Return the model's outputs for images; of a tail, for the values of the layer."""
        if self._cut is None:
            return self._of_images(images)
        # a copy: the next layer may write in place
        values = as_output(images, self._cut.grid, images)
        view = copy.copy(self)
        view._cut = None
        return view.watched(self._cut.placeholder(len(images)), Seen({(self._cut.layer, self._cut.call): values}))

    def _paths(self, images: Tensor) -> tuple[bool, bool]:
        """See :class:`Adapter`."""
        place = self.last_call(images)
        (seen,) = KerasCalls(self).activations(images)
        values = leaf_of(seen)

        def scores(leaf: Tensor) -> Tensor:
            fixed = Seen({place: values})
            if self._targets:
                return self.scored(leaf, fixed)
            total: Tensor = scores_or_sum(self._choice(KERAS), self.watched(leaf, fixed), torch.sum)
            return total

        with self.ready(grad=True):
            return paths_of(scores, images, values)

    def _penultimate(self, images: Tensor) -> str | None:
        """See :class:`Adapter`; operators inside a layer have no names."""
        leaf, seen = leaf_of(images), Seen()
        with self.lock, self.ready(grad=True):
            with _watching(Inputs(torch.nn.Module())) as watch:
                scores = self.scored(leaf, seen)
            found = watch.last(scores, leaf) if scores.requires_grad else None
        return next((name for name, each in reversed(seen.items()) if each is found), None)

    def _tail(self, images: Tensor) -> Self:
        """See :class:`Adapter`."""
        view = self.at(self._targets)
        with self.ready(grad=False):
            view._cut = Tail(*self.last_call(images), Grid("last", 0, 0), images)
        return view

    def _of_images(self, images: Tensor) -> Any:
        try:
            # the scope receives assignments to variables
            with StatelessScope(state_mapping=self._instead):
                return self._function(images.clone())
        except Exception as error:
            if (explained := shape_error(error, images.shape, self.name)) is None:
                raise
            raise explained from error

    def last_call(self, images: Tensor) -> tuple[str, int]:
        """Return the name of the bound layer and the number of its last call."""
        if self._call_of is None:
            self.watched(images[:1], seen := Seen())
            known = self.known(self._layers[0], seen)
            self._call_of = known, seen.calls[known]
        return self._call_of

    def require_gradient(self, scores: Tensor, leaf: Tensor, *inputs: Tensor) -> None:
        """Raise :class:`NoGradient`, with the cause, if the scores have no gradient by the inputs."""
        if not scores.requires_grad or not all(each.requires_grad for each in inputs):
            raise NoGradient(self.why(leaf))

    def note_precision(self) -> None:
        """Note the type that the model computes in, if it is half precision."""
        if (note := precision_note(computed_in(self._device, self.wide))) is not None:
            self.note(note)


def _model_call(grad: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a call of the model: switch gradients on or off, and convert results to the methods' arithmetic."""

    def wrapped(call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def answer(self: KerasCalls, images: Tensor, *beside: Tensor) -> Any:
            with self.model.ready(grad):
                self.model.note_precision()
                return _in(self.model.wide, call(self, images, *beside))

        return answer

    return wrapped


class KerasCalls:
    """See :class:`Calls`."""

    def __init__(self, model: KerasOnTorch) -> None:
        self.model = model

    @_model_call(grad=False)
    def scores(self, images: Tensor) -> Tensor:
        return self.model.scored(images)

    @_model_call(grad=True)
    def gradients(self, images: Tensor) -> Answer[Tensor]:
        leaf = leaf_of(images)
        return self._image_gradients(leaf, self.model.scored(leaf))

    @_model_call(grad=True)
    def gated(self, images: Tensor, selected: Tensor) -> Answer[Tensor]:
        leaf, gate = leaf_of(images), selected.detach()
        seen = Seen({self.model.last_call(images): lambda output: output * gate + output.detach() * (1 - gate)})
        return self._image_gradients(leaf, self.model.scored(leaf, seen))

    @_model_call(grad=True)
    def rewired(self, images: Tensor) -> Answer[Tensor]:
        rules = self.model.rules
        assert rules is not None

        def forward(images: Tensor) -> tuple[Tensor, Tensor]:
            leaf = leaf_of(images)
            return leaf, self.model.scored(leaf)

        ledger = ledger_for(rules, images)
        leaf, scores, references = run_by_rules(rules, forward, images, self.model.notes, ledger)
        return self._image_gradients(leaf, scores, references, ledger)

    def _image_gradients(
        self, leaf: Tensor, scores: Tensor, references: Sequence[Tensor] = (), ledger: Ledger | None = None
    ) -> Answer[Tensor]:
        self.model.require_gradient(scores, leaf)
        try:
            return image_gradients(scores, leaf, references, ledger, half=self.model.half)
        except NoGradient:
            raise NoGradient(self.model.why(leaf)) from None

    @_model_call(grad=True)
    def layers(self, images: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        leaf, seen, names = leaf_of(images), Seen(), self.model.layer_names
        scores = self.model.scored(leaf, seen)
        found = [seen[self.model.known(name, seen)] for name in names]
        self.model.require_gradient(scores, leaf, *found)
        several = list(each_gradient(scores, found, names, half=self.model.half))
        gradients = [torch.stack(each) for each in zip(*several, strict=True)]
        return scores.detach(), [(each.detach(), back) for each, back in zip(found, gradients, strict=True)]

    @_model_call(grad=False)
    def activations(self, images: Tensor) -> list[Tensor]:
        self.model.watched(images, seen := Seen())
        return [seen[self.model.known(name, seen)] for name in self.model.layer_names]

    @_model_call(grad=False)
    def scores_with(self, images: Tensor, activations: Tensor) -> Tensor:
        return self.model.scored(images, Seen({self.model.last_call(images): activations}))

    @_model_call(grad=True)
    def attentions(self, images: Tensor) -> list[Layer[Tensor]]:
        leaf = leaf_of(images)
        with _watching(Attending(torch.nn.Module(), leaf, self.model.name)) as watch:
            scores = self.model.scored(leaf)
        if not (maps := watch.maps()):
            return []
        self.model.require_gradient(scores, leaf)
        return watch.by_heads(by_each(scores, maps, half=self.model.half))

    @_model_call(grad=True)
    def early_exits(self, images: Tensor) -> list[Layer[Tensor]]:
        leaf, module = leaf_of(images), torch.nn.Module()
        with _watching(Attending(module, leaf, self.model.name)) as watch:
            self.model.call(leaf)

        def scores(head: Replaced, count: int) -> Tensor:
            with _watching(head):
                return self.model.scored(leaf.detach(), count=count)

        return exits_of(watch, module, scores, half=self.model.half)


W = TypeVar("W", bound=Watch)


@contextmanager
def _watching(watch: W) -> Iterator[W]:
    """Intercept all operators without modules: Keras' layers call no hooks of torch."""
    with watch, watch.inside(""):
        yield watch


def _in(dtype: torch.dtype, results: Any) -> Any:
    """Convert results to the type of the methods' arithmetic."""
    if isinstance(results, Tensor):
        return results.to(dtype) if results.is_floating_point() else results
    if results is None:
        return None
    if isinstance(results, Mapping):
        return {name: _in(dtype, each) for name, each in results.items()}
    parts = [_in(dtype, each) for each in results]
    return type(results)(*parts) if isinstance(results, Answer | Layer) else type(results)(parts)


def _tensors(model: Any) -> list[Tensor]:
    return [variable.value for variable in model.variables]
