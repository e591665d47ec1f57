"""Keras 3 on torch: channels last, asked where it stands, for Keras cannot copy a model around the same weights."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from saliency.adapters.answers import (
    NO_GRID,
    class_scores,
    not_called,
    on_grid,
    one_number_each,
    shared_by,
    told_by_the_model,
)
from saliency.adapters.keras import watched
from saliency.adapters.torch_ops import TorchOps
from saliency.adapters.torch_rules import ask_by_rules, kinds_of
from saliency.adapters.torch_trace import Break, LastSoftmax
from saliency.errors import NoGradient, UnknownName, unknown
from saliency.model import Answer, Attentive, Layer, Target
from saliency.rules import Composite
from saliency.targets import ClassScore, Unit, are_probabilities, units


class Seen(dict[str, Tensor]):
    """What each layer said last, by its name, in the order of the calls.

    Args:
        instead: by name and number of the call, from 1, what goes on in the place of what the layer said.
    """

    def __init__(self, instead: Mapping[tuple[str, int], Tensor] | None = None) -> None:
        super().__init__()
        self._instead, self.calls = instead or {}, Counter[str]()

    def keep(self, name: str, said: Tensor) -> Tensor:
        """Take note of what a layer said; returns what goes on."""
        self.calls[name] += 1
        self.pop(name, None)
        self[name] = self._instead.get((name, self.calls[name]), said)
        return self[name]


class KerasOnTorch:
    """A Keras model on the torch backend, with targets and layers bound. Build it with :func:`saliency.adapt`.

    Args:
        model: called with ``training=False``.
        labels: names of the classes.
    """

    channels_first = False

    def __init__(self, model: Any, labels: Sequence[str] | None = None) -> None:
        self.model, self.labels = model, labels
        self._shared = shared_by(model)
        self.lock, self.batch_sizes = self._shared.lock, self._shared.batch_sizes
        self.lacks: Mapping[type, str] = {
            Attentive: "attention maps of Keras on torch are not read: use the backend tensorflow or jax"
        }
        self.notes: list[str] = []
        first = next((t for t in self._tensors() if t.is_floating_point()), torch.zeros(1))
        self.ops = TorchOps(first.device, torch.float64 if first.dtype == torch.float64 else torch.float32)
        self._targets: tuple[Target, ...] = ()
        self._layers: tuple[str, ...] = ()
        # the bound layer, and the number of its last call
        self._last: tuple[str, int] | None = None
        self._rules: Composite | None = None
        self._ends_in_softmax = False

    def _tensors(self) -> list[Tensor]:
        return [variable.value for variable in self.model.variables]

    @property
    def version(self) -> Hashable:
        """Changes whenever a weight is written to or replaced."""
        return hash(tuple((t.data_ptr(), t._version) for t in self._tensors()))

    def at(self, targets: Sequence[int | Target], layers: Sequence[str] = ()) -> KerasOnTorch:
        """See :meth:`saliency.model.Adapted.at`."""
        bound = copy.copy(self)
        bound._targets = tuple(t if callable(t) else ClassScore(t) for t in targets)
        bound._layers, bound._last = tuple(layers), None
        bound.notes = list(self.notes)
        return bound

    def outputs(self, images: Tensor) -> Tensor:
        """What the model says, (N, classes)."""
        with _ready(grad=False):
            with LastSoftmax() as spy:
                said = class_scores(self._call(images), torch.is_tensor, torch.reshape)
            if not self._ends_in_softmax and are_probabilities(self.ops.tohost(said)):
                self._ends_in_softmax = spy.logits(said) is not None
                which = "logit" if self._ends_in_softmax else "probability (its logits cannot be reached)"
                self.notes.append(f"the model ends in a softmax: explained the {which}")
        return said.to(self.ops.dtype)

    def scores(self, images: Tensor) -> Tensor:
        """(k, N)."""
        with _ready(grad=False):
            return self._scores(images)

    def gradients(self, images: Tensor) -> Answer[Tensor]:
        """(k, N) and (k, N, H, W, C), from one forward pass."""
        with _ready(grad=True):

            def ask(images: Tensor) -> tuple[Tensor, Tensor]:
                leaf = images.detach().clone().requires_grad_()
                return leaf, self._scores(leaf)

            leaf, scores = ask(images) if self._rules is None else ask_by_rules(self._rules, ask, images, self.notes)
            return Answer(scores.detach(), self._by(scores, leaf, [leaf], ["image"])[0])

    def rewired(self, rules: Composite) -> KerasOnTorch:
        """See :meth:`saliency.model.Rewirable.rewired`."""
        view = copy.copy(self)
        view._rules = rules
        return view

    def operators(self, images: Tensor) -> frozenset[str]:
        """See :meth:`saliency.model.Rewirable.operators`."""
        with _ready(grad=True):
            return kinds_of(self._scores, images.detach().clone().requires_grad_())

    def layers(self, images: Tensor) -> list[Layer[Tensor]]:
        """One per bound layer: (N, h, w, K) activations and (k, N, h, w, K) gradients."""
        with _ready(grad=True):
            leaf, seen = images.detach().clone().requires_grad_(), Seen()
            scores = self._scores(leaf, seen)
            found = [seen[self._known(name, seen)] for name in self._layers]
            gradients = self._by(scores, leaf, found, self._layers)
            return [Layer(each.detach(), gradient) for each, gradient in zip(found, gradients, strict=True)]

    def activations(self, images: Tensor) -> list[Tensor]:
        """(N, h, w, K) per bound layer."""
        with _ready(grad=False):
            self._watched(images, seen := Seen())
            return [seen[self._known(name, seen)] for name in self._layers]

    def scores_with(self, images: Tensor, activations: Tensor) -> Tensor:
        """(k, N), with something else in the place of what the bound layer says."""
        with _ready(grad=False):
            if self._last is None:
                self._watched(images[:1], seen := Seen())
                known = self._known(self._layers[0], seen)
                self._last = known, seen.calls[known]
            return self._scores(images, Seen({self._last: activations}))

    def automatic_layer(self, images: Tensor) -> str:
        """See :meth:`saliency.model.Adapted.automatic_layer`."""
        for name, _, _ in reversed(self.layer_table(images)):
            return name
        raise UnknownName(NO_GRID)

    def layer_table(self, images: Tensor) -> list[tuple[str, tuple[int, ...], str]]:
        """(name, shape, grid in words) of every layer with a grid that the scores depend on, in the model's order."""
        size = (int(images.shape[1]), int(images.shape[2])) if images.ndim == 4 else (1, 1)
        with self.lock, _ready(grad=True):
            leaf, seen = images[:1].detach().clone().requires_grad_(), Seen()
            scores = self._scores(leaf, seen)
            places = [(name, each) for name, each in seen.items() if on_grid(each.shape, size) and each.requires_grad]
            used: Sequence[Tensor | None] = [None] * len(places)
            if places and scores.requires_grad:
                used = torch.autograd.grad(scores.sum(), [each for _, each in places], allow_unused=True)
        return [
            (name, tuple(each.shape), f"{each.shape[1]}×{each.shape[2]}")
            for (name, each), gradient in zip(places, used, strict=True)
            if gradient is not None
        ]

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

    def _scores(self, images: Tensor, seen: Seen | None = None) -> Tensor:
        """(k, N); what each layer said last goes into `seen`."""
        seen = Seen() if seen is None and units(self._targets) else seen
        with LastSoftmax(active=self._ends_in_softmax) as spy:
            raw = self._call(images) if seen is None else self._watched(images, seen)
            rows = []
            for target in self._targets or (ClassScore(0),):
                if isinstance(target, Unit) and seen is not None:
                    row = target.read(seen[self._known(target.layer, seen)])
                elif isinstance(target, ClassScore):
                    said = class_scores(raw, torch.is_tensor, torch.reshape)
                    logits = spy.logits(said) if self._ends_in_softmax else None
                    row = target(said if logits is None else logits)
                else:
                    row = target(raw)
                rows.append(one_number_each(row, target, torch.is_tensor, len(images)))
        return torch.stack(rows).to(self.ops.dtype)

    def _watched(self, images: Tensor, seen: Seen) -> Any:
        def around(name: str, call: Any) -> Any:
            said = call()
            return seen.keep(name, said) if isinstance(said, Tensor) else said

        with watched(self.model, around):
            return self._call(images)

    def _call(self, images: Tensor) -> Any:
        try:
            return self.model(images.clone(), training=False)
        except Exception as error:
            if (told := told_by_the_model(error, images.shape)) is None:
                raise
            raise told from error

    def _by(self, scores: Tensor, leaf: Tensor, inputs: Sequence[Tensor], names: Sequence[str]) -> list[Tensor]:
        """(k, N, …) gradients of the scores by each input."""
        if not scores.requires_grad or not all(each.requires_grad for each in inputs):
            raise NoGradient(self._why(leaf))
        found: list[list[Tensor]] = [[] for _ in inputs]
        for i, row in enumerate(scores):
            more = i + 1 < len(scores)
            gradients = torch.autograd.grad(row.sum(), inputs, retain_graph=more, allow_unused=True)
            for several, gradient, name in zip(found, gradients, names, strict=True):
                if gradient is None:
                    told = f"The score does not depend on {name!r}: there is no gradient."
                    raise NoGradient(self._why(leaf) if name == "image" else told)
                several.append(gradient)
        return [torch.stack(several) for several in found]


@contextmanager
def _ready(grad: bool) -> Iterator[None]:
    with torch.inference_mode(False), torch.set_grad_enabled(grad):
        yield
