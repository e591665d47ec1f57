"""Gradients along the straight line from a baseline, for a graph and a session."""

from __future__ import annotations

from typing import Any

from saliency.core import integrated_gradients as core_integrated_gradients
from saliency.tf1.base import FeedDict, TF1CoreSaliency


class IntegratedGradients(TF1CoreSaliency):
    """:class:`saliency.core.IntegratedGradients` of a graph and a session."""

    def __init__(self, graph: Any, session: Any, y: Any, x: Any) -> None:
        super().__init__(graph, session, y, x)
        self.core_instance = core_integrated_gradients.IntegratedGradients()

    def GetMask(
        self,
        x_value: Any,
        feed_dict: FeedDict = None,
        x_baseline: Any = None,
        x_steps: int = 25,
        batch_size: int = 1,
    ) -> Any:
        """Return the mask; for parameters see :meth:`saliency.core.IntegratedGradients.GetMask`.

        Raises:
            ValueError: see :meth:`~saliency.tf1.base.TF1CoreSaliency.validate_xy_tensor_shape`.
        """
        self.validate_xy_tensor_shape(x_steps, batch_size)
        return self._core_mask(x_value, feed_dict, x_baseline=x_baseline, x_steps=x_steps, batch_size=batch_size)
