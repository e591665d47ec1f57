"""PAIR's ``call_model_function`` as a model: the expected keys are its capabilities."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from saliency.errors import BadOutput
from saliency.model.ops import NumpyOps
from saliency.model.protocols import Answer, Layer

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
    """Convert the values of the expected keys to arrays, in the caller's own dict, and check their shapes.

    Raises:
        KeyError: a key is missing.
        ValueError: a value is no array of numbers, or its shape does not fit the batch; shapes in PAIR's words.
    """
    for key in expected_keys:
        if key not in output:
            error = KeyError(key)
            error.add_note(f"call_model_function must return {key}; it returned {sorted(map(str, output))}.")
            raise error
        output[key] = _numbers(key, output[key])
        actual = output[key].shape
        if not actual:
            raise BadOutput(f"{key} must have one entry per image of the batch, got the single number {output[key]}.")
        whole = key == INPUT_OUTPUT_GRADIENTS
        expected: Any = tuple(input_shape) if whole else input_shape[0]
        if (got := actual if whole else actual[0]) != expected:
            raise BadOutput(SHAPE_ERROR_MESSAGE[key].format(expected, got))


def _numbers(key: str, value: Any) -> np.ndarray:
    """Return the value of a key as a NumPy array; lists and tensors of any framework are accepted."""
    if value is None:
        raise BadOutput(f"{key} is None: the score has no gradient there. Is it computed from x_value_batch?")
    try:
        # a torch tensor may have a gradient graph, or be on another device
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadOutput(f"{key} must be an array, got {type(value).__name__}: {error}") from error
    if array.dtype.kind not in "fiub":
        raise BadOutput(f"{key} must have real numbers, got {type(value).__name__} of dtype {array.dtype}.")
    return array


class CalledModel:
    """A ``call_model_function`` as a model with one target, k = 1.

    Args:
        function: the caller's function.
        args: passed on unchanged, the same object every time.
        expected_keys: the list passed in every call.
        dtype: the image's own floating type, which batches keep.
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
        self.batch_sizes: dict[Hashable, int] = {}
        self._first = True

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Return the scores, (1, N)."""
        output = self._call(images)[OUTPUT_LAYER_VALUES]
        if output.size != len(images):
            raise BadOutput(
                f"{OUTPUT_LAYER_VALUES} must have one score per image, ({len(images)},), got shape {output.shape}. "
                "Return the target's score only, as in output[:, target]."
            )
        # subtracting scores in a small integer type would overflow
        return output.reshape(1, len(images)).astype(
            output.dtype if output.dtype.kind == "f" else np.float64, copy=False
        )

    def gradients(self, images: np.ndarray) -> Answer[np.ndarray]:
        """Return gradients (1, N, H, W, C), without scores: these are not among the expected keys."""
        return Answer(None, self._call(images)[INPUT_OUTPUT_GRADIENTS][None])

    def layers(self, images: np.ndarray) -> list[Layer[np.ndarray]]:
        """Return the function's one layer."""
        output = self._call(images)
        return [Layer(output[CONVOLUTION_LAYER_VALUES], output[CONVOLUTION_OUTPUT_GRADIENTS][None])]

    def activations(self, images: np.ndarray) -> list[np.ndarray]:
        """Return the activations of the function's one layer."""
        return [self._call(images)[CONVOLUTION_LAYER_VALUES]]

    def _call(self, images: np.ndarray) -> dict[str, Any]:
        # the batch may be a view of the caller's own image, which must not be modified
        lent = images.base is not None or not images.flags.c_contiguous
        handed = np.array(images, order="C") if self._first or lent else images
        output = self._function(handed, call_model_args=self._args, expected_keys=self._keys)
        if self._first and not np.array_equal(handed, images, equal_nan=True):
            warnings.warn(
                "call_model_function modifies its x_value_batch. It received a copy, so your image is unchanged; "
                "but let it work on its own copy: x = x_value_batch.copy().",
                stacklevel=2,
            )
        self._first = False
        if not isinstance(output, dict):
            raise BadOutput(
                f"call_model_function must return a dict with the expected keys {list(self._keys)}, "
                f"got {type(output).__name__}."
            )
        self._check(output, images.shape, self._keys)
        return output
