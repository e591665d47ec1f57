"""The questions a method may ask a model, and nothing else.

A *Model* answers questions about a batch of images. What a model can do beyond giving scores is a capability of its
own: a separate Protocol. A method names the capability it needs; a model names, in a sentence, each one it lacks.

Images are (N, H, W, C), or (N, ...) where they are not images. The axis of targets comes first, k, and rides along by
broadcasting: one target is k = 1. Layout inside the framework is the adapter's secret.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar, runtime_checkable

import numpy as np

from saliency.errors import Unsupported, brief

A = TypeVar("A")
"""One framework's array."""

Axis = int | tuple[int, ...] | None

Target = Callable[[Any], Any]
"""From a model's outputs to one number per image, (N,)."""


class Ops(Protocol[A]):
    """What operators, slicing and broadcasting cannot say on every framework's arrays. `axis` as in NumPy.

    A method is arithmetic on the model's own arrays, so that nothing big leaves the device; wrapping whole arrays
    would take thousands of lines, these few functions are enough.
    """

    def asarray(self, host: Any) -> A:
        """A host array on the model's device, in the floating type the model is fed."""

    def tohost(self, array: A) -> np.ndarray:
        """A copy on the host."""

    def wait(self, array: A) -> None:
        """Return when `array` has really been computed: what is timed must have happened."""

    def sum(self, array: A, axis: Axis = None) -> A: ...

    def max(self, array: A, axis: Axis = None) -> A: ...

    def abs(self, array: A) -> A: ...

    def maximum(self, array: A, other: A | float) -> A: ...

    def where(self, condition: Any, array: A, other: A | float) -> A: ...

    def concat(self, arrays: Sequence[A], axis: int = 0) -> A: ...

    def repeat(self, array: A, times: int) -> A:
        """Each row of the first axis `times` times in a row: (N, ...) -> (N * times, ...)."""

    def reshape(self, array: A, shape: tuple[int, ...]) -> A: ...

    def transpose(self, array: A, axes: tuple[int, ...]) -> A: ...

    def flip(self, array: A, axis: int) -> A: ...

    def take(self, array: A, indices: np.ndarray) -> A:
        """Entries `indices` of the last axis."""

    def matmul(self, array: A, other: A) -> A: ...

    def finite(self, array: A) -> bool:
        """Whether no value is NaN or infinite."""


class Answer(NamedTuple, Generic[A]):
    """Scores and their gradients, from one forward pass."""

    scores: A | None
    """(k, N); None where the model only ever hands out gradients (PAIR's ``call_model_function``)."""
    gradients: A
    """(k, N, H, W, C)."""
    lost: Mapping[str, A] | None = None
    """By cause, what did not come back of each target's one, (k,): of one image, under rules that count it; see
    :class:`saliency.rules.Ledger`."""


class Layer(NamedTuple, Generic[A]):
    """What one layer said, and how each score depends on it."""

    activations: A
    """(N, h, w, K)."""
    gradients: A
    """(k, N, h, w, K)."""


@runtime_checkable
class Model(Protocol[A]):
    """Anything that gives scores: a black box is simply a Model."""

    @property
    def ops(self) -> Ops[A]:
        """The array functions of its framework."""

    @property
    def lacks(self) -> Mapping[type, str]:
        """Capability -> the sentence why this very model has it not."""

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """Held during one question: one per underlying model, whoever asks."""

    @property
    def batch_sizes(self) -> MutableMapping[Hashable, Any]:
        """What sessions have measured of batch sizes, by kind of question and shape of image."""

    def scores(self, images: A) -> A:
        """The bound targets' scores, (k, N)."""


@runtime_checkable
class Differentiable(Model[A], Protocol[A]):
    """A model whose scores can be differentiated by the image."""

    def gradients(self, images: A) -> Answer[A]:
        """Scores (k, N) and their gradients (k, N, H, W, C)."""


@runtime_checkable
class Inspectable(Model[A], Protocol[A]):
    """A model whose inner activations can be read."""

    def activations(self, images: A) -> Sequence[A]:
        """(N, h, w, K) per bound layer, in the order they were bound; nothing is asked of the targets."""


@runtime_checkable
class Patchable(Inspectable[A], Protocol[A]):
    """A model that can be asked what it would say if a layer said something else (activation patching)."""

    def scores_with(self, images: A, activations: A) -> A:
        """The scores, (k, N), with `activations` (N, h, w, K) in the place of what the one bound layer says.

        What the layer says of no place of the image (class tokens) stays as it is; so does what it says in earlier
        calls, where it is called more than once.
        """


@runtime_checkable
class Layered(Inspectable[A], Protocol[A]):
    """A model whose inner activations, and the gradients there, can be read."""

    def layers(self, images: A) -> Sequence[Layer[A]]:
        """One :class:`Layer` per bound layer, in the order they were bound."""


class Attention(NamedTuple, Generic[A]):
    """What the attention layers of a transformer looked at, and how its tokens lie over the image."""

    layers: Sequence[Layer[A]]
    """In their order: maps (N, heads, T, T), rows looking at columns, and gradients (k, N, heads, T, T)."""
    height: int
    width: int
    """Of the grid of patches."""
    before: int
    """Tokens without a place (class, registers) before the patches; patch (i, j) is token before + i * width + j."""


@runtime_checkable
class Attentive(Model[A], Protocol[A]):
    """A transformer whose attention maps, and the gradients there, can be read."""

    def attentions(self, images: A) -> Attention[A]:
        """Of every layer in which the image's tokens attend to each other."""


