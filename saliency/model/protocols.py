"""Protocols of models: what a method may compute with a model.

A *Model* computes scores of a batch of images. Everything else a model may support is a capability: a separate
Protocol. A method names the capability it needs; a model gives the reason for each one it does not support.

Images are (N, H, W, C), or (N, ...) for other inputs. The axis of targets comes first, with length k, and is handled by
broadcasting: one target is k = 1. The framework's own layout is handled by its adapter.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterable, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar, runtime_checkable

import numpy as np

from saliency.errors import Unsupported, brief
from saliency.model.names import name_in_sentence

A = TypeVar("A")
"""An array of the model's framework."""

T = TypeVar("T")

Axis = int | tuple[int, ...] | None

Target = Callable[[Any], Any]
"""A function from a model's outputs to one number per image, (N,)."""


class Ops(Protocol[A]):
    """Array functions beyond operators, slicing and broadcasting, for one framework. `axis` as in NumPy.

    Methods compute with the model's own arrays, so that large arrays stay on the device. Wrapping whole arrays would
    take thousands of lines; these few functions are enough.
    """

    def asarray(self, host: Any) -> A:
        """Return a host array on the model's device, in the floating type of the model's input."""

    def tohost(self, array: A) -> np.ndarray:
        """Return a copy on the host."""

    def wait(self, array: A) -> None:
        """Wait until `array` has been computed; needed for timing."""

    def sum(self, array: A, axis: Axis = None) -> A: ...

    def max(self, array: A, axis: Axis = None) -> A: ...

    def abs(self, array: A) -> A: ...

    def maximum(self, array: A, other: A | float) -> A: ...

    def where(self, condition: Any, array: A, other: A | float) -> A: ...

    def concat(self, arrays: Sequence[A], axis: int = 0) -> A: ...

    def repeat(self, array: A, times: int) -> A:
        """Repeat each row of the first axis `times` times in a row: (N, ...) -> (N * times, ...)."""

    def reshape(self, array: A, shape: tuple[int, ...]) -> A: ...

    def transpose(self, array: A, axes: tuple[int, ...]) -> A: ...

    def flip(self, array: A, axis: int) -> A: ...

    def take(self, array: A, indices: np.ndarray) -> A:
        """Return entries `indices` of the last axis."""

    def matmul(self, array: A, other: A) -> A: ...

    def logsumexp(self, array: A) -> A:
        """Return the logarithm of the sum of the exponentials over the last axis."""

    def finite(self, array: A) -> bool:
        """Return whether no value is NaN or infinite."""


class Answer(NamedTuple, Generic[A]):
    """Scores and their gradients, from one forward pass."""

    scores: A | None
    """(k, N); None where the model returns only gradients (PAIR's ``call_model_function``)."""
    gradients: A
    """(k, N, H, W, C)."""
    lost: Mapping[str, A] | None = None
    """Relevance lost on the backward pass, (k,) by cause; for one image, under rules that record it. See
    :class:`saliency.rules.Ledger`."""
    references: Sequence[A] = ()
    """The scores of each reference, (k, N), where the rules compare with references."""


class Layer(NamedTuple, Generic[A]):
    """One layer's activations, and the gradients of each score with respect to them."""

    activations: A
    """(N, h, w, K)."""
    gradients: A
    """(k, N, h, w, K)."""


class Read(list[T]):
    """What was read at the bound layers, with the scores of the same forward pass.

    Args:
        values: one for each layer.
        scores: of the bound targets, (k, N); None if they were not computed.
    """

    def __init__(self, values: Iterable[T], scores: Any = None) -> None:
        super().__init__(values)
        self.scores = scores


@runtime_checkable
class Model(Protocol[A]):
    """Anything that returns scores: a black box is a plain Model."""

    @property
    def ops(self) -> Ops[A]:
        """The array functions of the model's framework."""

    @property
    def lacks(self) -> Mapping[type, str]:
        """The reason, as a sentence, for each capability that the model does not support."""

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """The lock held during a model call: one per underlying model, shared by all callers."""

    @property
    def batch_sizes(self) -> MutableMapping[Hashable, Any]:
        """Timings of batch sizes from all sessions, by kind of call and shape of image."""

    def scores(self, images: A) -> A:
        """Return the bound targets' scores, (k, N)."""


