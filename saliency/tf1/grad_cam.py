"""A layer's activations weighted by the score's gradient per channel, for a graph and a session."""

from __future__ import annotations

from typing import Any

from saliency.core import grad_cam as core_grad_cam
from saliency.tf1.base import FeedDict, TF1CoreSaliency


class GradCam(TF1CoreSaliency):
    """:class:`saliency.core.GradCam` of a graph and a session."""

    def __init__(self, graph: Any, session: Any, y: Any, x: Any, conv_layer: Any) -> None:
        super().__init__(graph, session, y, x, conv_layer)
        self.core_instance = core_grad_cam.GradCam()

    def GetMask(
        self, x_value: Any, feed_dict: FeedDict = None, should_resize: bool = True, three_dims: bool = True
    ) -> Any:
        """Return the mask; for parameters see :meth:`saliency.core.GradCam.GetMask`."""
        return self._core_mask(x_value, feed_dict, should_resize=should_resize, three_dims=three_dims)
