"""PAIR's interface of Guided IG, and the functions of its module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from saliency.core.base import INPUT_OUTPUT_GRADIENTS, CoreSaliency, floating
from saliency.core.called import CallModelFunction
from saliency.core.walk import Walk


class PairGuidedIG(CoreSaliency):
    """Guided IG's `GetMask`."""

    expected_keys: ClassVar[list[str]] = [INPUT_OUTPUT_GRADIENTS]

    def GetMask(
        self,
        x_value: Any,
        call_model_function: CallModelFunction,
        call_model_args: Any = None,
        x_baseline: Any = None,
        x_steps: int = 200,
        fraction: float = 0.25,
        max_dist: float = 0.02,
    ) -> np.ndarray:
        """Return PAIR's Guided IG: one call with a batch of one per step.

        Args:
            x_value: (H, W, C), or any shape.
            call_model_function: see :class:`~saliency.core.base.CoreSaliency`.
            call_model_args: passed on.
            x_baseline: start of the path, shape of `x_value`; zeros by default.
            x_steps: number of steps.
            fraction: share of the values that move at once.
            max_dist: maximum deviation from the straight line; 0 follows the line itself.

        Returns:
            float64, shape of `x_value`; zeros where it equals the baseline, without a call.
        """
        image = np.asarray(x_value)
        baseline = np.zeros_like(image) if x_baseline is None else np.asarray(x_baseline)
        assert baseline.shape == image.shape, f"x_baseline must have the shape {image.shape}, got {baseline.shape}"
        self._refuse_fields()
        gradient = self._get_grad_func(call_model_function, call_model_args, floating(image))
        return guided_ig_impl(image, baseline, gradient, x_steps, fraction, max_dist)

    def _get_grad_func(
        self, call_model_function: CallModelFunction, call_model_args: Any = None, dtype: Any = np.float64
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Return a function from a point to the gradient at that point, by PAIR's name.

        Args:
            call_model_function: see :class:`~saliency.core.base.CoreSaliency`.
            call_model_args: passed on.
            dtype: type of the points passed to the model.
        """
        model = self._model(call_model_function, call_model_args, dtype)

        def gradient(point: np.ndarray) -> np.ndarray:
            return model.gradients(model.ops.asarray(point[None])).gradients[0, 0]

        return gradient


def guided_ig_impl(
    x_input: Any,
    x_baseline: Any,
    grad_func: Callable[[np.ndarray], Any],
    steps: int = 200,
    fraction: float = 0.25,
    max_dist: float = 0.02,
) -> np.ndarray:
    """Return PAIR's Guided IG of a plain gradient function.

    Args:
        x_input: end of the path, any shape.
        x_baseline: start of the path.
        grad_func: from a point, float64, to the gradient at that point.
        steps: number of steps, each with one call.
        fraction: share of the values that move at once.
        max_dist: maximum deviation from the straight line.

    Returns:
        float64, shape of `x_input`; zeros where it equals the baseline, without a call.
    """
    walk = Walk(np.asarray(x_baseline), np.asarray(x_input), steps, fraction, max_dist)
    for _ in range(steps if walk.whole > 0 else 0):
        walk.advance(np.asarray(grad_func(walk.point())))
    return walk.mask()


def l1_distance(x1: Any, x2: Any) -> Any:
    """Return the sum of absolute differences."""
    return np.abs(np.asarray(x1) - np.asarray(x2)).sum()


def translate_x_to_alpha(x: Any, x_input: Any, x_baseline: Any) -> np.ndarray:
    """Return how far each value has moved from the baseline to the input, as a share; NaN where the two are equal."""
    way = np.asarray(x_input) - np.asarray(x_baseline)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(way != 0, (np.asarray(x) - x_baseline) / way, np.nan))


def translate_alpha_to_x(alpha: float, x_input: Any, x_baseline: Any) -> Any:
    """Return the point at a share of the way from the baseline to the input; the share must be 0 to 1."""
    assert 0 <= alpha <= 1, f"alpha must be 0 to 1, got {alpha}"
    return np.asarray(x_baseline) + (np.asarray(x_input) - np.asarray(x_baseline)) * alpha