@runtime_checkable
class Differentiable(Model[A], Protocol[A]):
    """A model whose scores can be differentiated with respect to the image."""

    def gradients(self, images: A) -> Answer[A]:
        """Return scores (k, N) and their gradients (k, N, H, W, C)."""


@runtime_checkable
class Inspectable(Model[A], Protocol[A]):
    """A model whose inner activations can be read."""

    def activations(self, images: A, *, whole: bool = False) -> Sequence[A]:
        """Return activations (N, h, w, K) per bound layer, in the order they were bound.

        They are a :class:`Read` where the same pass computes the scores of the bound targets.

        Args:
            images: (N, H, W, C).
            whole: whether to return all values of the layer with its channels last: (N, T, K) with all tokens, also
                those without a position (class tokens), (N, h, w, K) or (N, K).
        """


@runtime_checkable
class Patchable(Inspectable[A], Protocol[A]):
    """A model that can be evaluated with a layer's activations replaced (activation patching)."""

    def scores_with(self, images: A, activations: A) -> A:
        """Return the scores, (k, N), with `activations` (N, h, w, K) in place of those of the one bound layer.

        Activations without a position in the image (class tokens) are not replaced, nor are those of earlier calls
        where the layer is called more than once.
        """


@runtime_checkable
class Layered(Inspectable[A], Protocol[A]):
    """A model whose inner activations, and the gradients with respect to them, can be read."""

    def layers(self, images: A, *, whole: bool = False) -> Sequence[Layer[A]]:
        """Return one :class:`Layer` per bound layer, in the order they were bound, as a :class:`Read` with the scores.

        For `whole` see :meth:`activations`.
        """


class Cut(NamedTuple, Generic[A]):
    """A model that is cut at a layer into two: tail(head(image)) are the scores of the image."""

    layer: str
    """Name of the layer."""
    head: Model[A]
    """From images to the values of the layer; its ``outputs`` are (N, h, w, K), (N, T, K) or (N, K)."""
    tail: Adapted[A]
    """From these values to the scores; with the targets that were bound to the model."""
    grid: tuple[int, int] | None
    """Height and width of the layer's grid on the image; None for a layer without one."""
    before: int = 0
    """Number of tokens without a position before those of the grid."""


@runtime_checkable
class Cuttable(Inspectable[A], Protocol[A]):
    """A model that can be cut at a layer."""

    def layer_grid(self, images: A) -> tuple[tuple[int, int] | None, int]:
        """Return height and width of the bound layer's grid on the image, or None, and the number of tokens before it.

        Args:
            images: (N, H, W, C); only the first is evaluated.
        """

    def cuts(self, images: A) -> bool:
        """Return whether the scores depend on the image through the bound layer alone; only the first is evaluated."""

    def penultimate_layer(self, images: A) -> str:
        """Return the name of the layer that the last operator with weights reads.

        Args:
            images: (N, H, W, C); only the first is evaluated.

        Raises:
            Unsupported: the program shows no such operator, or it reads the image itself.
        """

    def gated(self, selected: np.ndarray) -> Differentiable[A]:
        """Return the model with gradients that flow through selected values of the bound layer, and around it.

        Args:
            selected: by which the gradient at the layer is multiplied; broadcast against all of its values, channels
                last.
        """

    def cut(self, layer: Any, images: A | None = None) -> Cut[A]:
        """Return the model as two models: from the image to the layer, and from there to the scores.

        The scores of the bound targets may depend on the image through this layer alone; without bound targets, all of
        the outputs. If the layer is called more than once, its last call counts.

        Args:
            layer: name of the layer, or the module itself.
            images: (N, H, W, C), of the shape that the head is called with; by default one grey image of the size that
                the model declares, or 224×224.

        Raises:
            UnknownName: there is no such layer.
            Unsupported: the scores depend on the image by a path around the layer, such as a skip connection, or do not
                depend on the layer.
        """


class Attention(NamedTuple, Generic[A]):
    """The attention weights of a transformer, and the position of its tokens in the image."""

    layers: Sequence[Layer[A]]
    """Per layer: weights (N, heads, T, T), with queries as rows and keys as columns; gradients (k, N, heads, T, T)."""
    height: int
    width: int
    """Height and width of the grid of patches."""
    before: int
    """Number of tokens without a position (class, registers) before the patches; patch (i, j) is token
    before + i * width + j."""
    scores: A | None = None
    """The scores of the same pass, (k, N); None if they were not computed."""


