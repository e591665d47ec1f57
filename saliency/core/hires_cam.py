"""Gradient times activation, summed over channels: every place with the gradient of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from saliency.core.cam import Cam
from saliency.core.method import parameter
from saliency.model.protocols import Layer, Ops


@dataclass(eq=False, repr=False)
class HiResCam(Cam):
    """sum over channels of gradient * activation, place by place (arXiv:2011.08891).

    Where the layer is followed by a mean over space and a linear layer it is Grad-CAM, and sums to the score less the
    bias, so its signs are kept by default. One forward and backward pass.
    """

    id = "hires_cam"
    title = "HiResCAM"
    paper = "arXiv:2011.08891"
    family = "layers"
    formula = r"M = \sum_k \frac{\partial f}{\partial A^k} \odot A^k"
    advice = (
        "The faithful CAM: nothing is averaged over space, so it shows where the model really looked. Coarse, as the "
        "layer is. At the last layer of networks that end in a mean over space and one dense layer (ResNet, "
        "EfficientNet) it is identical to Grad-CAM and XGrad-CAM: one of them is enough there."
    )

    relu: bool = parameter(False, "cut off what speaks against the target")

    def combined(self, layer: Layer[Any], ops: Ops[Any]) -> Any:
        return ops.sum(layer.gradients * layer.activations[None], -1)
