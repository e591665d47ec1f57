"""A TensorFlow 1 graph and its session, as PAIR's ``call_model_function``.

TensorFlow is imported when the first function is created: ``import saliency.tf1`` does not need it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from saliency.core.called import (
    CONVOLUTION_LAYER_VALUES,
    CONVOLUTION_OUTPUT_GRADIENTS,
    INPUT_OUTPUT_GRADIENTS,
    OUTPUT_LAYER_VALUES,
    CallModelFunction,
)
from saliency.errors import NoGradient, UnknownName

__all__ = [
    "CONVOLUTION_LAYER_VALUES",
    "CONVOLUTION_OUTPUT_GRADIENTS",
    "INPUT_OUTPUT_GRADIENTS",
    "MISSING_CONV_LAYER_ERROR_MESSAGE",
    "MISSING_Y_ERROR_MESSAGE",
    "OUTPUT_LAYER_VALUES",
    "create_tf1_call_model_function",
]

MISSING_Y_ERROR_MESSAGE = "Cannot return key {} because no y was specified"
MISSING_CONV_LAYER_ERROR_MESSAGE = "Cannot return key {} because no conv_layer was specified"


def create_tf1_call_model_function(
    graph: Any, session: Any, y: Any, x: Any, conv_layer: Any = None
) -> CallModelFunction:
    """Return a ``call_model_function`` that runs the session.

    The gradients are added to the graph here, once; calls add nothing.

    Args:
        graph: the ``tf.Graph`` of the model.
        session: a ``tf.compat.v1.Session`` of it.
        y: the score: one number, or one per image of the batch.
        x: the input; its first axis is the batch.
        conv_layer: a layer's output, channels last; required for the two CONVOLUTION keys.

    Returns:
        The function. Its ``call_model_args`` are the feed_dict, which is not changed.
    """
    fetches: dict[str, Any] = {OUTPUT_LAYER_VALUES: y, INPUT_OUTPUT_GRADIENTS: gradient(graph, y, x)}
    if conv_layer is not None:
        fetches[CONVOLUTION_LAYER_VALUES] = conv_layer
        fetches[CONVOLUTION_OUTPUT_GRADIENTS] = gradient(graph, y, conv_layer)

    def call_model_function(
        x_value_batch: Any,
        call_model_args: Mapping[Any, Any] | None = None,
        expected_keys: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Run the session with a batch for x.

        Args:
            x_value_batch: (N, ...).
            call_model_args: additional values to feed.
            expected_keys: keys of the results to return.

        Raises:
            ValueError: there is no such key.
            RuntimeError: the key needs a conv_layer, or a gradient that does not exist.
        """
        keys = list(expected_keys or ())
        for key in keys:
            _refuse(key, fetches)
        feed = {**(call_model_args or {}), x: x_value_batch}
        with graph.as_default():
            values = session.run([fetches[key] for key in keys], feed_dict=feed)
        return {key: _per_image(key, value, x_value_batch) for key, value in zip(keys, values, strict=True)}

    return call_model_function


def gradient(graph: Any, y: Any, by: Any) -> Any:
    """Return the gradient of y by another tensor, added to the graph; without one, a :class:`NoGradient` to be raised.

    It is not raised here, because Occlusion does not need it.
    """
    import tensorflow as tf

    with graph.as_default():
        try:
            (found,) = tf.compat.v1.gradients(y, by)
        except LookupError as error:  # an operation in between has no gradient
            return NoGradient(f"{y.name} cannot be differentiated by {by.name}: {error}")
        if found is None:
            return NoGradient(
                f"{y.name} does not depend on {by.name} in a differentiable way. y must be computed from "
                f"exactly that tensor, without rounding, argmax or integers in between."
            )
        return tf.convert_to_tensor(found)  # the gradient of a gather is IndexedSlices


def _refuse(key: str, fetches: Mapping[str, Any]) -> None:
    if key in (CONVOLUTION_LAYER_VALUES, CONVOLUTION_OUTPUT_GRADIENTS) and key not in fetches:
        raise RuntimeError(MISSING_CONV_LAYER_ERROR_MESSAGE.format(key))
    if key not in fetches:
        raise UnknownName(f"Invalid expected key {key}")
    if isinstance(fetches[key], NoGradient):
        raise NoGradient(str(fetches[key]))


def _per_image(key: str, value: Any, batch: Any) -> Any:
    """Return scores per image; a score without axes, ``logits[0][label]``, belongs to the only image."""
    if key == OUTPUT_LAYER_VALUES and np.ndim(value) == 0 and len(batch) == 1:
        return np.reshape(value, 1)
    return value