@runtime_checkable
class Attentive(Model[A], Protocol[A]):
    """A transformer whose attention weights, and the gradients with respect to them, can be read."""

    def attentions(self, images: A) -> Attention[A]:
        """Return those of every layer in which the image's tokens attend to each other."""


@runtime_checkable
class EarlyExit(Attentive[A], Protocol[A]):
    """A transformer whose head can be applied after each block (the logit lens)."""

    def early_exits(self, images: A) -> Attention[A]:
        """Return the same as `attentions`, with each layer's gradients of the scores after its own block."""


@runtime_checkable
class Rewirable(Model[A], Protocol[A]):
    """A model whose backward pass can follow rules, operator by operator."""

    def rewired(self, rules: Hashable) -> Differentiable[A]:
        """Return the model with gradients that follow the rules; each call makes and undoes its own changes.

        Args:
            rules: a :class:`saliency.rules.Composite`. If it has references, images are (N, 1 + references, H, W, C),
                and the results are for the first of each row.
        """

    def operators(self, images: A) -> frozenset[str]:
        """Return the kinds of operators (see :mod:`saliency.rules`) that process images (1, H, W, C)."""


@runtime_checkable
class Reweightable(Model[A], Protocol[A]):
    """A model whose weights can be read, and that can be copied with other weights."""

    def weighted_layers(self, images: A) -> Sequence[str]:
        """Return the names of the layers with weights that the scores depend on, from the output back to the input.

        A layer is whatever owns weight tensors: a module, a Keras layer, a group of parameters, a node of ONNX. A
        tensor that the model itself owns is a layer of its own. A layer that is called more than once is placed at its
        last call.

        Args:
            images: (N, H, W, C); only the first is evaluated.
        """

    def reweighted(self, change: Callable[[str, np.ndarray], np.ndarray], layers: Sequence[str] | None = None) -> Self:
        """Return a copy of the model with changed weights; targets and layers stay bound, the model does not change.

        Only weights of a floating type are changed. Buffers, such as the running statistics of a batch norm, are copied
        as they are. Tied weights are changed once and stay tied.

        Args:
            change: returns the new values of a weight tensor from its name and its values, in float32 or float64. It
                must keep the shape.
            layers: names of the layers to change, see :meth:`weighted_layers`; by default all.

        Raises:
            UnknownName: no layer with weights has that name.
            BadField: `change` returned another shape, or no numbers.
            Unsupported: the weights of this model cannot be changed.
        """


