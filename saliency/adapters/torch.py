"""PyTorch: any ``nn.Module`` as a model that gives scores, gradients and layers.

The user's own module is never touched: all work is done on an aliasing copy (modules copied, tensors shared) in eval
mode, so that a training loop may go on beside it. Images are (N, H, W, C) outside and (N, C, H, W) inside.
"""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from saliency.adapters.tokens import Grid
from saliency.adapters.torch_layers import Captured, automatic_layer, on_grid, survey
from saliency.adapters.torch_trace import LastSoftmax, why_no_gradient
from saliency.errors import BadImage, BadOutput, BadTarget, NoGradient, unknown
from saliency.model import Answer, Axis, Layer, Target
from saliency.targets import ClassScore, are_probabilities


class TorchOps:
    """Array functions of torch, on one device."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype

    def asarray(self, host: Any) -> Tensor:
        host = np.asarray(host)
        # a picture read by Pillow is read-only, which torch would warn about
        return torch.from_numpy(np.require(host, requirements=("C", "W"))).to(self.device, self.dtype)

    def tohost(self, array: Tensor) -> np.ndarray:
        return array.detach().to("cpu", copy=True).numpy()

    def wait(self, array: Tensor) -> None:
        if array.is_cuda:
            torch.cuda.synchronize(array.device)
        elif array.device.type == "mps":
            torch.mps.synchronize()

    def sum(self, array: Tensor, axis: Axis = None) -> Tensor:
        return array.sum() if axis is None else array.sum(axis)

    def abs(self, array: Tensor) -> Tensor:
        return array.abs()

    def maximum(self, array: Tensor, other: Tensor | float) -> Tensor:
        return torch.maximum(array, other) if isinstance(other, Tensor) else array.clamp(min=other)

    def where(self, condition: Tensor, array: Tensor, other: Tensor | float) -> Tensor:
        return torch.where(condition, array, other)

    def concat(self, arrays: Sequence[Tensor], axis: int = 0) -> Tensor:
        return torch.cat(list(arrays), axis)

    def repeat(self, array: Tensor, times: int) -> Tensor:
        return array.repeat_interleave(times, 0)

    def reshape(self, array: Tensor, shape: tuple[int, ...]) -> Tensor:
        return array.reshape(shape)

    def transpose(self, array: Tensor, axes: tuple[int, ...]) -> Tensor:
        return array.permute(axes)

    def flip(self, array: Tensor, axis: int) -> Tensor:
        return array.flip(axis)

    def take(self, array: Tensor, indices: np.ndarray) -> Tensor:
        return array[..., torch.from_numpy(indices).to(array.device)]

    def matmul(self, array: Tensor, other: Tensor) -> Tensor:
        return array @ other

    def finite(self, array: Tensor) -> bool:
        return bool(torch.isfinite(array).all())


class Shared:
    """What belongs to one underlying module, whoever adapts it: the lock, and the batch sizes found best."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.batch_sizes: dict[Hashable, Any] = {}


_SHARED: weakref.WeakKeyDictionary[nn.Module, Shared] = weakref.WeakKeyDictionary()


class TorchModel:
    """An ``nn.Module`` with targets and layers bound. Build it with :func:`saliency.adapt`.

    Args:
        module: the user's own.
        labels: names of the classes.
    """

    channels_first = True

    def __init__(self, module: nn.Module, labels: Sequence[str] | None = None) -> None:
        self.module = _inner(module)
        self.labels = labels
        self._shared = _SHARED.setdefault(self.module, Shared())
        self.lock, self.batch_sizes = self._shared.lock, self._shared.batch_sizes
        self.lacks: Mapping[type, str] = {}
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
        self._ends_in_softmax = False

    @property
    def version(self) -> Hashable:
        """Changes whenever a weight is written to or replaced."""
        return hash(tuple((t.data_ptr(), t._version) for t in _tensors(self.module)))

    def at(self, targets: Sequence[int | Target], layers: Sequence[str] = ()) -> Self:
        """See :meth:`saliency.model.Adapted.at`."""
        names = {name for name, _ in self.module.named_modules()}
        for layer in layers:
            if layer.partition(":")[0] not in names:
                raise unknown("layer", layer, sorted(names - {""}))
        bound = copy.copy(self)
        bound._targets = tuple(t if callable(t) else ClassScore(t) for t in targets)
        bound._layers = tuple(layers)
        bound.notes = list(self.notes)
        return bound

    def outputs(self, images: Tensor) -> Tensor:
        """What the model says, (N, classes)."""
        with self._ready(grad=False) as module:
            raw = self._forward(module, images)
            said = _class_scores(raw)
            if not self._ends_in_softmax and are_probabilities(self.ops.tohost(said.float())):
                with LastSoftmax() as spy:
                    again = _class_scores(self._forward(module, images))
                self._ends_in_softmax = spy.logits(again) is not None
                which = "logit" if self._ends_in_softmax else "probability (its logits cannot be reached)"
                self.notes.append(f"the model ends in a softmax: explained the {which}")
        return said.to(self.ops.dtype)

    def scores(self, images: Tensor) -> Tensor:
        """(k, N)."""
        with self._ready(grad=False) as module:
            return self._scores(module, images)

    def gradients(self, images: Tensor) -> Answer[Tensor]:
        """(k, N) and (k, N, H, W, C), from one forward pass."""
        with self._ready(grad=True) as module:
            leaf = _leaf(images)
            scores = self._scores(module, leaf)
            if not scores.requires_grad:
                raise NoGradient(why_no_gradient(module, lambda: self._scores(module, leaf)))
            return Answer(scores.detach(), torch.stack([grads[0] for grads in _each_gradient(scores, [leaf])]))

    def layers(self, images: Tensor) -> list[Layer[Tensor]]:
        """One per bound layer: (N, h, w, K) activations and (k, N, h, w, K) gradients."""
        leaf = _leaf(images)
        with self._ready(grad=True) as module:
            with Captured(module, self._layers, leaf) as captured:
                scores = self._scores(module, leaf)
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
        with self._ready(grad=True) as module:
            return automatic_layer(module, _leaf(images[:1]), self._asking(module)).name

    def layer_table(self, images: Tensor) -> list[tuple[str, tuple[int, ...], str]]:
        """(name, shape, grid in words) of every layer with a grid that the scores depend on, in the model's order."""
        with self._ready(grad=True) as module:
            places, depends = survey(module, _leaf(images[:1]), self._asking(module))
        return [
            (each.name, tuple(each.output.shape), each.grid.said())
            for each, on_the_way in zip(places, depends, strict=True)
            if on_the_way
        ]

    def _asking(self, module: nn.Module) -> Callable[[Tensor], Tensor]:
        """What is asked while layers are looked for: the bound targets, or every class."""
        if self._targets:
            return lambda leaf: self._scores(module, leaf)
        return lambda leaf: _class_scores(self._forward(module, leaf))

    def _scores(self, module: nn.Module, images: Tensor) -> Tensor:
        with LastSoftmax(active=self._ends_in_softmax) as spy:
            raw = self._forward(module, images)
            rows: list[Tensor] = []
            for target in self._targets:
                if isinstance(target, ClassScore):
                    said = _class_scores(raw)
                    row = target(spy.logits(said) if self._ends_in_softmax else said)
                else:
                    row = target(raw)
                rows.append(_one_number_each(row, len(images), target))
        return torch.stack(rows).to(self.ops.dtype)

    def _forward(self, module: nn.Module, images: Tensor) -> Any:
        # cloned, so that a model that writes into its input cannot write into ours
        fed = (images.permute(0, 3, 1, 2) if images.ndim == 4 else images).to(self._dtype, copy=True)
        try:
            return self._call(module, fed)
        except Exception as error:
            if (told := _told_by_the_model(error, fed)) is None:
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


