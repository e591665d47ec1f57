"""Gradients along the straight line from a baseline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.called import CallModelFunction
from saliency.core.base import INPUT_OUTPUT_GRADIENTS, CoreSaliency, floating
from saliency.method import Baseline, baseline_count, parameter
from saliency.model import Differentiable
from saliency.samples import StraightPath
from saliency.session import Session


@dataclass(eq=False, repr=False)
class IntegratedGradients(CoreSaliency):
    """Mean gradient along the line from the baseline, times the way travelled (arXiv:1703.01365, eq. 3).

    Sums to f(image) - f(baseline) as the steps grow. `steps` forward and backward passes a baseline.
    """

    id = "integrated_gradients"
    title = "Integrated Gradients"
    paper = "arXiv:1703.01365"
    family = "paths"
    formula = r"M = (x - x') \int_0^1 \nabla f\bigl(x' + \alpha (x - x')\bigr)\, d\alpha"
    advice = (
        "The standard where the parts must add up to the whole. What looks like the baseline gets nothing: "
        "explain black things with a white, blurred or averaged baseline."
    )
    needs = Differentiable
    complete = True
    expected_keys: ClassVar[list[str]] = [INPUT_OUTPUT_GRADIENTS]

    steps: int = parameter(25, "nodes of the path", low=1, high=10_000)
    baseline: Baseline = parameter("black", "where the path begins; several are averaged")

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        baselines = session.baselines(self.baseline, images)
        alphas, weights = nodes(self.steps)
        order = session.order(self.steps)
        done: Any = 0.0
        for i, baseline in enumerate(baselines):
            path = StraightPath(session.ops, baseline, images, alphas[order])
            for total, seen in session.summed_gradients(path, weights[order]):
                way = path.difference[: total.shape[1]]
                mask = total / seen * way
                # an earlier baseline has reached all the images; fair means over those that this one has reached
                yield mask if i == 0 else (done[:, : mask.shape[1]] + mask) / (i + 1)
            done = done + mask

    def cost(self, shape: tuple[int, ...]) -> int:
        return shape[0] * self.steps * baseline_count(self.baseline)

    def GetMask(
        self,
        x_value: Any,
        call_model_function: CallModelFunction,
        call_model_args: Any = None,
        x_baseline: Any = None,
        x_steps: int = 25,
        batch_size: int = 1,
    ) -> Any:
        """PAIR's Integrated Gradients: nodes k / (x_steps - 1), each weighing 1 / x_steps.

        Args:
            x_value: (H, W, C), or any shape.
            call_model_function: see :class:`~saliency.core.base.CoreSaliency`.
            call_model_args: handed through.
            x_baseline: where the path begins, shape of `x_value`; zeros by default.
            x_steps: nodes of the path, both ends among them.
            batch_size: nodes a call; 0 for all in one.

        Returns:
            shape of `x_value`.
        """
        image = np.asarray(x_value)
        baseline = np.zeros_like(image) if x_baseline is None else np.asarray(x_baseline)
        assert baseline.shape == image.shape, f"x_baseline must have the shape {image.shape}, got {baseline.shape}"
        many = batch_size or max(x_steps, 1)
        mask = self._called(image, call_model_function, call_model_args, many, steps=x_steps, baseline=baseline)
        return mask.astype(np.result_type(floating(image), floating(baseline)), copy=False)


def nodes(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """PAIR's quadrature: both ends among the nodes, all of equal weight.

    Returns:
        alphas (steps,) in [0, 1] and weights (steps,) that sum to one.
    """
    # a single node: the middle, which is the better rule (PAIR asks nothing there, and returns zeros)
    alphas = np.linspace(0, 1, steps) if steps > 1 else np.array([0.5])
    return alphas, np.full(steps, 1 / steps)
