"""Grad-CAM with weights by which each place counts by its share in the score, not by its area."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from saliency.core.cam import Cam, weighted
from saliency.model.protocols import Layer, Ops


@dataclass(eq=False, repr=False)
class GradCamPlusPlus(Cam):
    """A layer's activations, each channel weighed by sum(alpha * relu(gradient)) (arXiv:1710.11063, eq. 19).

    Derived for exp of the score, whose derivatives are powers g, g², g³ of the score's own: where g is not zero,
    alpha = g² / (2 g² + sum(A) g³) = 1 / (2 + g sum(A)). The factor exp(score), the same at each place and channel, is
    left out. Meant for layers behind a ReLU: elsewhere sum(A) may be negative and alpha grow without bound. One forward
    and backward pass.
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
        "Several objects of one class, where Grad-CAM shows the largest: places count by their share in the score. "
        "Leaves out what speaks against the class, so it tells classes apart less well. At the last layer of networks "
        "that end in a mean over space it is nearly LayerCAM, and close to Grad-CAM."
    )

    def combined(self, layer: Layer[Any], ops: Ops[Any]) -> Any:
        positive = ops.maximum(layer.gradients, 0.0)
        divisor = 2.0 + positive * ops.sum(layer.activations, (1, 2))[None, :, None, None]
        # where the divisor is zero alpha has no value: such a place is left out
        alpha = ops.where(divisor != 0.0, 1.0 / ops.where(divisor != 0.0, divisor, 1.0), 0.0)
        return weighted(ops.sum(alpha * positive, (2, 3)), layer.activations, ops)
