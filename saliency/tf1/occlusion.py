"""The drop of the score when a window of the image is covered, for a graph and a session."""

from __future__ import annotations

from typing import Any

from saliency.core import occlusion as core_occlusion
from saliency.tf1.base import FeedDict, TF1CoreSaliency


class Occlusion(TF1CoreSaliency):
    """:class:`saliency.core.Occlusion` of a graph and a session."""

    def __init__(self, graph: Any, session: Any, y: Any, x: Any) -> None:
        super().__init__(graph, session, y, x)
        self.core_instance = core_occlusion.Occlusion()

    def GetMask(self, x_value: Any, feed_dict: FeedDict = None, size: int = 15, value: float = 0) -> Any:
        """Return the mask; for parameters see :meth:`saliency.core.Occlusion.GetMask`."""
        return self._core_mask(x_value, feed_dict, size=size, value=value)
