"""PyTorch: the adapter of any ``nn.Module``, with scores, gradients and layers.

The user's own module is never called. All calls go to a copy in eval mode that shares its weights (`working_copy`),
so training may continue in parallel. Images are (N, H, W, C) outside and (N, C, H, W) inside.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, Self, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from saliency.adapters.base import Adapter
from saliency.adapters.host_random import NOTE
from saliency.adapters.layers import Surveyed, scores_or_sum
from saliency.adapters.tokens import Grid
from saliency.adapters.torch.answers import TORCH, shape_error
from saliency.adapters.torch.attention import Attending, exits_of
from saliency.adapters.torch.changes import parts_of, version_of
from saliency.adapters.torch.compiled import Compilation, Compiled
from saliency.adapters.torch.cut import Inputs, Tail, gated, paths_of
from saliency.adapters.torch.gradients import by_each, each_gradient, image_gradients, leaf_of, ledger_for
from saliency.adapters.torch.layers import Captured, Hooked, Replaced, channels_last, off_grid, on_grid
from saliency.adapters.torch.ops import TorchOps
from saliency.adapters.torch.precision import TYPES, computed_in, deviation_note, fed_as
from saliency.adapters.torch.random import OwnRandomness
from saliency.adapters.torch.rules import kinds_of, run_by_rules
from saliency.adapters.torch.scores import scores_of
from saliency.adapters.torch.trace import LastActivation, why_no_gradient
from saliency.adapters.torch.weights import Uses, copy_with, parameters_of, weights_of
from saliency.adapters.torch.working_copy import WorkingCopy, is_training
from saliency.adapters.torch.wrapped import WRAPPERS, unsupported, unwrapped
from saliency.adapters.weights import Weight, Weighted
from saliency.errors import BadField, NoGradient, Unsupported, unknown
from saliency.model.precision import precision_note
from saliency.model.protocols import Answer, Attention, Layer, Read, Target
from saliency.rules import Composite
from saliency.targets import Unit, units
from saliency.threads import uninterrupted

R = TypeVar("R")

LAZY = (UninitializedParameter, UninitializedBuffer)
"""Types of weights that a lazy module creates in its first call."""


class TorchModel(Weighted, Adapter):
    """An ``nn.Module`` with targets and layers bound. Build it with :func:`saliency.adapt`.

    Args:
        module: the user's own.
        labels: names of the classes.
    """

    channels_first = True

    def __init__(self, module: nn.Module, labels: Sequence[str] | None = None) -> None:
        self.module = unwrapped(module)
        if lazy := [name for name, each in self.module.named_parameters() if isinstance(each, LAZY)]:
            raise Unsupported(
                f"Your {type(self.module).__name__} has uninitialised weights ({', '.join(lazy[:3])}): lazy modules "
                "create them in their first call. Call it once: model(torch.zeros(1, 3, 224, 224))."
            )
        self._fed_as(self.module)
        super().__init__(self.module, labels, TorchOps(self._device, self._wide))
        self.lacks = unsupported(self.module)
        self._parts = self.module.named_modules
        self.size, self.channels = size_of_patches(self.module), first_channels(self.module)
        self._working = WorkingCopy(self.module)
        self._randomness = OwnRandomness()
        self.notes += self._working.notes()
        self._cut: Tail | None = None
        # the type of autocast; None for the model's own precision
        self._autocast: torch.dtype | None = None
        self._compilation: Compilation | None = None
        # by shape of image, the last call of the bound layer and its grid on the image
        self._places: dict[torch.Size, tuple[int, Grid | None]] = {}

    def _fed_as(self, *modules: nn.Module) -> None:
        """Set the device and type of the images to those of the modules' weights."""
        self._device, self._dtype = fed_as(modules)
        self._wide = torch.float64 if self._dtype == torch.float64 else torch.float32
        self._kernels = sum(each.numel() for module in modules for each in module.parameters() if each.ndim == 4)

    @property
    def version(self) -> Hashable:
        """A number that changes whenever a weight is written to or replaced."""
        return version_of(self.module)

    @property
    def structure(self) -> Hashable:
        """A value that changes whenever a module, an attribute or a tensor is replaced, not with values of weights."""
        if not self._targets:  # else :meth:`at` has done so at the start of the run
            self._renew()
        return self._working.edition, tuple(map(is_training, self._working.parts))

    @property
    def modes(self) -> Hashable:
        """The training flags of all parts."""
        return tuple(map(is_training, parts_of(self.module)))

    def layer_name(self, layer: Any) -> Any:
        """See :class:`Adapter`; prefixes that wrappers add are removed."""
        name = super().layer_name(layer)
        names = {name for name, _ in self.module.named_modules()}
        while isinstance(name, str) and name.startswith(WRAPPERS) and name.partition(":")[0] not in names:
            name = name.partition(".")[2]
        return name

    def at(self, targets: Sequence[int | Target], layers: Sequence[str] = ()) -> Self:
        """See :meth:`saliency.model.protocols.Adapted.at`."""
        if asked := (*layers, *units(targets)):
            names = {name for name, _ in self.module.named_modules()}
            for layer in asked:
                if layer.partition(":")[0] not in names:
                    raise unknown("layer", layer, sorted(names - {""}))
        self._renew()
        bound = super().at(targets, layers)
        bound._places = {}
        return bound

    def _renew(self) -> None:
        """Update the copy with the user's changes of the module, at the start of a run."""
        # a dispatch mode keeps torch's compiler from tracing the modes that record layers
        if self._working.renew() or self._working.has_compiled_parts:
            self._randomness.renew()

    def wants(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return the input shape (H, W, C) for a picture of shape `shape`: the first that the model accepts."""
        channels = self.channels if self.channels is not None and shape[2] == 1 else shape[2]
        sizes = dict.fromkeys((shape[:2], self.size or shape[:2]))
        ways = list(dict.fromkeys((*size, count) for count in (shape[2], channels) for size in sizes))
        if len(ways) == 1:
            return shape
        return cast(tuple[int, int, int], self._shared.once(shape, lambda: next(filter(self._takes, ways), shape)))

    def _takes(self, shape: tuple[int, int, int]) -> bool:
        """Return whether the model accepts a picture of that shape."""
        try:
            with self._ready(grad=False) as module:
                self._forward(module, torch.zeros((1, *shape), device=self._device))
        except Exception:  # noqa: BLE001  # a model may raise anything for an unsupported shape
            return False
        return True

    def outputs(self, images: Tensor) -> Tensor:
        """Return the model's class scores, (N, classes)."""
        if not self._targets:  # else :meth:`at` has done so at the start of the run
            self._renew()
        with self._ready(grad=False) as module, LastActivation(active=self.head is None) as spy:
            scores, choice, _ = self._choice(TORCH).chosen(self._forward(module, images), len(images))
            if self._undecided:
                self._decide(self.ops.tohost(scores.float()), spy.ending(scores), choice)
        # only the scores' type shows that a model switches autocast on by itself
        self._note_precision(scores.dtype)
        return scores.to(self._wide)

    def scores(self, images: Tensor) -> Tensor:
        """Return the scores, (k, N)."""

        def run(compiled: bool) -> Tensor:
            # the grid of tokens is found by gradients
            with self._ready(grad=bool(units(self._targets)), compiled=compiled) as module:
                return self._scores(module, leaf_of(images) if units(self._targets) else images).detach()

        return self._tried(run)

    def gradients(self, images: Tensor) -> Answer[Tensor]:
        """Return scores (k, N) and gradients (k, N, H, W, C), from one forward pass."""
        return self._tried(lambda compiled: self._gradients(images, compiled))

    def _gradients(self, images: Tensor, compiled: bool) -> Answer[Tensor]:
        with self._ready(grad=True, compiled=compiled) as module:

            def forward(images: Tensor) -> tuple[Tensor, Tensor]:
                leaf = leaf_of(images)
                return leaf, self._scores(module, leaf)

            rules, ledger = self._rules, ledger_for(self._rules, images)
            leaf, scores, references = (
                (*forward(images), []) if rules is None else run_by_rules(rules, forward, images, self.notes, ledger)
            )
            if not scores.requires_grad:
                raise NoGradient(why_no_gradient(module, lambda: self._scores(module, leaf)))
            half = self._goes_through_half()
            return image_gradients(scores, leaf, references, ledger, half=half)

    def _tried(self, run: Callable[[bool], R]) -> R:
        """Call a function with whether the module is to be compiled; not where its operators or layers are read."""
        reads = self._to_logits or self._rules is not None or self._gate is not None or self._cut is not None
        if self._compilation is None or reads or units(self._targets):
            return run(False)
        return self._compilation.tried(lambda: run(True))

    def computing(self, precision: str | None, *, compiled: bool) -> Self:
        """See :meth:`saliency.model.protocols.Adapted.computing`."""
        view = copy.copy(self)
        view.notes = list(self.notes)
        if precision is not None:
            if self._dtype != torch.float32:
                own = str(self._dtype).removeprefix("torch.")
                raise BadField(f"precision={precision!r} is for models in float32, and {self.name} is in {own}.")
            view._autocast = TYPES[precision]
        if compiled:
            view._compilation = Compilation(partial(fed_with, self._call, self._dtype, self._kernels))
        return view

    def deviation(self, images: Tensor) -> str | None:
        """See :meth:`saliency.model.protocols.Adapted.deviation`."""
        if (dtype := self._autocast) is None:
            return None
        own = copy.copy(self)
        own._autocast, own.notes = None, []
        key = ("deviation", dtype, self.structure, self.version)
        found: str = self._shared.fact(key, lambda: deviation_note(self, own, images[:1], dtype))
        return found

    def rewired(self, rules: Composite) -> Self:
        """See :meth:`saliency.model.protocols.Rewirable.rewired`."""
        view = super().rewired(rules)
        view._working = self._uncompiled()
        return view

    def _uncompiled(self) -> WorkingCopy:
        """Return a working copy without compiled parts, whose operators can be intercepted."""
        working = self._working
        return WorkingCopy(self.module, compiled=False) if working.has_compiled_parts else working

    def _operators(self, images: Tensor) -> frozenset[str]:
        with self.rewired(Composite(()))._ready(grad=True) as module:
            return kinds_of(lambda leaf: self._scores(module, leaf), leaf_of(images))

    def layers(self, images: Tensor, *, whole: bool = False) -> Read[Layer[Tensor]]:
        """Return activations (N, h, w, K) and gradients (k, N, h, w, K) of each bound layer."""
        if last := self._plain_calls(images):
            return self._plain_layers(images, last)
        leaf = leaf_of(images)
        with self._ready(grad=True) as module:
            with Captured(module, (*self._layers, *units(self._targets)), leaf) as captured:
                scores = self._scores(module, leaf, captured)
            seen = [captured.output(name) for name in self._layers]
            if not all(each.requires_grad for each in (scores, *seen)):
                raise NoGradient(why_no_gradient(module, lambda: self._scores(module, leaf_of(images))))
            grids = [captured.grid(each) for each in seen]
            gradients = list(each_gradient(scores, seen, self._layers, half=self._goes_through_half()))
        self._remember_calls("plain layers", images, captured)
        for i, (name, grid) in enumerate(zip(self._layers, grids, strict=True)):
            if not whole:
                self._say(name, grid, [each[i] for each in gradients])
        found = (
            Layer(
                self._read(seen[i], grid, whole), torch.stack([self._read(each[i], grid, whole) for each in gradients])
            )
            for i, grid in enumerate(grids)
        )
        return Read(found, scores.detach())

    def _plain_calls(self, images: Tensor) -> dict[str, int]:
        """Return the number of the last call of each bound layer, if all are modules that return maps (N, K, h, w).

        For one image only if an earlier call has found it, as finding it takes longer than explaining one image.
        """
        if not self._takes_hooks:
            return {}
        if len(images) == 1:
            return dict(self._known_fact("plain layers", images) or {})

        def found() -> dict[str, int]:
            last = self._last_calls(self._captured(images[:1]))
            if not last:
                return {}
            # a model may switch gradients off after the layer; all images, as each may have a target of its own
            with self._ready(grad=False) as module:
                return last if self._hooked(module, images, last)[0].requires_grad else {}

        return dict(self._fact("plain layers", images, found))

    @property
    def _takes_hooks(self) -> bool:
        """Whether nothing but hooks of the bound layers is needed in a forward pass."""
        return self._cut is None and self._gate is None and not units(self._targets)

    def _last_calls(self, captured: Captured) -> dict[str, int]:
        """Return the number of the last call of each bound layer, if all are plain."""
        plain = all(map(captured.is_plain, self._layers))
        return {name: captured.calls[name] for name in self._layers} if plain else {}

    def _remember_calls(self, name: str, images: Tensor, captured: Captured) -> None:
        """Remember the last calls of the bound layers, so that the next pass over one image takes hooks only."""
        if self._takes_hooks:
            self._fact(name, images, lambda: self._last_calls(captured))

    def _plain_layers(self, images: Tensor, last: Mapping[str, int]) -> Read[Layer[Tensor]]:
        """Return the same as :meth:`layers`, without intercepting operators."""
        with self._ready(grad=False) as module:
            scores, outputs = self._hooked(module, images, last)
            seen = [outputs[name] for name in self._layers]
            # before the buffers are restored, which the backward pass may need as they were
            gradients = list(each_gradient(scores, seen, self._layers, half=self._goes_through_half()))
        found = (
            Layer(self._wide_map(output), torch.stack([self._wide_map(each[i]) for each in gradients]))
            for i, output in enumerate(seen)
        )
        return Read(found, scores.detach())

    def _hooked(self, module: nn.Module, images: Tensor, last: Mapping[str, int]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the scores (k, N), and the outputs of modules with the graph from there to the scores."""
        with Hooked(module, last) as hooked:
            return self._scores(module, images), hooked.outputs

    def _plain_activations(self, images: Tensor, last: Mapping[str, int]) -> Read[Tensor]:
        """Return the same as :meth:`activations`, without intercepting operators, and without a graph."""
        with self._ready(grad=False) as module, Hooked(module, last, graph=False) as hooked:
            scores = self._scores(module, images) if self._targets else None
            if scores is None:
                self._forward(module, images)
        return Read((self._wide_map(hooked.outputs[name]) for name in self._layers), scores)

    def _wide_map(self, array: Tensor) -> Tensor:
        return array.detach().permute(0, 2, 3, 1).to(self._wide)

    def activations(self, images: Tensor, *, whole: bool = False) -> Read[Tensor]:
        """Return the activations (N, h, w, K) of each bound layer, with the scores of the targets, if any are bound."""
        if self._takes_hooks and (last := self._known_fact("plain activations", images)):
            return self._plain_activations(images, last)
        leaf = leaf_of(images)
        # the grid of tokens is found by gradients
        with self._ready(grad=True) as module:
            with Captured(module, (*self._layers, *units(self._targets)), leaf) as captured:
                scores = self._scores(module, leaf, captured).detach() if self._targets else None
                if scores is None:
                    self._forward(module, leaf)
            seen = [captured.output(name) for name in self._layers]
            self._remember_calls("plain activations", images, captured)
            return Read((self._read(each, captured.grid(each), whole) for each in seen), scores)

    def _read(self, array: Tensor, grid: Grid | None, whole: bool) -> Tensor:
        """Convert a layer's output (N, …) to (N, h, w, K), in the type of the methods' arithmetic.

        Args:
            array: the output, or a gradient by it.
            grid: its grid on the image.
            whole: whether to return all values, see :func:`channels_last`.
        """
        return (channels_last if whole else on_grid)(array.detach(), grid).to(self._wide)

    def _place(self, values: Tensor, images: Tensor) -> Grid | None:
        captured = self._captured(images[:1])
        return captured.grid(captured.output(self._layers[0]))

    def _paths(self, images: Tensor) -> tuple[bool, bool]:
        captured = self._captured(images)
        (name,) = self._layers
        values = leaf_of(captured.output(name))

        def scores(leaf: Tensor) -> Tensor:
            with Replaced(module, name, captured.calls[name], lambda _: values.clone()):
                return self._scores(module, leaf) if self._targets else self._classes(module, leaf)

        with self._ready(grad=True) as module:
            return paths_of(scores, images, values)

    def _penultimate(self, images: Tensor) -> str | None:
        leaf, view = leaf_of(images), copy.copy(self)
        view._working = self._uncompiled()
        with view._ready(grad=True) as module:
            with Inputs(module) as watch:
                scores = view._scores(module, leaf) if self._targets else view._classes(module, leaf)
            found = watch.last(scores, leaf) if scores.requires_grad else None
        return None if found is None else watch.name(found)

    def _tail(self, images: Tensor) -> Self:
        captured = self._captured(images)
        view, (name,) = self.at(self._targets), self._layers
        view._cut = Tail(name, captured.calls[name], captured.grid(captured.output(name)), images)
        view._working = self._uncompiled()
        return view

    def scores_with(self, images: Tensor, activations: Tensor) -> Tensor:
        """Return the scores (k, N) with the bound layer's activations replaced."""
        (name,) = self._layers
        call, grid = self._place_of(images)

        def put(output: Tensor) -> Tensor:
            return off_grid(activations, grid, output)

        with self._ready(grad=False) as module, Replaced(module, name, call, put):
            return self._scores(module, images)

    def _place_of(self, images: Tensor) -> tuple[int, Grid | None]:
        """Return the number of the bound layer's last call, and its grid on images of this shape."""
        (name,) = self._layers
        view = copy.copy(self)
        view._gate = None

        def found() -> tuple[int, Grid | None]:
            captured = view._captured(images[:1])
            return captured.calls[name], captured.grid(captured.output(name))

        if (shape := images.shape[1:]) not in self._places:
            self._places[shape] = self._fact("place", images, found)
        return self._places[shape]

    def attentions(self, images: Tensor) -> Attention[Tensor]:
        """Return each layer's attention maps (N, heads, T, T) and their gradients (k, N, heads, T, T)."""
        leaf = leaf_of(images)
        with self._ready(grad=True) as module:
            with Attending(module, leaf, self.name) as watch:
                scores = self._scores(module, leaf)
            grid = watch.token_grid()
            if not scores.requires_grad:
                raise NoGradient(why_no_gradient(module, lambda: self._scores(module, leaf_of(images))))
            layers = watch.by_heads(by_each(scores, watch.maps(), half=self._goes_through_half()))
            return self._attended(layers, grid, scores.detach())

    def _attended(self, layers: list[Layer[Tensor]], grid: Grid, scores: Tensor | None = None) -> Attention[Tensor]:
        self.note(f"attention between {grid.described()}")
        return Attention(layers, grid.height, grid.width, grid.before, scores)

    def early_exits(self, images: Tensor) -> Attention[Tensor]:
        """Return the attention maps with gradients of the scores that the head gives after each layer's own block."""
        leaf = leaf_of(images)
        with self._ready(grad=True) as module:
            with Attending(module, leaf, self.name) as watch:
                self._forward(module, leaf)
            grid = watch.token_grid()

            def scores(head: Replaced, count: int) -> Tensor:
                with head:
                    return self._scores(module, leaf.detach(), count=count)

            return self._attended(exits_of(watch, module, scores, half=self._goes_through_half()), grid)

    def _captured(self, images: Tensor) -> Captured:
        """Record the outputs of the bound layers, independent of the targets."""
        leaf = leaf_of(images)
        # the grid of tokens is found by gradients
        with self._ready(grad=True) as module, Captured(module, self._layers, leaf) as captured:
            self._forward(module, leaf)
        return captured

    def _say(self, name: str, grid: Grid | None, gradients: Sequence[Tensor]) -> None:
        """Note the grid by which a layer was read, unless it is a plain map."""
        if grid is None or grid.layout == "first":
            return
        self.note(f"{name} read as a grid of {grid.described()}")
        if not any(bool(on_grid(each, grid).any()) for each in gradients):
            self.note(f"the score does not depend on the patches at {name}: choose an earlier layer")

    def _survey(self, images: Tensor) -> Surveyed:
        """See :class:`Adapter`; for the bound targets, or for any class."""
        leaf = leaf_of(images[:1])
        with self._ready(grad=True) as module:
            with Captured(module, units(self._targets), leaf) as watch:
                scores = self._scores(module, leaf, watch) if self._targets else self._classes(module, leaf)
            return watch.laid(scores)

    def _weights(self) -> list[Weight]:
        return weights_of(self.module)

    def _last_uses(self, images: Tensor) -> dict[str, int]:
        view = copy.copy(self)
        view._working = self._uncompiled()
        leaf = leaf_of(images)
        with view._ready(grad=True) as module, Uses() as uses:
            scores = view._scores(module, leaf) if self._targets else view._classes(module, leaf)
        return uses.last(parameters_of(module), leaf, scores)

    def _with_weights(self, values: Mapping[str, np.ndarray]) -> Self:
        view = self._copied()
        view.module = view.model = copy_with(self.module, values)
        view._parts = view.module.named_modules
        view._working, view._randomness, view._places = WorkingCopy(view.module), OwnRandomness(), {}
        return view

    def _classes(self, module: nn.Module, images: Tensor) -> Tensor:
        found: Tensor = scores_or_sum(self._choice(TORCH), self._forward(module, images), torch.sum)
        return found

    def _scores(
        self, module: nn.Module, images: Tensor, watch: Captured | None = None, count: int | None = None
    ) -> Tensor:
        """Return the scores (k, N); `count` is the number of images if the batch holds another number."""
        if watch is None and (layers := units(self._targets)):
            with Captured(module, layers, images) as captured:
                return self._scores(module, images, captured)
        count = len(images) if count is None else count
        choice = self._choice(TORCH)

        def unit(target: Unit) -> Tensor:
            assert watch is not None
            output = watch.output(target.layer)
            read: Tensor = target.read(on_grid(output, watch.grid(output)))
            return read

        with LastActivation(active=self._to_logits) as spy:
            raw = self._forward(module, images)
            scores = scores_of(raw, self._targets, count, arrays=TORCH, choice=choice, spy=spy, unit=unit)
        self._note_precision(scores.dtype)
        return scores.to(self._wide)

    def _forward(self, module: nn.Module, images: Tensor) -> Any:
        """Return the model's outputs for images; of a tail, for the values of the layer."""
        if (gate := self._gate) is not None:
            call, grid = self._place_of(images)
            with Replaced(module, self._layers[0], call, lambda output: gated(output, grid, gate)):
                return self._of_images(module, images)
        if self._cut is None:
            return self._of_images(module, images)
        with self._cut.replaced(module, images):
            return self._of_images(module, self._cut.placeholder(len(images)))

    def _of_images(self, module: nn.Module, images: Tensor) -> Any:
        if isinstance(module, Compiled):
            return module(images)
        fed = as_fed(images, self._dtype, self._kernels)
        try:
            return self._call(module, fed)
        except Exception as error:
            if (explained := shape_error(error, fed, self.name)) is None:
                raise
            raise explained from error

    def _note_precision(self, dtype: torch.dtype) -> None:
        if (note := precision_note(dtype)) is not None:
            self.note(note)

    def _goes_through_half(self) -> bool:
        """Return whether a backward pass goes through float16, in which small gradients are zero."""
        return computed_in(self._device, self._dtype) == torch.float16

    @staticmethod
    def _call(module: nn.Module, fed: Tensor) -> Any:
        return module(fed)

    @contextmanager
    def _ready(self, grad: bool, compiled: bool = False) -> Iterator[nn.Module]:
        """Yield the module in eval mode, with gradients on or off independent of the caller's context."""
        held = self.lock if self._working.shared else nullcontext()
        reduced = nullcontext() if self._autocast is None else torch.autocast(self._device.type, self._autocast)
        # torch's compiler traces nothing while draws are intercepted
        compilation = None if self._randomness.intercepts else self._compilation
        with (
            held,
            uninterrupted(),
            # A tensor that a module keeps from inference mode, such as a table of positions, has no backward pass.
            torch.inference_mode(False),
            torch.set_grad_enabled(grad),
            reduced,
            self._working.ready() as module,
            self._randomness.used(),
        ):
            self._note_precision(computed_in(self._device, self._dtype))
            yield compilation.of(module) if compiled and compilation is not None else module
        if self._randomness.drew:
            self.note(NOTE)
        if self._compilation is not None and (why := self._compilation.failure):
            self.note(why)


KERNELS_PER_PIXEL = 200
"""Number of convolutions' weights per pixel of the batch above which torch's `channels_last` is slower.

In that layout, torch copies the weights of each convolution in each call. Measured on a CPU, `channels_last` takes 1.22
of the time of the other layout on ResNet-18 at 220 weights a pixel, 1.05 on ResNet-50 at 467, 0.99 at 233 and 0.94 at
116, and 0.9 on MobileNetV2 at 43.
"""


def as_fed(images: Tensor, dtype: torch.dtype, kernels: int = 0) -> Tensor:
    """Return images (N, H, W, C) as a module takes them; a copy, since it may write into its input.

    Args:
        images: other shapes are passed as they are.
        dtype: of the copy.
        kernels: number of weights of the module's convolutions, by which the layout in memory is chosen.
    """
    if images.ndim != 4:
        return images.to(dtype, copy=True)
    planes = kernels > KERNELS_PER_PIXEL * math.prod(images.shape[:3])
    layout = torch.contiguous_format if planes else torch.channels_last
    return images.permute(0, 3, 1, 2).to(dtype, copy=True, memory_format=layout)


def fed_with(
    call: Callable[[nn.Module, Tensor], Any], dtype: torch.dtype, kernels: int, module: nn.Module, images: Tensor
) -> Any:
    """Return the outputs of a module for images (N, H, W, C)."""
    return call(module, as_fed(images, dtype, kernels))


def size_of_patches(module: nn.Module) -> tuple[int, int] | None:
    """Return the height and width of a model's input, if it declares them (as timm's transformers do)."""
    embed = next((part for name, part in module.named_modules() if name.endswith("patch_embed")), None)
    size = getattr(embed, "img_size", None)
    return (int(size[0]), int(size[1])) if isinstance(size, tuple | list) and len(size) == 2 else None


def first_channels(module: nn.Module) -> int | None:
    """Return the number of input channels of a model's first convolution; None without one."""
    conv = next((part for part in module.modules() if isinstance(part, nn.Conv2d)), None)
    return None if conv is None else conv.in_channels or None
