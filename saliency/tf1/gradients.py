"""The gradient of the score by the image, for a graph and a session."""

from __future__ import annotations

from typing import Any

from saliency.core import gradients as core_gradients
from saliency.tf1.base import FeedDict, TF1CoreSaliency


class GradientSaliency(TF1CoreSaliency):
    """:class:`saliency.core.GradientSaliency` of a graph and a session."""

    def __init__(self, graph: Any, session: Any, y: Any, x: Any) -> None:
        super().__init__(graph, session, y, x)
        self.core_instance = core_gradients.GradientSaliency()

    def GetMask(self, x_value: Any, feed_dict: FeedDict = None) -> Any:
        """Return the vanilla gradient, of the shape of `x_value`."""
        return self._core_mask(x_value, feed_dict)
