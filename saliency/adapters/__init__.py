"""One adapter per framework, and :func:`adapt`, which finds the right one without importing any other framework."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from saliency import checks
from saliency.adapters.containers import Contained, contained
from saliency.adapters.outputs import checked_output
from saliency.errors import Unsupported
from saliency.model.head import ACTIVATIONS
from saliency.model.protocols import FRAMEWORKS, Adapted

PRECISIONS = ("bf16", "fp16")
"""Values of `precision`."""


def adapt(
    model: Any,
    *,
    labels: Sequence[str] | None = None,
    framework: str | None = None,
    image: Callable[[], np.ndarray] | None = None,
    activation: str = "auto",
    output: Any = None,
    precision: str | None = None,
    compile: bool = False,  # noqa: A002  # as in Keras
) -> Adapted[Any]:
    """Return the adapter of a model, which the methods can call.

    Args:
        model: a ``torch.nn.Module``, one of Hugging Face's transformers, a Keras model, a ``tf.Module`` or SavedModel,
            a model of Flax (nnx, linen bound to its variables, or ``(module, variables)``) or Equinox, ``(f, params)``
            with f(params, images) of JAX, an ONNX Runtime session, an object with ``predict_proba``, or a function from
            images to scores (N, classes): of torch's tensors (N, C, H, W), or of another framework's arrays
            (N, H, W, C). Or a container: the path of an ``.onnx``, ``.keras``, ``.h5`` or TorchScript file, or
            of a SavedModel folder; an ``onnx.ModelProto``; a ``transformers.pipeline("image-classification")``; a
            Learner of fastai. An adapted model is returned as it is.
        labels: names of the classes, in order; by default those that the model declares.
        framework: of the arrays that a function takes: "numpy", "torch", "tensorflow" or "jax". By default it is found
            by calling the function once, if there is an image; else NumPy.
        image: returns the image, (1, H, W, C), with which a function may be called.
        activation: what the outputs are: "softmax" or "sigmoid": logits, to which it is applied to get probabilities;
            "none": numbers shown as they are; "auto": decided from the model's last operator, the number of
            labels and the shape, see docs/models.md. A note reports the decision.
        output: which of several outputs is explained: an index, a key, an attribute, or a callable from all of them
            to one. By default the only one that can be class scores, or the one as wide as there are labels.
        precision: "bf16" or "fp16": a torch module in float32 computes under autocast in that type, which is faster
            where the processor has instructions for it. A note reports how far its scores and its gradient deviate.
            None leaves the model as it is.
        compile: whether passes of a torch module go through ``torch.compile``. The first call for a shape takes seconds
            to minutes. Methods that read layers or follow rules (class activation maps, LRP, DeepLIFT, attention) run
            without it, and so does the model if it cannot be compiled: a note reports that.

    Raises:
        Unsupported: the model is of no supported kind, or `precision` or `compile` do not apply to it.
        MissingPackage: the library that reads its file is not installed.
        FileNotFoundError: there is no such file.
        UnknownName: no such activation.
        BadField: `output`, `labels`, `image` or `compile` is of another type, or the model is not in float32 and
            `precision` is given.
    """
    if framework is not None:
        checks.choice(framework, "framework", FRAMEWORKS)
    if image is not None:
        checks.function(image, "image")
    if precision is not None:
        checks.choice(precision, "precision", PRECISIONS)
    checks.flag(compile, "compile")
    adapted = read_as(_adapted(model, checks.names(labels), framework, image), activation, output)
    return adapted.computing(precision, compiled=compile) if precision is not None or compile else adapted


def read_as(adapted: Adapted[Any], activation: str, output: Any) -> Adapted[Any]:
    """Return a model with this activation and output; the same model if both are the defaults."""
    checks.choice(activation, "activation", ACTIVATIONS)
    if activation == "auto" and output is None:
        return adapted
    other: Any = copy.copy(adapted)
    other.activation, other.output, other.head = activation, checked_output(output), None
    other.notes = list(adapted.notes)
    return other


def _adapted(
    model: Any,
    labels: Sequence[str] | None,
    framework: str | None,
    image: Callable[[], np.ndarray] | None,
) -> Adapted[Any]:
    """Return the adapter of the first kind of model that fits; Keras is before torch, on which it may run."""
    if isinstance(model, list | tuple) and model and all(map(callable, model)):
        raise _several_models(model)
    frameworks = _frameworks(model)
    if "saliency" in frameworks and hasattr(model, "at"):
        return _relabelled(model, labels)
    if (inside := contained(model)) is not None:
        return _from_container(inside, labels)
    if hasattr(model, "__array__"):
        raise _no_model(model)
    for of_framework in (_of_keras, _of_torch, _of_tensorflow, _of_jax, _of_onnx):
        if (adapted := of_framework(model, frameworks, labels)) is not None:
            return adapted
    is_method = hasattr(type(model), "needs")
    if hasattr(model, "predict_proba") or (callable(model) and not is_method):
        return _of_function(model, labels, framework, image)
    raise _no_model(model)


def _frameworks(model: Any) -> set[str]:
    """Return the packages that define a model's class and its bases."""
    return {base.__module__.partition(".")[0] for base in type(model).__mro__}


