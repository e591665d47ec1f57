"""Regions of the image, ranked by their attribution, for a graph and a session."""

from __future__ import annotations

from typing import Any

from saliency.core import xrai as core_xrai
from saliency.core.xrai import XRAIParameters
from saliency.tf1.base import FeedDict, TF1CoreSaliency

__all__ = ["XRAI", "XRAIParameters"]


class XRAI(TF1CoreSaliency):
    """:class:`saliency.core.XRAI` of a graph and a session."""

    core_instance: core_xrai.XRAI

    def __init__(self, graph: Any, session: Any, y: Any, x: Any) -> None:
        super().__init__(graph, session, y, x)
        self.core_instance = core_xrai.XRAI()

    def GetMask(
        self,
        x_value: Any,
        feed_dict: FeedDict = None,
        baselines: Any = None,
        segments: Any = None,
        base_attribution: Any = None,
        batch_size: int = 1,
        extra_parameters: XRAIParameters | None = None,
    ) -> Any:
        """Return the mask; for parameters see :meth:`saliency.core.XRAI.GetMask`.

        Raises:
            ValueError: see :meth:`~saliency.tf1.base.TF1CoreSaliency.validate_xy_tensor_shape`.
        """
        self._validate(extra_parameters, batch_size)
        return self._core_mask(
            x_value,
            feed_dict,
            baselines=baselines,
            segments=segments,
            base_attribution=base_attribution,
            batch_size=batch_size,
            extra_parameters=extra_parameters,
        )

    def GetMaskWithDetails(
        self,
        x_value: Any,
        feed_dict: FeedDict = None,
        baselines: Any = None,
        segments: Any = None,
        base_attribution: Any = None,
        batch_size: int = 1,
        extra_parameters: XRAIParameters | None = None,
    ) -> core_xrai.XRAIOutput:
        """Return the mask with its segments: see :meth:`saliency.core.XRAI.GetMaskWithDetails`.

        Raises:
            ValueError: see :meth:`~saliency.tf1.base.TF1CoreSaliency.validate_xy_tensor_shape`.
        """
        self._validate(extra_parameters, batch_size)
        return self.core_instance.GetMaskWithDetails(
            x_value,
            call_model_function=self.call_model_function,
            call_model_args=feed_dict,
            baselines=baselines,
            segments=segments,
            base_attribution=base_attribution,
            batch_size=batch_size,
            extra_parameters=extra_parameters,
        )

    def _validate(self, extra_parameters: XRAIParameters | None, batch_size: int) -> None:
        steps = (XRAIParameters() if extra_parameters is None else extra_parameters).steps
        self.validate_xy_tensor_shape(steps, batch_size)
