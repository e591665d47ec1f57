"""HiResCAM: gradient times activation, summed over channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from saliency.core.cam import Cam
from saliency.core.method import parameter
from saliency.model.protocols import Layer, Ops


@dataclass(eq=False, repr=False)
class HiResCam(Cam):
    """The sum over channels of gradient * activation, at each position (arXiv:2011.08891).

    Where the layer is followed by global average pooling and a linear layer, it equals Grad-CAM and sums to the score
    minus the bias; its signs are therefore kept by default. Cost: one forward and backward pass.
    """

    id = "hires_cam"
    title = "HiResCAM"
    paper = "arXiv:2011.08891"
    family = "layers"
    formula = r"M = \sum_k \frac{\partial f}{\partial A^k} \odot A^k"
    advice = (
        "The faithful CAM: gradients are not averaged over space, so that it shows the positions the model used. "
        "Limited to the layer's resolution. At the last layer of networks that end in global average pooling and one "
        "dense layer (ResNet, EfficientNet) it is identical to Grad-CAM and XGrad-CAM: one of them is enough there."
    )

    relu: bool = parameter(False, "Set negative values, which are evidence against the target, to zero")

    def combined(self, layer: Layer[Any], ops: Ops[Any]) -> Any:
        return ops.sum(layer.gradients * layer.activations[None], -1)