class Adapted(Model[A], Protocol[A]):
    """A framework's model, adapted to this package, before and after targets are bound."""

    labels: Sequence[str] | None
    """Names of the classes."""
    labels_given: bool
    """Whether the labels are the user's own; then there must be at least one per class."""
    head: Any
    """The meaning of its outputs, a :class:`saliency.model.head.Head`; decided by the first call of :meth:`outputs`."""
    width: tuple[Hashable, int] | None
    """The structure of the model, and its number K of outputs with it; None before the first call."""

    @property
    def channels_first(self) -> bool:
        """Whether the model's own images are (C, H, W): how an ambiguous result of `preprocess` is read."""

    @property
    def notes(self) -> Sequence[str]:
        """The settings used, in sentences."""

    @property
    def version(self) -> Hashable:
        """A value that changes whenever the weights do."""

    @property
    def structure(self) -> Hashable:
        """A value that changes whenever the program of the model may have changed."""

    @property
    def declared(self) -> Any:
        """The preprocessing that the model declares, a :class:`saliency.pictures.presets.Declared`; or None."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the model's input; None where any size works, or the size is unknown."""

    @property
    def channels(self) -> int | None:
        """Number of channels of the model's input; None where any number works, or it is unknown."""

    @property
    def scales_itself(self) -> bool:
        """Whether the model's first layer scales 0–255, so that it is fed that range."""

    def computing(self, precision: str | None, *, compiled: bool) -> Self:
        """Return the model with passes in another precision, and compiled; for both see :func:`saliency.adapt`.

        Raises:
            Unsupported: the model cannot compute so.
            BadField: it is not in float32.
        """

    def deviation(self, images: A) -> str | None:
        """Return the note on how far results deviate from those in the model's own type; None if it computes in it.

        It is found once for these weights, on the first of the images, (N, H, W, C).
        """

    def wants(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return the (H, W, C) of the model's input for a picture of `shape`."""

    @property
    def loaded(self) -> Any:
        """The underlying model, if it was loaded from a file and nothing else references it; or None."""

    @property
    def comparable(self) -> bool:
        """Whether it may be called with the input under other presets."""

    @property
    def eager(self) -> bool:
        """Whether targets are evaluated in each call, so that they may differ between the rows of a batch."""

    @property
    def compared(self) -> MutableMapping[Hashable, Any]:
        """Results of comparing presets, by weights and picture: one mapping per underlying model."""

    @property
    def consistency(self) -> MutableMapping[Hashable, Any]:
        """Results of the consistency check, by the modes of the model's parts: one mapping per underlying model."""

    def outputs(self, images: A) -> A:
        """Return the model's outputs, (N, classes)."""

    def at(self, targets: Sequence[int | Target], layers: Sequence[str] = ()) -> Self:
        """Return the same model with targets and layers bound.

        Args:
            targets: k class indices, or callables from the model's own outputs to (N,).
            layers: names of layers, for methods that need a :class:`Layered` model.
        """

    def layer_name(self, layer: Any) -> Any:
        """Return the name of a layer given by name or as the module itself; for a list, the names of all."""

    def layer_table(self, images: A) -> Sequence[tuple[str, tuple[int, ...], str]]:
        """Return (name, shape, grid in words) of each layer with a grid that the scores depend on, in calling order."""

    def automatic_layer(self, images: A) -> str:
        """Return the name of the last layer with a spatial grid; for dense prediction, the encoder's last."""

    def automatic_layers(self, images: A) -> tuple[list[str], str]:
        """Return the last layer at each grid size, the automatic one first, and a description of that one."""


@runtime_checkable
class LayeredRewirable(Layered[A], Rewirable[A], Protocol[A]):
    """A model with both capabilities."""


FRAMEWORKS = ("numpy", "torch", "tensorflow", "jax")
"""The array types that a function may take."""

CAPABILITY: Mapping[type, str] = {
    Model: "scores",
    Differentiable: "gradients with respect to the image",
    Inspectable: "a layer's activations",
    Layered: "a layer's activations and gradients",
    Patchable: "scores with a layer's activations replaced",
    Cuttable: "a model that can be cut at a layer",
    Attentive: "attention weights and their gradients",
    EarlyExit: "scores after each block of a transformer",
    Rewirable: "a backward pass that follows rules",
    Reweightable: "weights that can be copied and changed",
}
"""The name of each capability in a sentence."""


def capability(needs: type) -> str:
    """Return the name of a capability, or of several in one, for a sentence."""
    parts = [needs] if needs in CAPABILITY else [each for each in needs.__bases__ if each in CAPABILITY]
    return ", and ".join(CAPABILITY[each] for each in parts)


def lacking(model: Model[Any], needs: type) -> str | None:
    """Return the reason why `model` does not support what `needs` stands for; None if it does.

    Raises:
        Unsupported: `model` is not adapted, or `needs` is no capability.
    """
    require_adapted(model)
    if not isinstance(needs, type):
        raise Unsupported(f"needs must be a capability, as a method's `needs` is, got {brief(needs)}.")
    for each in needs.__mro__:
        # a model without the lesser capability does not have the greater one either
        if each in model.lacks:
            return model.lacks[each]
    return None if provides(model, needs) else f"{name_in_sentence(model)} provides only {CAPABILITY[Model]}"


_PROVIDED: weakref.WeakKeyDictionary[type, dict[type, bool]] = weakref.WeakKeyDictionary()
"""By class of model, whether it has a capability: comparing with a protocol takes 0.1 ms."""


def provides(model: Model[Any], needs: type) -> bool:
    """Return whether the class of a model has the methods of a capability."""
    provided = _PROVIDED.setdefault(type(model), {})
    if needs not in provided:
        provided[needs] = isinstance(model, needs)
    return provided[needs]


def require_adapted(model: Any) -> None:
    """Raise Unsupported unless `model` is what :func:`saliency.adapt` returns."""
    if not hasattr(model, "lacks") or isinstance(model, type):
        raise Unsupported(f"Expected the result of saliency.adapt(model), got {brief(model)}.")
