"""LayerCAM: HiResCAM with positive gradients only, suitable for early layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from saliency.core.cam import Cam
from saliency.model.protocols import Layer, Ops


@dataclass(eq=False, repr=False)
class LayerCam(Cam):
    """The sum over channels of relu(gradient) * activation, at each position (doi:10.1109/TIP.2021.3089943).

    Cost: one forward and backward pass.
    """

    id = "layer_cam"
    title = "LayerCAM"
    paper = "doi:10.1109/TIP.2021.3089943"
    family = "layers"
    formula = r"M = \max\Bigl(0, \sum_k \max\bigl(0, \tfrac{\partial f}{\partial A^k}\bigr) \odot A^k\Bigr)"
    advice = (
        "Use it for early layers, whose grids are fine: pass layer=…, or combine several layers with RefineCAM. At the "
        "last layer it adds little to Grad-CAM++."
    )

    def combined(self, layer: Layer[Any], ops: Ops[Any]) -> Any:
        return ops.sum(ops.maximum(layer.gradients, 0.0) * layer.activations[None], -1)
