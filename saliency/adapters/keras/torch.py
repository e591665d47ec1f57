"""Keras 3 on torch: channels last, asked where it stands, for Keras cannot copy a model around the same weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import torch
from keras import StatelessScope
from torch import Tensor

from saliency.adapters.answers import Arrays, not_called, one_number_each, told_by_the_model
from saliency.adapters.base import GridAdapter, size_of
from saliency.adapters.host_random import NOTE
from saliency.adapters.keras.layers import watched
from saliency.adapters.layers import Laid, Surveyed, made_by, nameable, read_from_map, scores_or_sum
from saliency.adapters.outputs import parts_of
from saliency.adapters.tokens import Grid, over_image, token_grid
from saliency.adapters.torch.attention import Attending, pulled_back
from saliency.adapters.torch.gradients import backward, by_each, each_gradient, image_gradients, leaf_of, ledger_for
from saliency.adapters.torch.layers import Replaced
from saliency.adapters.torch.ops import TorchOps
from saliency.adapters.torch.precision import computed_in
from saliency.adapters.torch.random import OwnRandomness
from saliency.adapters.torch.rules import ask_by_rules, kinds_of
from saliency.adapters.torch.trace import Break, LastActivation
from saliency.errors import NoGradient, unknown
from saliency.model.precision import precision_note
from saliency.model.protocols import Answer, Layer, Target
from saliency.rules import Ledger
from saliency.targets import ClassScore, OfScores, Unit, units
from saliency.threads import uninterrupted

KERAS = Arrays(torch.is_tensor, torch.reshape)


class Seen(dict[str, Tensor]):
    """What each layer said last, by its name, in the order of the calls.

    Args:
        instead: by name and number of the call, from 1, what goes on in the place of what the layer said.
        called: names of the operators called so far, where they are watched.
    """

    def __init__(self, instead: Mapping[tuple[str, int], Tensor] | None = None, called: Sequence[str] = ()) -> None:
        super().__init__()
        self._instead, self.calls = instead or {}, Counter[str]()
        self.called = called
        self.spans: dict[str, tuple[int, int]] = {}
        """By layer, which of the operators were called inside of it."""
        self.returned: Any = None
        """What the model returned."""

    def keep(self, name: str, said: Tensor, entered: int) -> Tensor:
        """Keep the output of a layer, entered when so many operators had been called; returns what goes on."""
        self.calls[name] += 1
        self.spans[name] = entered, len(self.called)
        self.pop(name, None)
        self[name] = self._instead.get((name, self.calls[name]), said).to(said.dtype)
        return self[name]


class KerasOnTorch(GridAdapter):
    """A Keras model on the torch backend, with targets and layers bound. Build it with :func:`saliency.adapt`.

    Args:
        model: called with ``training=False``.
        labels: names of the classes.
    """

    def __init__(self, model: Any, labels: Sequence[str] | None = None) -> None:
        first = next((t for t in _tensors(model) if t.is_floating_point()), torch.zeros(1))
        dtype = torch.float64 if first.dtype == torch.float64 else torch.float32
        super().__init__(model, labels, TorchOps(first.device, dtype))
        self._device, self._dtype = first.device, dtype
        self._randomness = OwnRandomness()
        # the bound layer, and the number of its last call
        self._call_of: tuple[str, int] | None = None

    @property
    def version(self) -> Hashable:
        """Changes whenever a weight is written to or replaced."""
        return hash(tuple((t.data_ptr(), t._version) for t in _tensors(self.model)))

    def at(self, targets: Sequence[int | Target], layers: Sequence[str] = ()) -> Self:
        """See :meth:`saliency.model.protocols.Adapted.at`."""
        bound = super().at(targets, layers)
        bound._call_of = None
        return bound

    def outputs(self, images: Tensor) -> Tensor:
        """What the model says, (N, classes)."""
        with self._ready(grad=False), LastActivation(active=self.head is None) as spy:
            said, choice, _ = self._choice(KERAS).chosen(self._call(images), len(images))
            if self._undecided:
                self._decide(self.ops.tohost(said.float()), spy.ending(said), choice)
        return said.to(self._dtype)

    @property
    def _half(self) -> bool:
        """Whether a backward pass goes through float16, in which small gradients are zero."""
        named = any(getattr(each, "compute_dtype", "") == "float16" for each in self.model._flatten_layers())
        return named or computed_in(self._device, self._dtype) == torch.float16

    def operators(self, images: Tensor) -> frozenset[str]:
        """See :meth:`saliency.model.protocols.Rewirable.operators`."""
        with self._ready(grad=True):
            return kinds_of(self._scores, leaf_of(images))

    def _ask(self, kind: str, images: Tensor, *beside: Tensor) -> Any:
        """See :class:`GridAdapter`."""
        with self._ready(grad=kind not in ("scores", "activations", "scores_with")):
            if (said := precision_note(computed_in(self._device, self._dtype))) is not None:
                self.note(said)
            return _in(self._dtype, getattr(self, f"_asked_{kind}")(images, *beside))

    def _asked_scores(self, images: Tensor) -> Tensor:
        return self._scores(images)

    def _asked_gradients(self, images: Tensor) -> Answer[Tensor]:
        leaf = leaf_of(images)
        return self._image_gradients(leaf, self._scores(leaf))

    def _asked_rewired(self, images: Tensor) -> Answer[Tensor]:
        assert self._rules is not None

        def ask(images: Tensor) -> tuple[Tensor, Tensor]:
            leaf = leaf_of(images)
            return leaf, self._scores(leaf)

        ledger = ledger_for(self._rules, images)
        return self._image_gradients(*ask_by_rules(self._rules, ask, images, self.notes, ledger), ledger)

    def _image_gradients(self, leaf: Tensor, scores: Tensor, ledger: Ledger | None = None) -> Answer[Tensor]:
        if not scores.requires_grad:
            raise NoGradient(self._why(leaf))
        try:
            return image_gradients(scores, leaf, ledger, half=self._half)
        except NoGradient:
            raise NoGradient(self._why(leaf)) from None

    def _asked_layers(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        leaf, seen = leaf_of(images), Seen()
        scores = self._scores(leaf, seen)
        found = [seen[self._known(name, seen)] for name in self._layers]
        gradients = self._by(scores, leaf, found, self._layers)
        return [(each.detach(), gradient) for each, gradient in zip(found, gradients, strict=True)]

    def _asked_activations(self, images: Tensor) -> list[Tensor]:
        self._watched(images, seen := Seen())
        return [seen[self._known(name, seen)] for name in self._layers]

    def _asked_scores_with(self, images: Tensor, activations: Tensor) -> Tensor:
        if self._call_of is None:
            self._watched(images[:1], seen := Seen())
            known = self._known(self._layers[0], seen)
            self._call_of = known, seen.calls[known]
        return self._scores(images, Seen({self._call_of: activations}))

    def _asked_attentions(self, images: Tensor) -> list[Layer[Tensor]]:
        leaf = leaf_of(images)
        with Attending(torch.nn.Module(), leaf) as watch, watch.inside(""):
            scores = self._scores(leaf)
        if not (maps := watch.maps()):
            return []
        if not scores.requires_grad:
            raise NoGradient(self._why(leaf))
        return watch.by_heads(by_each(scores, maps, half=self._half))

    def _asked_early_exits(self, images: Tensor) -> list[Layer[Tensor]]:
        leaf = leaf_of(images)
        with Attending(torch.nn.Module(), leaf) as watch, watch.inside(""):
            self._call(leaf)
        if not (maps := watch.maps()):
            return []
        blocks = watch.blocks()
        exits = [each.output.detach().requires_grad_() for each in blocks]
        # the head is asked about all of them at once
        put = Replaced(torch.nn.Module(), blocks[-1].name, blocks[-1].number, lambda _: watch.together(exits))
        with put, put.inside(""):
            scores = self._scores(leaf.detach(), count=len(exits) * len(leaf))
        return watch.by_heads([pulled_back(blocks, maps, back) for back in by_each(scores, exits, half=self._half)])

    def _survey(self, images: Tensor) -> Surveyed:
        """See :class:`Adapter`; of tokens those layers whose output is a sum of two rows of them."""
        size = size_of(images)
        with self.lock, self._ready(grad=True):
            leaf = leaf_of(images[:1])
            with Attending(torch.nn.Module(), leaf) as watch, watch.inside(""):
                seen = Seen(called=watch.called)
                if self._targets:
                    scores = self._scores(leaf, seen)
                else:
                    scores = scores_or_sum(self._choice(KERAS), self._watched(leaf, seen), torch.sum)
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

    def _why(self, leaf: Tensor) -> str:
        """Why the scores have no gradient."""
        watch = Break(torch.nn.Module())

        def around(name: str, call: Any) -> Any:
            with watch.inside(name):
                return call()

        with watched(self.model, around), watch, watch.inside(""):
            self._call(leaf)
        return watch.why()

    def _known(self, name: str, seen: Seen) -> str:
        for each in reversed(seen):
            if name in (each, each.rpartition("/")[2]):
                return each
        if any(name == layer.name for layer in self.model.layers):
            raise not_called(name)
        raise unknown("layer", name, seen)

    def _scores(self, images: Tensor, seen: Seen | None = None, count: int | None = None) -> Tensor:
        """(k, N), of `count` images where that is not how many are fed; what each layer said last goes into `seen`."""
        seen = Seen() if seen is None and units(self._targets) else seen
        count = len(images) if count is None else count
        choice = self._choice(KERAS)
        with LastActivation(active=self._to_logits) as spy:
            raw = self._call(images) if seen is None else self._watched(images, seen)
            rows = []
            for target in self._targets or (ClassScore(0),):
                if isinstance(target, Unit) and seen is not None:
                    row = target.read(seen[self._known(target.layer, seen)])
                elif isinstance(target, OfScores):
                    said = choice.rows(raw, count)
                    logits = spy.logits(said)
                    row = target(said if logits is None else logits)
                else:
                    row = target(choice.given(raw))
                rows.append(one_number_each(row, target, KERAS, count))
        return torch.stack(rows).to(self._dtype)

    def _watched(self, images: Tensor, seen: Seen) -> Any:
        def around(name: str, call: Any) -> Any:
            entered = len(seen.called)
            said = call()
            return seen.keep(name, said, entered) if isinstance(said, Tensor) else said

        with watched(self.model, around):
            seen.returned = self._call(images)
        return seen.returned

    @contextmanager
    def _ready(self, grad: bool) -> Iterator[None]:
        """Gradients on or off, and our own random numbers, whatever the caller's surroundings."""
        with uninterrupted(), torch.inference_mode(False), torch.set_grad_enabled(grad), self._randomness.used():
            yield
        if self._randomness.drew:
            self.note(NOTE)

    def _call(self, images: Tensor) -> Any:
        try:
            # what the model assigns to its variables goes into the scope
            with StatelessScope():
                return self.model(images.clone(), training=False)
        except Exception as error:
            if (told := told_by_the_model(error, images.shape)) is None:
                raise
            raise told from error

    def _by(self, scores: Tensor, leaf: Tensor, inputs: Sequence[Tensor], names: Sequence[str]) -> list[Tensor]:
        """(k, N, …) gradients of the scores by each input."""
        if not scores.requires_grad or not all(each.requires_grad for each in inputs):
            raise NoGradient(self._why(leaf))
        found = list(each_gradient(scores, inputs, names, half=self._half))
        return [torch.stack(several) for several in zip(*found, strict=True)]


def _in(dtype: torch.dtype, said: Any) -> Any:
    """What was answered, in the type of our own arithmetic."""
    if isinstance(said, Tensor):
        return said.to(dtype) if said.is_floating_point() else said
    if said is None:
        return None
    if isinstance(said, Mapping):
        return {name: _in(dtype, each) for name, each in said.items()}
    parts = [_in(dtype, each) for each in said]
    return type(said)(*parts) if isinstance(said, Answer | Layer) else type(said)(parts)


def _tensors(model: Any) -> list[Tensor]:
    return [variable.value for variable in model.variables]
