"""Keras 3: the adapter for its current backend, and the names of its layers.

A model is called with ``training=False``, on TensorFlow within a traced graph and on JAX as a function of its weights,
so neither its weights nor its statistics change. While it is traced, each layer's call is recorded by its name.
"""

from __future__ import annotations

import inspect
import re
import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from saliency.adapters.answers import called_attention, no_attention
from saliency.adapters.keras.layers import watched
from saliency.adapters.keras.weights import named_layers, named_weights, unchangeable
from saliency.errors import Unsupported
from saliency.model.names import name_of
from saliency.model.precision import precision_note
from saliency.model.protocols import Adapted, Attentive, Reweightable
from saliency.pictures.presets import Declared

Joining = Callable[[Callable[..., Any]], Callable[[Any], Any]]
"""From a function of several inputs to one of packed rows (N, D). It must not refer to the model."""


def keras_model(
    model: Any, labels: Sequence[str] | None = None, joining: Joining | None = None, packing: Hashable = None
) -> Adapted[Any]:
    """Return the adapter of a ``keras.Model`` (functional, subclassed, Sequential, nested) for the current backend.

    Args:
        model: the user's own.
        labels: names of the classes.
        joining: for several inputs; None for a model of images.
        packing: the shapes of several inputs.
    """
    made: Any = _on_backend(model, labels, joining or _alone, packing)
    made.scales_itself = scales_itself(model)
    made._parts = partial(named_layers, model)
    if made.declared is None and not made.scales_itself and joining is None:
        made.declared = application_of(model)
    computed = (getattr(each, "compute_dtype", "") for each in model._flatten_layers())
    if (note := next(filter(None, map(precision_note, computed)), None)) is not None:
        made.notes.append(note)
    if not called_attention((each.name, each) for each in model._flatten_layers()):
        made.lacks = {**made.lacks, Attentive: no_attention(name_of(model))}
    if (why := unchangeable(model)) is not None:
        made.lacks = {**made.lacks, Reweightable: f"{name_of(model)} {why}"}
    shape = getattr(model, "input_shape", None)
    if joining is None and isinstance(shape, tuple) and len(shape) == 4:
        made.wants = partial(_wanted, shape[1:])
        made.size = shape[1:3] if all(shape[1:3]) else None
        made.channels = shape[3]
    return made


def scales_itself(model: Any) -> bool:
    """Return whether a model's first layer scales images from 0–255, as in many Keras applications."""
    for layer in _layers(model):
        if isinstance(layer, keras.layers.Rescaling) and np.max(np.abs(layer.scale)) < WHOLE:
            return True
        if isinstance(layer, keras.layers.Normalization) and layer.mean is not None:
            return bool(np.max(keras.ops.convert_to_numpy(layer.mean)) > 1)
        if layer.weights and not isinstance(layer, keras.Model):
            return False
    return False


APPLICATIONS = {
    r"resnet(50|101|152)": "resnet",
    r"resnet(50|101|152)v2": "resnet_v2",
    r"vgg16": "vgg16",
    r"vgg19": "vgg19",
    r"densenet(121|169|201)": "densenet",
    r"inception_v3": "inception_v3",
    r"inception_resnet_v2": "inception_resnet_v2",
    r"xception": "xception",
    r"mobilenet_[\d.]+_\d+": "mobilenet",
    r"mobilenetv2_[\d.]+_\d+": "mobilenet_v2",
    r"nasnet(_mobile|_large)?": "nasnet",
}
"""Preprocessing module by the name of a model in `keras.applications`; the others scale their input themselves."""


def application_of(model: Any) -> Declared | None:
    """Return the preprocessing of a model of `keras.applications`, by its name; None for any other."""
    name = str(getattr(model, "name", ""))
    for pattern, module in APPLICATIONS.items():
        if re.fullmatch(rf"{pattern}(_\d+)?", name, re.IGNORECASE):
            function = getattr(keras.applications, module).preprocess_input
            where = f"keras.applications.{module}.preprocess_input"
            return Declared(function, f"preprocessing of {where}, as the model is called {name!r}")
    return None