@runtime_checkable
class EarlyExit(Attentive[A], Protocol[A]):
    """A transformer whose head can be asked behind each block (the logit lens)."""

    def early_exits(self, images: A) -> Attention[A]:
        """As `attentions`, but each layer's gradients are of the scores that the head gives behind its own block."""


@runtime_checkable
class Rewirable(Model[A], Protocol[A]):
    """A model whose backward pass can be made to follow rules, operator by operator."""

    def rewired(self, rules: Hashable) -> Differentiable[A]:
        """The same model, whose gradients follow the rules; each of its questions makes and undoes its own change.

        Args:
            rules: a :class:`saliency.rules.Composite`. Where it asks for references, images are
                (N, 1 + references, H, W, C), and the answer is of the first of each.
        """

    def operators(self, images: A) -> frozenset[str]:
        """The kinds of operators (see :mod:`saliency.rules`) that the model sends images (1, H, W, C) through."""


class Adapted(Model[A], Protocol[A]):
    """A framework's model as the package sees it, before and after targets are bound."""

    labels: Sequence[str] | None
    """Names of the classes."""
    labels_given: bool
    """Whether these are the user's; then they must not be fewer than there are classes."""
    head: Any
    """The meaning of its outputs, a :class:`saliency.model.head.Head`; decided by the first call of :meth:`outputs`."""

    @property
    def channels_first(self) -> bool:
        """Whether the model's own images are (C, H, W): how an ambiguous answer of `preprocess` is read."""

    @property
    def notes(self) -> Sequence[str]:
        """What was decided for the user, in sentences."""

    @property
    def version(self) -> Hashable:
        """Changes whenever the weights do."""

    @property
    def declared(self) -> Any:
        """The preprocessing that the model declares, a :class:`saliency.pictures.presets.Declared`; or None."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width that the model was made for; None where it takes any, or does not say."""

    @property
    def channels(self) -> int | None:
        """How many channels the model takes; None where it takes any, or does not say."""

    @property
    def scales_itself(self) -> bool:
        """Whether the model's first layer scales 0–255, so that it is fed these."""

    def wants(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return the (H, W, C) that the model must be fed for a picture that comes as `shape`."""

    @property
    def loaded(self) -> Any:
        """The underlying model, where it was loaded from a file and nobody else holds it; or None."""

    @property
    def comparable(self) -> bool:
        """Whether it may be called with what it would be fed otherwise."""

    @property
    def compared(self) -> MutableMapping[Hashable, Any]:
        """What came of it, by weights and picture: one per underlying model."""

    @property
    def consistency(self) -> MutableMapping[Hashable, Any]:
        """In what its outputs for an image are not its own, by the modes of its parts: one per underlying model."""

    def outputs(self, images: A) -> A:
        """What the model says, (N, classes)."""

    def at(self, targets: Sequence[int | Target], layers: Sequence[str] = ()) -> Self:
        """The same model with targets and layers bound.

        Args:
            targets: k class indices, or callables from the model's own outputs to (N,).
            layers: names of layers, for what needs a :class:`Layered` model.
        """

    def layer_name(self, layer: Any) -> Any:
        """Return the name of a layer that is given by name or as the module itself; of a list, those of each."""

    def layer_table(self, images: A) -> Sequence[tuple[str, tuple[int, ...], str]]:
        """Return (name, shape, grid in words) of every layer with a grid that the scores depend on, in their order."""

    def automatic_layer(self, images: A) -> str:
        """Return the name of the last layer with a spatial grid; of a dense model, of its encoder's last."""

    def automatic_layers(self, images: A) -> tuple[list[str], str]:
        """Return the names of the last layer at each grid size, the automatic layer's first, and which that one is."""


@runtime_checkable
class LayeredRewirable(Layered[A], Rewirable[A], Protocol[A]):
    """A model that can do both."""


FRAMEWORKS = ("numpy", "torch", "tensorflow", "jax")
"""Whose arrays a function may take."""

CAPABILITY: Mapping[type, str] = {
    Model: "scores",
    Differentiable: "gradients by the image",
    Inspectable: "a layer's activations",
    Layered: "a layer's activations and gradients",
    Patchable: "scores with a layer's activations replaced",
    Attentive: "attention maps and their gradients",
    EarlyExit: "scores behind each block of a transformer",
    Rewirable: "a backward pass that follows rules",
}
"""What a capability is called in a sentence."""


def capability(needs: type) -> str:
    """What a capability, or several in one, is called in a sentence."""
    parts = [needs] if needs in CAPABILITY else [each for each in needs.__bases__ if each in CAPABILITY]
    return ", and ".join(CAPABILITY[each] for each in parts)


def lacking(model: Model[Any], needs: type) -> str | None:
    """The sentence why `model` cannot answer what `needs` asks for, or None if it can.

    Raises:
        Unsupported: `model` is not adapted, or `needs` is no capability.
    """
    require_adapted(model)
    if not isinstance(needs, type):
        raise Unsupported(f"needs must be a capability, as a method's `needs` is, got {brief(needs)}.")
    for each in needs.__mro__:
        # what lacks the lesser lacks the greater
        if each in model.lacks:
            return model.lacks[each]
    if isinstance(model, needs):
        return None
    return f"{type(model).__name__} offers only {CAPABILITY[Model]}"


def require_adapted(model: Any) -> None:
    """Raise Unsupported unless `model` is what :func:`saliency.adapt` returns."""
    if not hasattr(model, "lacks") or isinstance(model, type):
        raise Unsupported(f"Expected what saliency.adapt(model) returns, got {brief(model)}.")
