"""Base of PAIR's classes: methods that can also be called with PAIR's signatures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.core.called import (
    CONVOLUTION_LAYER_VALUES,
    CONVOLUTION_OUTPUT_GRADIENTS,
    INPUT_OUTPUT_GRADIENTS,
    OUTPUT_LAYER_VALUES,
    SHAPE_ERROR_MESSAGE,
    CalledModel,
    CallModelFunction,
    check_output,
)
from saliency.core.method import Method
from saliency.errors import BadField, BadShape
from saliency.session.session import Session

__all__ = [
    "CONVOLUTION_LAYER_VALUES",
    "CONVOLUTION_OUTPUT_GRADIENTS",
    "INPUT_OUTPUT_GRADIENTS",
    "OUTPUT_LAYER_VALUES",
    "SHAPE_ERROR_MESSAGE",
    "CoreSaliency",
]


@dataclass(eq=False, repr=False)
class CoreSaliency(Method):
    """A method with PAIR's interface.

    ``GetMask`` calls the model by ``call_model_function(x_value_batch, call_model_args=None, expected_keys=None)``.
    It receives a batch (N, ...) in the image's own floating type and returns a dict with, for each expected key, an
    array whose first axis is N: INPUT_OUTPUT_GRADIENTS (the gradient of the score with respect to the batch, of the
    batch's shape), OUTPUT_LAYER_VALUES (the scores), CONVOLUTION_LAYER_VALUES and CONVOLUTION_OUTPUT_GRADIENTS (a
    layer's activations and the score's gradients with respect to them, channels last). ``call_model_args`` is passed on
    unchanged.
    """

    expected_keys: ClassVar[list[str]] = []

    def GetMask(self, x_value: np.ndarray, call_model_function: CallModelFunction, call_model_args: Any = None) -> Any:
        """Return the mask of one image, without a batch axis."""
        raise NotImplementedError("A derived class should implemented GetMask()")

    def GetSmoothedMask(
        self,
        x_value: np.ndarray,
        call_model_function: CallModelFunction,
        call_model_args: Any = None,
        stdev_spread: float = 0.15,
        nsamples: int = 25,
        magnitude: bool = True,
        **kwargs: Any,
    ) -> np.ndarray:
        """Return this method's SmoothGrad: the mean of its masks on noisy images (arXiv:1706.03825).

        Args:
            x_value: (H, W, C).
            call_model_function: see the class.
            call_model_args: passed on.
            stdev_spread: standard deviation of the noise as a share of max(x) - min(x).
            nsamples: number of noisy images.
            magnitude: whether to average the squares of the masks, PAIR's default.
            **kwargs: passed to GetMask.

        Returns:
            float32, shape of `x_value`.
        """
        # the global generator, one draw per sample, so that notebooks that seed np.random are reproducible
        image = np.asarray(x_value)
        stdev = stdev_spread * (np.max(image) - np.min(image))
        total = np.zeros(image.shape, np.float32)
        for _ in range(nsamples):
            noise = np.random.normal(0, stdev, image.shape)
            noisy = (image + noise).astype(floating(image))
            mask = np.asarray(self.GetMask(noisy, call_model_function, call_model_args, **kwargs))
            try:
                total += np.asarray(mask * mask if magnitude else mask, np.float32)
            except ValueError as error:
                raise BadShape(
                    f"GetSmoothedMask adds up masks of the image's shape {image.shape}, but this method's are "
                    f"{mask.shape}. saliency.SmoothGrad smooths masks of any shape."
                ) from error
        return np.asarray(total / nsamples)

    def format_and_check_call_model_output(
        self, output: dict[str, Any], input_shape: tuple[int, ...], expected_keys: Sequence[str]
    ) -> None:
        """See :func:`saliency.core.called.check_output`."""
        check_output(output, input_shape, expected_keys)

    def _called(
        self,
        x_value: Any,
        call_model_function: CallModelFunction,
        call_model_args: Any,
        batch_size: int = 1,
        masks: Callable[[Any, Any, Any], Iterator[Any]] | None = None,
        dtype: Any = None,
        **changes: Any,
    ) -> np.ndarray:
        """Return the mask of this method with `changes`, by PAIR's interface: one target, one image.

        Args:
            masks: the generator of masks that is run, of the method, images and a session; the method by default.
            dtype: type of the model's input; the image's own floating type by default.
        """
        self._refuse_fields()
        image = np.asarray(x_value)
        image = image.astype(floating(image) if dtype is None else dtype, copy=False)
        model = self._model(call_model_function, call_model_args, image.dtype)
        session: Session[np.ndarray] = Session(model, batch_size=batch_size, literal=True)
        changed = self.but(**changes)
        *_, mask = changed(image[None], session) if masks is None else masks(changed, image[None], session)
        return np.asarray(mask[0, 0])

    def _model(self, call_model_function: CallModelFunction, call_model_args: Any, dtype: Any) -> CalledModel:
        """Return the function as a model that receives arrays of one floating type."""
        check = self.format_and_check_call_model_output
        return CalledModel(call_model_function, call_model_args, self.expected_keys, dtype, check)

    def _refuse_fields(self) -> None:
        if changed := self.changed():
            names = ", ".join(changed)
            raise BadField(
                f"GetMask takes its parameters as arguments, but this {type(self).__name__} was created with {names}. "
                f"Create it without, and pass them to GetMask; or use saliency.explain(method=…)."
            )


def floating(image: np.ndarray) -> Any:
    """Return the image's own floating type; float32 for integers, which allow no noise, paths or gradients."""
    return image.dtype if np.issubdtype(image.dtype, np.floating) else np.float32
