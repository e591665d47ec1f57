"""PyTorch: any ``nn.Module`` as a model that gives scores, gradients and layers.

The user's own module is never touched: all work is done on an aliasing copy (modules copied, tensors shared) in eval
mode, so that a training loop may go on beside it. Images are (N, H, W, C) outside and (N, C, H, W) inside.
"""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from saliency.adapters.function import held
from saliency.adapters.tokens import Grid
from saliency.adapters.torch_answers import class_scores, one_number_each, told_by_the_model
from saliency.adapters.torch_attention import Attending, by_each, pulled_back
from saliency.adapters.torch_layers import Captured, Place, Replaced, last_used, off_grid, on_grid, surveyed
from saliency.adapters.torch_ops import TorchOps
from saliency.adapters.torch_rules import ask_by_rules, kinds_of, scripted, uncompiled
from saliency.adapters.torch_trace import LastSoftmax, why_no_gradient
from saliency.adapters.torch_wrapped import lost, unwrapped
from saliency.errors import NoGradient, unknown
from saliency.model import Answer, Attention, Attentive, Inspectable, Layer, Target
from saliency.rules import Composite
from saliency.targets import ClassScore, OfScores, Unit, are_probabilities, units


class Shared:
    """What belongs to one underlying module, whoever adapts it: the lock, and the batch sizes found best."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.batch_sizes: dict[Hashable, Any] = {}
        self.wanted: dict[tuple[int, int, int], tuple[int, int, int]] = {}


_SHARED: weakref.WeakKeyDictionary[nn.Module, Shared] = weakref.WeakKeyDictionary()


class TorchModel:
    """An ``nn.Module`` with targets and layers bound. Build it with :func:`saliency.adapt`.

    Args:
        module: the user's own.
        labels: names of the classes.
    """

    channels_first = True

    def __init__(self, module: nn.Module, labels: Sequence[str] | None = None) -> None:
        self.module = unwrapped(module)
        self.labels = labels
        self._shared = _SHARED.setdefault(self.module, Shared())
        self.lock, self.batch_sizes = self._shared.lock, self._shared.batch_sizes
        self.lacks: dict[type, str] = lost(self.module)
        self.notes: list[str] = []
        self._working = _aliased(self.module)
        if self._working is None:
            self.notes.append("the model cannot be copied: it is switched to eval during each question, and back")
        if self.module.training:
            self.notes.append("the model is in training mode: explained in eval mode, left as it was")
        first = next((t for t in _tensors(self.module) if t.is_floating_point()), None)
        self._device = torch.device("cpu") if first is None else first.device
        self._dtype = torch.float32 if first is None else first.dtype
        wide = torch.float64 if self._dtype == torch.float64 else torch.float32
        self.ops = TorchOps(self._device, wide)
        self._targets: tuple[Target, ...] = ()
        self._layers: tuple[str, ...] = ()
        # by shape of image, the last call of the bound layer and how it lies over the image
        self._places: dict[torch.Size, tuple[int, Grid | None]] = {}
        self._rules: Composite | None = None
        self._ends_in_softmax = False

    @property
    def version(self) -> Hashable:
        """Changes whenever a weight is written to or replaced."""
        return hash(tuple((t.data_ptr(), t._version) for t in _tensors(self.module)))

    def at(self, targets: Sequence[int | Target], layers: Sequence[str] = ()) -> Self:
        """See :meth:`saliency.model.Adapted.at`."""
        names = {name for name, _ in self.module.named_modules()}
        for layer in (*layers, *units(targets)):
            if layer.partition(":")[0] not in names:
                raise unknown("layer", layer, sorted(names - {""}))
        bound = copy.copy(self)
        bound._targets = tuple(t if callable(t) else ClassScore(t) for t in targets)
        bound._layers, bound._places = tuple(layers), {}
        bound.notes = list(self.notes)
        return bound

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width that the model was made for, where it says so (as timm's transformers do)."""
        embed = next((part for name, part in self.module.named_modules() if name.endswith("patch_embed")), None)
        size = getattr(embed, "img_size", None)
        return (int(size[0]), int(size[1])) if isinstance(size, tuple | list) and len(size) == 2 else None

    def wants(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """The (H, W, C) that it must be fed for a picture that comes as `shape`: the first that it takes."""
        conv = next((part for part in self.module.modules() if isinstance(part, nn.Conv2d)), None)
        channels = conv.in_channels if conv is not None and shape[2] == 1 else shape[2]
        sizes = dict.fromkeys((shape[:2], self.size or shape[:2]))
        ways = list(dict.fromkeys((*size, count) for count in (shape[2], channels) for size in sizes))
        if len(ways) > 1 and shape not in self._shared.wanted:
            self._shared.wanted[shape] = next(filter(self._takes, ways), shape)
        return self._shared.wanted.get(shape, shape)

    def _takes(self, shape: tuple[int, int, int]) -> bool:
        """Whether the model answers to a picture of that shape."""
        try:
            with self._ready(grad=False) as module:
                self._forward(module, torch.zeros((1, *shape), device=self._device))
        except Exception:  # noqa: BLE001  # whatever a model may say to a shape that it does not take
            return False
        return True

    def outputs(self, images: Tensor) -> Tensor:
        """What the model says, (N, classes)."""
        with self._ready(grad=False) as module:
            raw = self._forward(module, images)
            said = class_scores(raw)
            if not self._ends_in_softmax and are_probabilities(self.ops.tohost(said.float())):
                with LastSoftmax() as spy:
                    again = class_scores(self._forward(module, images))
                self._ends_in_softmax = spy.logits(again) is not None
                which = "logit" if self._ends_in_softmax else "probability (its logits cannot be reached)"
                self.notes.append(f"the model ends in a softmax: explained the {which}")
        return said.to(self.ops.dtype)

    def scores(self, images: Tensor) -> Tensor:
        """(k, N)."""
        # how tokens lie over the image is found out by gradients
        with self._ready(grad=bool(units(self._targets))) as module:
            return self._scores(module, _leaf(images) if units(self._targets) else images).detach()

    def gradients(self, images: Tensor) -> Answer[Tensor]:
        """(k, N) and (k, N, H, W, C), from one forward pass."""
        with self._ready(grad=True) as module:

            def ask(images: Tensor) -> tuple[Tensor, Tensor]:
                leaf = _leaf(images)
                return leaf, self._scores(module, leaf)

            leaf, scores = ask(images) if self._rules is None else ask_by_rules(self._rules, ask, images, self.notes)
            if not scores.requires_grad:
                raise NoGradient(why_no_gradient(module, lambda: self._scores(module, leaf)))
            return Answer(scores.detach(), torch.stack([grads[0] for grads in _each_gradient(scores, [leaf])]))

    def rewired(self, rules: Composite) -> Self:
        """See :meth:`saliency.model.Rewirable.rewired`."""
        view = copy.copy(self)
        view._rules = rules
        compiled = any(hasattr(part, "_orig_mod") for part in self.module.modules())
        if compiled and (copied := _aliased(self.module)) is not None:
            view._working = uncompiled(copied)
        return view

    def operators(self, images: Tensor) -> frozenset[str]:
        """See :meth:`saliency.model.Rewirable.operators`."""
        with self.rewired(Composite(()))._ready(grad=True) as module:
            return kinds_of(lambda leaf: self._scores(module, leaf), _leaf(images))

    def layers(self, images: Tensor) -> list[Layer[Tensor]]:
        """One per bound layer: (N, h, w, K) activations and (k, N, h, w, K) gradients."""
        leaf = _leaf(images)
        with self._ready(grad=True) as module:
            with Captured(module, (*self._layers, *units(self._targets)), leaf) as captured:
                scores = self._scores(module, leaf, captured)
            seen = [captured.output(name) for name in self._layers]
            if not scores.requires_grad:
                raise NoGradient(why_no_gradient(module, lambda: self._scores(module, _leaf(images))))
            grids = [captured.grid(each) for each in seen]
            gradients = list(_each_gradient(scores, seen, self._layers))
        for i, (name, grid) in enumerate(zip(self._layers, grids, strict=True)):
            self._say(name, grid, [each[i] for each in gradients])
        return [
            Layer(on_grid(seen[i].detach(), grid), torch.stack([on_grid(each[i], grid) for each in gradients]))
            for i, grid in enumerate(grids)
        ]

    def activations(self, images: Tensor) -> list[Tensor]:
        """(N, h, w, K) per bound layer."""
        captured = self._captured(images)
        seen = [captured.output(name) for name in self._layers]
        return [on_grid(each, captured.grid(each)).detach() for each in seen]

    def scores_with(self, images: Tensor, activations: Tensor) -> Tensor:
        """(k, N), with something else in the place of what the bound layer says."""
        (name,) = self._layers
        if (shape := images.shape[1:]) not in self._places:
            captured = self._captured(images[:1])
            self._places[shape] = captured.calls[name], captured.grid(captured.output(name))
        call, grid = self._places[shape]

        def put(said: Tensor) -> Tensor:
            return off_grid(activations, grid, said)

        with self._ready(grad=False) as module, Replaced(module, name, call, put):
            return self._scores(module, images)

    def attentions(self, images: Tensor) -> Attention[Tensor]:
        """Every layer's maps (N, heads, T, T) and their gradients (k, N, heads, T, T)."""
        leaf = _leaf(images)
        with self._ready(grad=True) as module:
            with Attending(module, leaf) as watch:
                scores = self._scores(module, leaf)
            maps = self._maps(watch)
            if not scores.requires_grad:
                raise NoGradient(why_no_gradient(module, lambda: self._scores(module, _leaf(images))))
            return watch.told(by_each(scores, maps))

    def _maps(self, watch: Attending) -> list[Tensor]:
        maps, grid = watch.found()
        note = f"attention read among {grid.said()}"
        self.notes += [] if note in self.notes else [note]
        return maps

    def early_exits(self, images: Tensor) -> Attention[Tensor]:
        """The same, each layer's gradients of the scores that the model's head gives behind its own block."""
        leaf = _leaf(images)
        with self._ready(grad=True) as module:
            with Attending(module, leaf) as watch:
                self._forward(module, leaf)
            maps = self._maps(watch)
            blocks = watch.blocks()
            exits = [each.output.detach().requires_grad_() for each in blocks]
            # the head is asked about all of them at once
            with Replaced(module, blocks[-1].name, blocks[-1].number, lambda _: torch.cat(exits)):
                scores = self._scores(module, leaf.detach(), count=len(exits) * len(leaf))
            return watch.told([pulled_back(blocks, maps, back) for back in by_each(scores, exits)])

    def _captured(self, images: Tensor) -> Captured:
        """What the bound layers say, whatever the targets."""
        leaf = _leaf(images)
        # how tokens lie over the image is found out by gradients
        with self._ready(grad=True) as module, Captured(module, self._layers, leaf) as captured:
            self._forward(module, leaf)
        return captured

    def _say(self, name: str, grid: Grid | None, gradients: Sequence[Tensor]) -> None:
        """Note how a layer was read, where that is not plain."""
        if grid is None or grid.layout == "first":
            return
        notes = [f"{name} read as a grid of {grid.said()}"]
        if not any(bool(on_grid(each, grid).any()) for each in gradients):
            notes.append(f"the score does not depend on the patches at {name}: name an earlier layer")
        self.notes += [note for note in notes if note not in self.notes]

    def automatic_layer(self, images: Tensor) -> str:
        """See :meth:`saliency.model.Adapted.automatic_layer`."""
        return last_used(*self._survey(images)).name

    def layer_table(self, images: Tensor) -> list[tuple[str, tuple[int, ...], str]]:
        """(name, shape, grid in words) of every layer with a grid that the scores depend on, in the model's order."""
        return [
            (each.name, tuple(each.output.shape), each.grid.said())
            for each, on_the_way in zip(*self._survey(images), strict=True)
            if on_the_way
        ]

    def _survey(self, images: Tensor) -> tuple[list[Place], list[bool]]:
        """Every layer with a grid, and whether the bound targets, or any class, depend on it."""
        leaf = _leaf(images[:1])
        with self._ready(grad=True) as module:
            with Captured(module, units(self._targets), leaf) as watch:
                scores = self._scores(module, leaf, watch) if self._targets else self._classes(module, leaf)
            return surveyed(watch, scores)

    def _classes(self, module: nn.Module, images: Tensor) -> Tensor:
        return class_scores(self._forward(module, images))

    def _scores(
        self, module: nn.Module, images: Tensor, watch: Captured | None = None, count: int | None = None
    ) -> Tensor:
        """(k, N), of `count` images where that is not how many are fed."""
        if watch is None and (layers := units(self._targets)):
            with Captured(module, layers, images) as captured:
                return self._scores(module, images, captured)
        with LastSoftmax(active=self._ends_in_softmax) as spy:
            raw = self._forward(module, images)
            rows: list[Tensor] = []
            for target in self._targets:
                if isinstance(target, Unit) and watch is not None:
                    said = watch.output(target.layer)
                    row = target.read(on_grid(said, watch.grid(said)))
                elif isinstance(target, OfScores):
                    said = class_scores(raw)
                    row = target(spy.logits(said) if self._ends_in_softmax else said)
                else:
                    row = target(raw)
                rows.append(one_number_each(row, len(images) if count is None else count, target))
        return torch.stack(rows).to(self.ops.dtype)

    def _forward(self, module: nn.Module, images: Tensor) -> Any:
        # cloned, so that a model that writes into its input cannot write into ours
        fed = (images.permute(0, 3, 1, 2) if images.ndim == 4 else images).to(self._dtype, copy=True)
        try:
            return self._call(module, fed)
        except Exception as error:
            if (told := told_by_the_model(error, fed)) is None:
                raise
            raise told from error

    def _call(self, module: nn.Module, fed: Tensor) -> Any:
        return module(fed)

    @contextmanager
    def _ready(self, grad: bool) -> Iterator[nn.Module]:
        """The module to ask, in eval mode, gradients on or off whatever the caller's surroundings."""
        with torch.inference_mode(False), torch.set_grad_enabled(grad):
            if self._working is not None:
                yield self._working
                return
            with self.lock, _switched(self.module):
                yield self.module


class _Function(nn.Module):
    """A function in a module's clothes."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def __deepcopy__(self, memo: dict[int, Any]) -> _Function:
        # what a function holds is its own: a bound method's model, say, is not to be copied
        return _Function(self.function)

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


class TorchFunction(TorchModel):
    """A function from images (N, C, H, W) to scores, with targets bound.

    Args:
        function: of torch.
        labels: names of the classes.
    """

    def __init__(self, function: Callable[[Tensor], Any], labels: Sequence[str] | None = None) -> None:
        super().__init__(_Function(function), labels)
        self._held = [each for each in held(function) if isinstance(each, nn.Module)]
        why = "a plain function shows no layers: pass the module itself"
        lacks = {name: told for module in self._held for name, told in lost(module).items()}
        self.lacks = {**lacks, Inspectable: why, Attentive: why}
        first = next((t for module in self._held for t in _tensors(module) if t.is_floating_point()), None)
        if first is not None:
            self._device, self._dtype = first.device, first.dtype
            self.ops = TorchOps(self._device, torch.float64 if self._dtype == torch.float64 else torch.float32)
        if any(module.training for module in self._held):
            self.notes.append("the function's model is in training mode, and is asked as it is: call eval() on it")

    @property
    def version(self) -> Hashable:
        """Changes whenever a weight of the function's modules does."""
        weights = tuple((t.data_ptr(), t._version) for module in self._held for t in _tensors(module))
        return hash((id(cast(_Function, self.module).function), weights))


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    return chain(module.parameters(), module.buffers())


def _aliased(module: nn.Module) -> nn.Module | None:
    """A copy of the modules around the very same memory, in eval mode; None if it cannot be made.

    ``.data`` gives the shared memory a version counter of its own, so that an optimiser's step beside us does not
    break a backward pass of ours.
    """
    if scripted(module):
        return None  # its copy would have memory of its own
    memo: dict[int, Any] = {}
    for tensor in _tensors(module):
        alias = nn.Parameter(tensor.data, requires_grad=False) if isinstance(tensor, nn.Parameter) else tensor.data
        memo[id(tensor)] = alias
    try:
        return copy.deepcopy(module, memo).eval()
    except Exception:  # noqa: BLE001  # whatever a user's __deepcopy__ or attribute may raise, there is another way
        return None


@contextmanager
def _switched(module: nn.Module) -> Iterator[None]:
    """`module` in eval mode, each part put back as it was."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _leaf(images: Tensor) -> Tensor:
    images = images.clone() if images.is_inference() else images.detach()
    return images.requires_grad_()


def _each_gradient(
    scores: Tensor, inputs: Sequence[Tensor], names: Sequence[str] = ("image",)
) -> Iterator[tuple[Tensor, ...]]:
    """Per target, the gradients of its scores by each of the inputs."""
    for i, row in enumerate(scores):
        gradients = torch.autograd.grad(row.sum(), inputs, retain_graph=i + 1 < len(scores), allow_unused=True)
        for gradient, name in zip(gradients, names, strict=True):
            if gradient is None:
                raise NoGradient(f"The score does not depend on {name!r}: there is no gradient.")
        yield gradients
