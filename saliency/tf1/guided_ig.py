"""Gradients along a path that follows the smallest gradients, for a graph and a session."""

from __future__ import annotations

from typing import Any

from saliency.core import guided_ig as core_guided_ig
from saliency.tf1.base import FeedDict, TF1CoreSaliency


class GuidedIG(TF1CoreSaliency):
    """:class:`saliency.core.GuidedIG` of a graph and a session."""

    def __init__(self, graph: Any, session: Any, y: Any, x: Any) -> None:
        super().__init__(graph, session, y, x)
        self.core_instance = core_guided_ig.GuidedIG()

    def GetMask(
        self,
        x_value: Any,
        feed_dict: FeedDict = None,
        x_baseline: Any = None,
        x_steps: int = 200,
        fraction: float = 0.25,
        max_dist: float = 0.02,
    ) -> Any:
        """Return the mask; for parameters see :meth:`saliency.core.GuidedIG.GetMask`."""
        return self._core_mask(
            x_value, feed_dict, x_baseline=x_baseline, x_steps=x_steps, fraction=fraction, max_dist=max_dist
        )
