"""PAIR's ``call_model_function``, seen as a model: its expected keys are the questions."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from saliency.errors import BadOutput
from saliency.model import Answer, Layer
from saliency.ops import NumpyOps

INPUT_OUTPUT_GRADIENTS = "INPUT_OUTPUT_GRADIENTS"
CONVOLUTION_LAYER_VALUES = "CONVOLUTION_LAYER_VALUES"
CONVOLUTION_OUTPUT_GRADIENTS = "CONVOLUTION_OUTPUT_GRADIENTS"
OUTPUT_LAYER_VALUES = "OUTPUT_LAYER_VALUES"

_OUTERMOST = "Expected outermost dimension of {} to be the same as x_value_batch - expected {{}}, actual {{}}"
SHAPE_ERROR_MESSAGE = {
    INPUT_OUTPUT_GRADIENTS: "Expected key INPUT_OUTPUT_GRADIENTS to be the same shape as input x_value_batch - "
    "expected {}, actual {}",
    CONVOLUTION_LAYER_VALUES: _OUTERMOST.format(CONVOLUTION_LAYER_VALUES),
    CONVOLUTION_OUTPUT_GRADIENTS: _OUTERMOST.format(CONVOLUTION_OUTPUT_GRADIENTS),
    OUTPUT_LAYER_VALUES: _OUTERMOST.format(OUTPUT_LAYER_VALUES),
}

CallModelFunction = Callable[..., dict[str, Any]]
"""call_model_function(x_value_batch, call_model_args=None, expected_keys=None) -> {key: array}."""

Check = Callable[[dict[str, Any], tuple[int, ...], Sequence[str]], None]


def check_output(output: dict[str, Any], input_shape: tuple[int, ...], expected_keys: Sequence[str]) -> None:
    """Turn the values of the expected keys into arrays, in the caller's own dict, and check their shapes.

    Raises:
        KeyError: a key is missing.
        ValueError: a shape does not fit the batch; the messages are PAIR's.
    """
    for key in expected_keys:
        if key not in output:
            raise KeyError(key)
        output[key] = np.asarray(output[key])
        actual = output[key].shape
        if not actual:
            raise BadOutput(f"{key} must hold one entry per image of the batch, got the single number {output[key]}.")
        whole = key == INPUT_OUTPUT_GRADIENTS
        expected: Any = tuple(input_shape) if whole else input_shape[0]
        if (got := actual if whole else actual[0]) != expected:
            raise BadOutput(SHAPE_ERROR_MESSAGE[key].format(expected, got))


class CalledModel:
    """A ``call_model_function`` as a model with one target, k = 1.

    Args:
        function: the caller's.
        args: handed through untouched, the same object every time.
        expected_keys: the list handed to every call.
        dtype: the image's own floating type; batches keep it.
        check: see :func:`check_output`.
    """

    def __init__(
        self,
        function: CallModelFunction,
        args: Any,
        expected_keys: Sequence[str],
        dtype: Any,
        check: Check = check_output,
    ) -> None:
        self._function, self._args, self._keys, self._check = function, args, expected_keys, check
        self.ops = NumpyOps(dtype)
        self.lacks: Mapping[type, str] = {}
        self.lock: AbstractContextManager[Any] = nullcontext()
        self.batch_sizes: dict[Hashable, Any] = {}

    def scores(self, images: np.ndarray) -> np.ndarray:
        """(1, N)."""
        said = self._ask(images)[OUTPUT_LAYER_VALUES]
        return said.reshape(1, *said.shape)

    def gradients(self, images: np.ndarray) -> Answer[np.ndarray]:
        """No scores: they were not among the keys; gradients (1, N, H, W, C)."""
        return Answer(None, self._ask(images)[INPUT_OUTPUT_GRADIENTS][None])

    def layers(self, images: np.ndarray) -> list[Layer[np.ndarray]]:
        """The one layer the function knows."""
        said = self._ask(images)
        return [Layer(said[CONVOLUTION_LAYER_VALUES], said[CONVOLUTION_OUTPUT_GRADIENTS][None])]

    def _ask(self, images: np.ndarray) -> dict[str, Any]:
        output = self._function(images, call_model_args=self._args, expected_keys=self._keys)
        if not isinstance(output, dict):
            raise BadOutput(
                f"call_model_function must return a dict with the expected keys {list(self._keys)}, "
                f"got {type(output).__name__}."
            )
        self._check(output, images.shape, self._keys)
        return output