def _inner(module: nn.Module) -> nn.Module:
    """The module itself under ``torch.compile`` and ``DataParallel``."""
    while True:
        wraps = isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel)
        inside = module.module if wraps else getattr(module, "_orig_mod", None)
        if not isinstance(inside, nn.Module):
            return module
        module = inside


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    return chain(module.parameters(), module.buffers())


def _aliased(module: nn.Module) -> nn.Module | None:
    """A copy of the modules around the very same memory, in eval mode; None if it cannot be made.

    ``.data`` gives the shared memory a version counter of its own, so that an optimiser's step beside us does not
    break a backward pass of ours.
    """
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


def _class_scores(outputs: Any) -> Tensor:
    """The (N, classes) scores in whatever a model returned."""
    found: Any = outputs
    if isinstance(outputs, Mapping):
        keys = [key for key in ("logits", "out", "output") if key in outputs]
        found = outputs[keys[0]] if keys else next(iter(outputs.values())) if len(outputs) == 1 else None
    elif not isinstance(outputs, Tensor) and isinstance(getattr(outputs, "logits", None), Tensor):
        found = outputs.logits
    elif isinstance(outputs, tuple | list):
        found = next((part for part in outputs if isinstance(part, Tensor) and part.ndim == 2), None)
    if isinstance(found, Tensor):
        if found.ndim == 4 and found.shape[2:] == (1, 1):
            found = found.flatten(1)
        if found.ndim == 1:
            found = found[:, None]
        if found.ndim == 2:
            return found
    raise BadOutput(
        f"No class scores of shape (N, classes) were found in the model's output, {_described(outputs)}. "
        "Say what to explain: target=lambda outputs: … -> one number per image."
    )


def _described(outputs: Any) -> str:
    if isinstance(outputs, Tensor):
        return f"a tensor of shape {tuple(outputs.shape)}"
    if isinstance(outputs, Mapping):
        return "a mapping with " + ", ".join(f"{key!r}: {_described(value)}" for key, value in outputs.items())
    if isinstance(outputs, tuple | list):
        return f"a {type(outputs).__name__} of " + ", ".join(map(_described, outputs))
    return f"a {type(outputs).__name__}"


def _one_number_each(row: Any, count: int, target: Callable[..., Any]) -> Tensor:
    if not isinstance(row, Tensor) or row.shape != (count,):
        got = _described(row)
        raise BadTarget(
            f"The target {getattr(target, '__name__', target)!r} must give one number per image, "
            f"a tensor of shape ({count},), got {got}."
        )
    return row


def _told_by_the_model(error: Exception, fed: Tensor) -> Exception | None:
    """The model's own complaint about what it was fed, retold with the image's shape; None if it is about another."""
    told = str(error)
    signs = ("channels", "size mismatch", "shapes cannot be multiplied", "normalized_shape", "doesn't match model")
    if not isinstance(error, RuntimeError | ValueError | AssertionError) or not any(sign in told for sign in signs):
        return None
    _, channels, height, width = fed.shape if fed.ndim == 4 else (0, 0, 0, 0)
    return BadImage(
        f"The model cannot take this image: it was fed {tuple(fed.shape)} (N, C, H, W), that is {channels} channels "
        f"at {height}×{width} pixels. Pass preprocess=… that makes what the model was trained on. "
        f"The model says: {told.splitlines()[0]}"
    )
