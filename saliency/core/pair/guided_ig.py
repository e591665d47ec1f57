"""PAIR's face of Guided IG, and the functions of its module."""

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
        """PAIR's Guided IG: one call with a batch of one a step.

        Args:
            x_value: (H, W, C), or any shape.
            call_model_function: see :class:`~saliency.core.base.CoreSaliency`.
            call_model_args: handed through.
            x_baseline: where the path begins, shape of `x_value`; zeros by default.
            x_steps: nodes of the path.
            fraction: share of the values that move at once.
            max_dist: how far they may stray from the straight line; 0 walks the line itself.

        Returns:
            float64, shape of `x_value`; zeros where it is the baseline, without a call.
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
        """Return a function from a point to the gradient there, by PAIR's name.

        Args:
            call_model_function: see :class:`~saliency.core.base.CoreSaliency`.
            call_model_args: handed through.
            dtype: of the points that the model is fed.
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
    """PAIR's Guided IG of a plain gradient function.

    Args:
        x_input: where the path ends, any shape.
        x_baseline: where it begins.
        grad_func: from a point, float64, to the gradient there.
        steps: how often it is asked.
        fraction: share of the values that move at once.
        max_dist: how far they may stray from the straight line.

    Returns:
        float64, shape of `x_input`; zeros where it is the baseline, without asking.
    """
    walk = Walk(np.asarray(x_baseline), np.asarray(x_input), steps, fraction, max_dist)
    for _ in range(steps if walk.whole > 0 else 0):
        walk.advance(np.asarray(grad_func(walk.point())))
    return walk.mask()


def l1_distance(x1: Any, x2: Any) -> Any:
    """Sum of absolute differences."""
    return np.abs(np.asarray(x1) - np.asarray(x2)).sum()


def translate_x_to_alpha(x: Any, x_input: Any, x_baseline: Any) -> np.ndarray:
    """How far each value has come from the baseline to the input, as a share of its way; NaN where there is none."""
    way = np.asarray(x_input) - np.asarray(x_baseline)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(way != 0, (np.asarray(x) - x_baseline) / way, np.nan))


def translate_alpha_to_x(alpha: float, x_input: Any, x_baseline: Any) -> Any:
    """The point a share of the way from the baseline to the input; the share must be 0 to 1."""
    assert 0 <= alpha <= 1, f"alpha must be 0 to 1, got {alpha}"
    return np.asarray(x_baseline) + (np.asarray(x_input) - np.asarray(x_baseline)) * alpha
