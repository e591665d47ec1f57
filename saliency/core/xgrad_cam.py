"""XGrad-CAM: Grad-CAM with gradients weighted by the activation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from saliency.core.cam import Cam, weighted
from saliency.model.protocols import Layer, Ops


@dataclass(eq=False, repr=False)
class XGradCam(Cam):
    """Each channel weighted by its mean gradient, with activations as the weights (arXiv:2008.02312).

    The weights are sum(gradient * activation) / sum(activation), zero for a channel whose activations sum to zero.
    Cost: one forward and backward pass.
    """

    id = "xgrad_cam"
    title = "XGrad-CAM"
    paper = "arXiv:2008.02312"
    family = "layers"
    formula = (
        r"M = \max\Bigl(0, \sum_k \frac{\sum_{ij} A^k_{ij}\, g^k_{ij}}{\sum_{ij} A^k_{ij}} A^k\Bigr),"
        r"\quad g = \partial f / \partial A"
    )
    advice = (
        "Grad-CAM with weights that fit each channel's own activation: derived from sensitivity and conservation. "
        "Equal to Grad-CAM where the gradient is spatially constant, as at the last layer of networks that end in "
        "global average pooling and one dense layer (ResNet, EfficientNet): one of the two is enough there."
    )

    def combined(self, layer: Layer[Any], ops: Ops[Any]) -> Any:
        mass = ops.sum(layer.activations, (1, 2))
        shares = ops.sum(layer.gradients * layer.activations[None], (2, 3))
        weights = ops.where(mass[None] != 0.0, shares / ops.where(mass != 0.0, mass, 1.0), 0.0)
        return weighted(weights, layer.activations, ops)
