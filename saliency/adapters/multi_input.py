"""Models with several inputs, or with one input that is no picture, as models of packed rows (N, D)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from saliency.adapters.answers import inputs_error
from saliency.adapters.callables.function import function_model
from saliency.errors import Unsupported
from saliency.model.inputs import Packing
from saliency.model.names import name_of
from saliency.model.protocols import Adapted


class Joined:
    """A function of rows (N, D) that calls a function of several inputs.

    Args:
        function: takes one array per input, (N, …) each, of any framework.
        packing: the columns of each input.
        name: how errors call the user's model.
    """

    def __init__(self, function: Callable[..., Any], packing: Packing, name: str) -> None:
        self.function, self.packing, self.name = function, packing, name
        self.variables = list(getattr(function, "variables", None) or ())

    def __call__(self, rows: Any) -> Any:
        parts = self.packing.split(rows, _reshape)
        try:
            return self.function(*parts)
        except Exception as error:
            raise inputs_error(error, self.packing, self.name) or error from error


def adapt_several(
    model: Any,
    packing: Packing,
    *,
    labels: Sequence[str] | None = None,
    framework: str | None = None,
    row: Callable[[], np.ndarray] | None = None,
) -> Adapted[Any]:
    """Return the adapter of a model that is called with one array per input.

    Args:
        model: a ``torch.nn.Module``, a Keras model, ``(f, params)`` with f(params, *inputs) of JAX, a ``tf.Module``, or
            a function of any framework's arrays.
        packing: of the inputs.
        labels: names of the classes.
        framework: see :func:`saliency.adapt`.
        row: returns a row (1, D) with which a function may be called.

    Raises:
        Unsupported: the model is of no supported kind.
    """
    frameworks = {base.__module__.partition(".")[0] for base in type(model).__mro__}
    if "keras" in frameworks and hasattr(model, "stateless_call"):
        from saliency.adapters.keras.model import keras_model

        name = name_of(model)
        return keras_model(model, labels, lambda function: Joined(function, packing, name), packing.shapes)
    if "torch" in frameworks and hasattr(model, "named_modules"):
        from saliency.adapters.torch.multi_input import SeveralInputs

        return SeveralInputs(model, packing, labels)
    if type(model) in (tuple, list) and len(model) == 2 and callable(model[0]):
        from saliency.adapters.jax.model import JaxModel

        function, params = model

        def call(params: Any, rows: Any) -> Any:
            return Joined(partial(function, params), packing, name_of(function))(rows)

        return JaxModel(call, labels, params=params)
    if "tensorflow" in frameworks and callable(model):
        return function_model(Joined(model, packing, name_of(model)), labels, "tensorflow")
    if isinstance(model, type) or not callable(model) or frameworks & {"saliency", "flax", "equinox", "onnxruntime"}:
        raise Unsupported(
            f"A list of inputs is supported for a torch.nn.Module, a Keras model, or a function of them; got "
            f"{type(model).__module__}.{type(model).__qualname__}. Pass a function: lambda a, b: model(a, b)."
        )
    return function_model(Joined(model, packing, name_of(model)), labels, framework, row)


def _reshape(array: Any, shape: tuple[int, ...]) -> Any:
    """Reshape an array of any framework; TensorFlow's tensors have no method for it."""
    if hasattr(array, "reshape"):
        return array.reshape(shape)
    return sys.modules["tensorflow"].reshape(array, shape)