WHOLE = 0.05
"""A scale factor below this is for pixels in 0–255: 1 / 255, or 1 / 127.5."""


def _layers(model: Any) -> Iterator[Any]:
    """Yield every layer in order, with nested models flattened."""
    for layer in model.layers:
        yield from _layers(layer) if isinstance(layer, keras.Model) else (layer,)


def _wanted(mine: Sequence[int | None], shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the input shape (H, W, C) for a picture of shape `shape`, by the model's own input shape."""
    height, width, channels = (own or theirs for own, theirs in zip(mine, shape, strict=True))
    return height, width, channels if shape[2] == 1 else shape[2]


def _alone(function: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return a function of one input as it is."""
    return function


def _given(parts: Sequence[Any]) -> Any:
    """Return what a Keras model takes: several inputs in a list, a single input as it is."""
    return parts[0] if len(parts) == 1 else list(parts)


def _on_backend(model: Any, labels: Sequence[str] | None, joining: Joining, packing: Hashable) -> Adapted[Any]:
    match keras.backend.backend():
        case "tensorflow":
            from saliency.adapters.tensorflow.compiled import Source
            from saliency.adapters.tensorflow.model import TensorFlowModel
            from saliency.adapters.tensorflow.trace import Place

            class OnTensorFlow(Source):
                def call(self, images: Any) -> Any:
                    model = self.model()
                    seen: list[tuple[str, Any]] = []
                    with watched(model, lambda name, call: _kept(seen, name, call())):
                        outputs = joining(lambda *parts: model(_given(parts), training=False))(images)
                    return outputs, [Place(name, output) for name, output in seen if hasattr(output, "op")]

            named = partial(named_weights, model)
            return TensorFlowModel(model, labels, source=OnTensorFlow(model, packing), named=named)
        case "jax":
            return _on_jax(model, labels, joining, packing)
        case "torch":
            from saliency.adapters.keras.torch import KerasOnTorch

            return KerasOnTorch(model, labels, joining(lambda *parts: model(_given(parts), training=False)))
    raise Unsupported(f"Keras runs on {keras.backend.backend()!r}. Supported are tensorflow, jax and torch.")


def _on_jax(model: Any, labels: Sequence[str] | None, joining: Joining, packing: Hashable) -> Adapted[Any]:
    import jax

    from saliency.adapters.jax.model import JaxModel
    from saliency.adapters.jax.trace import MARK, SLASH

    held = weakref.ref(model)
    names = {id(variable): name for name, variable in named_weights(model)}

    class OnJax:
        channels_first = False
        notes: Sequence[str] = ()
        signature: Hashable = packing

        def call(self, weights: Any, images: Any) -> Any:
            def scoped(name: str, call: Callable[[], Any]) -> Any:
                with jax.named_scope(MARK + name.replace("/", SLASH)):
                    return call()

            inner: Any = held()
            training = {"training": False} if "training" in inspect.signature(inner.call).parameters else {}

            def stateless(*parts: Any) -> Any:
                return inner.stateless_call(*weights, _given(parts), **training)[0]

            with watched(inner, scoped):
                return joining(stateless)(images)

        def weight_name(self, path: Sequence[Any]) -> str | None:
            group, place = (key.idx for key in path)
            return names.get(id(groups(held())[group][place]))

    def groups(model: Any) -> Sequence[Sequence[Any]]:
        return model.trainable_variables, model.non_trainable_variables

    def weights() -> Any:
        return tuple([each.value for each in group] for group in groups(model))

    return JaxModel(model, labels, source=OnJax(), weights=weights)


def _kept(seen: list[tuple[str, Any]], name: str, output: Any) -> Any:
    seen.append((name, output[0] if isinstance(output, tuple | list) and output else output))
    return output
