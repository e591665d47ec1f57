"""Grad-CAM++: Grad-CAM with pixel-wise weights of the gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from saliency.core.cam import Cam, weighted
from saliency.model.protocols import Layer, Ops


@dataclass(eq=False, repr=False)
class GradCamPlusPlus(Cam):
    """A layer's activations, each channel weighted by sum(alpha * relu(gradient)) (arXiv:1710.11063, eq. 19).

    Derived for exp(score), whose derivatives are powers g, g², g³ of the score's own gradient: where g is not zero,
    alpha = g² / (2 g² + sum(A) g³) = 1 / (2 + g sum(A)). The common factor exp(score) is omitted. Designed for layers
    after a ReLU: elsewhere sum(A) may be negative and alpha unbounded. Cost: one forward and backward pass.
    """

    id = "grad_cam_plus_plus"
    title = "Grad-CAM++"
    paper = "arXiv:1710.11063"
    family = "layers"
    formula = (
        r"M = \max\Bigl(0, \sum_k \Bigl(\sum_{ij} \frac{\max(0, g^k_{ij})}{2 + g^k_{ij} \sum A^k}\Bigr) A^k\Bigr),"
        r"\quad g = \partial f / \partial A"
    )
    advice = (
        "Use it for several objects of one class, where Grad-CAM shows the largest. It ignores evidence against the "
        "class, and is therefore less class-specific. At the last layer of networks that end in global average "
        "pooling it is nearly LayerCAM, and close to Grad-CAM."
    )

    def combined(self, layer: Layer[Any], ops: Ops[Any]) -> Any:
        positive = ops.maximum(layer.gradients, 0.0)
        divisor = 2.0 + positive * ops.sum(layer.activations, (1, 2))[None, :, None, None]
        # where the divisor is zero, alpha is undefined: such positions are skipped
        alpha = ops.where(divisor != 0.0, 1.0 / ops.where(divisor != 0.0, divisor, 1.0), 0.0)
        return weighted(ops.sum(alpha * positive, (2, 3)), layer.activations, ops)
