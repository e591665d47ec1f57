"""PAIR's interface of occlusion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from saliency.core.base import OUTPUT_LAYER_VALUES, CoreSaliency, floating
from saliency.core.called import CallModelFunction


class PairOcclusion(CoreSaliency):
    """Occlusion's `GetMask`."""

    expected_keys: ClassVar[list[str]] = [OUTPUT_LAYER_VALUES]

    def GetMask(
        self,
        x_value: Any,
        call_model_function: CallModelFunction,
        call_model_args: Any = None,
        size: int = 15,
        value: float = 0,
    ) -> np.ndarray:
        """Return PAIR's occlusion: the drop of each window inside the image, added to each of its pixels.

        Args:
            x_value: (H, W, C) or (H, W).
            call_model_function: see :class:`~saliency.core.base.CoreSaliency`.
            call_model_args: passed on.
            size: side of the window.
            value: value of covered pixels.

        Returns:
            shape of `x_value`, the same in all channels.
        """
        image = np.asarray(x_value)
        fields: Mapping[str, Any] = {"size": size, "stride": 1, "value": value, "reduce": "sum"}
        mask = self._called(image, call_model_function, call_model_args, dtype=image.dtype, **fields)
        mask = mask.reshape(mask.shape + (1,) * (image.ndim - 2)).astype(floating(image))
        return np.array(np.broadcast_to(mask, image.shape))

    def getY(self, x_value: Any, call_model_function: CallModelFunction, call_model_args: Any) -> Any:
        """Return the score of one image, like PAIR's own helper."""
        image = np.asarray(x_value)[None]
        output = call_model_function(image, call_model_args=call_model_args, expected_keys=self.expected_keys)
        self.format_and_check_call_model_output(output, image.shape, self.expected_keys)
        return output[OUTPUT_LAYER_VALUES][0]
