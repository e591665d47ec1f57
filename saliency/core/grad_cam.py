"""Grad-CAM: a layer's activations, weighted by the mean gradient of each channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.core.base import CONVOLUTION_LAYER_VALUES, CONVOLUTION_OUTPUT_GRADIENTS, CoreSaliency
from saliency.core.called import CallModelFunction
from saliency.core.cam import Cam, weighted
from saliency.model.protocols import Layer, Ops


@dataclass(eq=False, repr=False)
class GradCam(Cam, CoreSaliency):
    """A layer's activations, each channel weighted by its mean gradient, rectified (arXiv:1610.02391, eq. 2).

    The map keeps the layer's own scale (not normalized) and is resized to the image. Cost: one forward and backward
    pass.
    """

    id = "grad_cam"
    title = "Grad-CAM"
    paper = "arXiv:1610.02391"
    family = "layers"
    formula = r"M = \max\Bigl(0, \sum_k \Bigl(\frac1{hw} \sum_{ij} \frac{\partial f}{\partial A^k_{ij}}\Bigr) A^k\Bigr)"
    advice = (
        "Shows where the evidence is, in one pass: robust, and easy to read. Limited to the layer's resolution; parts "
        "of the object that other channels respond to may be missing."
    )
    expected_keys: ClassVar[list[str]] = [CONVOLUTION_LAYER_VALUES, CONVOLUTION_OUTPUT_GRADIENTS]

    def combined(self, layer: Layer[Any], ops: Ops[Any]) -> Any:
        _, _, h, w, _ = layer.gradients.shape
        return weighted(ops.sum(layer.gradients, (2, 3)) / (int(h) * int(w)), layer.activations, ops)

    def GetMask(
        self,
        x_value: Any,
        call_model_function: CallModelFunction,
        call_model_args: Any = None,
        should_resize: bool = True,
        three_dims: bool = True,
    ) -> np.ndarray:
        """Return PAIR's Grad-CAM: one call with a batch of one.

        Args:
            x_value: (H, W, C).
            call_model_function: see :class:`~saliency.core.base.CoreSaliency`; its layer is channels last.
            call_model_args: passed on.
            should_resize: whether to divide by the maximum and resize to (H, W).
            three_dims: whether to repeat to three channels, for any number of channels of the image.

        Returns:
            float32; (H, W, 3), (H, W), (h, w, 3) or (h, w).
        """
        image = np.asarray(x_value)
        cam = self._called(image, call_model_function, call_model_args, masks=GradCam.cams, dtype=image.dtype)
        cam = cam.astype(np.float32)
        if should_resize:
            from skimage.transform import resize

            cam = cam / cam.max() if cam.max() > 0 else cam
            cam = np.asarray(resize(cam, image.shape[:2]), np.float32)
        return np.repeat(cam[..., None], 3, -1) if three_dims else cam