def _from_container(inside: Contained, labels: Sequence[str] | None) -> Adapted[Any]:
    """Return the model of a file, a pipeline or a Learner, with its labels, note and preprocessing."""
    adapted: Any = adapt(inside.model, labels=inside.labels if labels is None else labels)
    if inside.note is not None:
        adapted.note(inside.note)
    if inside.declared is not None:
        adapted.declared = inside.declared
    adapted.loaded = inside.model if inside.loaded else None
    return adapted


def _of_keras(model: Any, frameworks: set[str], labels: Sequence[str] | None) -> Adapted[Any] | None:
    """Return a Keras model; None for any other."""
    if "keras" not in frameworks or not hasattr(model, "stateless_call"):
        return None
    from saliency.adapters.keras.model import keras_model

    return keras_model(model, labels)


def _of_torch(model: Any, frameworks: set[str], labels: Sequence[str] | None) -> Adapted[Any] | None:
    """Return a torch module or one of Hugging Face's transformers; None for any other."""
    if not hasattr(model, "named_modules"):
        return None
    if "transformers" in frameworks:
        from saliency.adapters.torch.huggingface import HuggingFaceModel

        return HuggingFaceModel(model, labels)
    if "torch" in frameworks:
        from saliency.adapters.torch.model import TorchModel

        return TorchModel(model, labels)
    return None


def _of_tensorflow(model: Any, frameworks: set[str], labels: Sequence[str] | None) -> Adapted[Any] | None:
    """Return an object of TensorFlow; None for any other."""
    if "tensorflow" not in frameworks or isinstance(model, type):
        return None
    from saliency.adapters.tensorflow.model import TensorFlowModel

    return TensorFlowModel(model, labels)


def _of_onnx(model: Any, frameworks: set[str], labels: Sequence[str] | None) -> Adapted[Any] | None:
    """Return a session of ONNX Runtime; None for any other model."""
    if "onnxruntime" not in frameworks or not hasattr(model, "get_inputs"):
        return None
    from saliency.adapters.callables.onnx import OnnxModel

    return OnnxModel(model, labels)


def _of_function(
    model: Any, labels: Sequence[str] | None, framework: str | None, image: Callable[[], np.ndarray] | None
) -> Adapted[Any]:
    """Return a function, or an object with ``predict_proba``."""
    from saliency.adapters.callables.function import ProbabilityModel, function_model

    if hasattr(model, "predict_proba"):
        return ProbabilityModel(model, labels)
    return function_model(model, labels, framework, image)


def _of_jax(model: Any, frameworks: set[str], labels: Sequence[str] | None) -> Adapted[Any] | None:
    """Return a model of Flax or Equinox, or of (model, parameters); None for any other."""
    held: Any = None
    if type(model) in (tuple, list) and len(model) == 2 and callable(model[0]) and not isinstance(model[0], type):
        model, held = model
        frameworks = _frameworks(model)
    modules = {base.__module__ for base in type(model).__mro__}
    if "flax" in frameworks or hasattr(model, "apply_fn"):
        from saliency.adapters.jax import modules as jax_modules

        if any(module.startswith("flax.nnx") for module in modules):
            return jax_modules.nnx_model(model, labels)
        return jax_modules.linen_model(model, held, labels)
    if "equinox" in frameworks:
        from saliency.adapters.jax.modules import equinox_model

        return equinox_model(model, held, labels)
    if held is not None and frameworks & {"torch", "keras", "tensorflow"}:
        raise Unsupported(
            "(model, parameters) is supported for functions of JAX and models of Flax and Equinox only, got "
            f"({type(model).__qualname__}, …). Pass the model alone."
        )
    if held is not None:
        from saliency.adapters.jax.model import JaxModel

        return JaxModel(model, labels, params=held)
    return None


def _several_models(models: Any) -> Unsupported:
    return Unsupported(
        f"Expected one model, got a {type(models).__name__} of {len(models)}. Explain them one by one, "
        "[saliency.explain(each, image) for each in models], or pass them to the widget, which compares them."
    )


def _no_model(model: Any) -> Unsupported:
    return Unsupported(
        f"Expected a model (a torch.nn.Module, a Keras, Flax or Equinox model, a tf.Module, "
        f"an ONNX Runtime session, an object with predict_proba, or a function "
        f"from images (N, H, W, C) to scores (N, classes)), got {type(model).__module__}.{type(model).__qualname__}."
        + (" This is a picture: pass the model first, saliency.explain(model, image)." if _is_picture(model) else "")
    )


def _is_picture(value: Any) -> bool:
    pil = type(value).__module__.partition(".")[0] == "PIL"
    return pil or hasattr(value, "__array__") or isinstance(value, bytes | bytearray)


def _relabelled(model: Adapted[Any], labels: Sequence[str] | None) -> Adapted[Any]:
    if labels is not None and labels != model.labels:
        # two labels may name the two classes of one output
        model.labels, model.labels_given, model.head = labels, True, None
    return model
