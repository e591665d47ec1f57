"""Gradients along the path from a blurred to the sharp image, for a graph and a session."""

from __future__ import annotations

from typing import Any

from saliency.core import blur_ig as core_blur_ig
from saliency.tf1.base import FeedDict, TF1CoreSaliency


class BlurIG(TF1CoreSaliency):
    """:class:`saliency.core.BlurIG` of a graph and a session."""

    def __init__(self, graph: Any, session: Any, y: Any, x: Any) -> None:
        super().__init__(graph, session, y, x)
        self.core_instance = core_blur_ig.BlurIG()

    def GetMask(
        self,
        x_value: Any,
        feed_dict: FeedDict = None,
        max_sigma: float = 50,
        steps: int = 100,
        grad_step: float = 0.01,
        sqrt: bool = False,
        batch_size: int = 1,
    ) -> Any:
        """Return the mask; for parameters see :meth:`saliency.core.BlurIG.GetMask`.

        Raises:
            ValueError: see :meth:`~saliency.tf1.base.TF1CoreSaliency.validate_xy_tensor_shape`.
        """
        self.validate_xy_tensor_shape(steps, batch_size)
        return self._core_mask(
            x_value,
            feed_dict,
            max_sigma=max_sigma,
            steps=steps,
            grad_step=grad_step,
            sqrt=sqrt,
            batch_size=batch_size,
        )
