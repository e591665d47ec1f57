"""Grad-SAM: attention weighted by its positive gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from saliency.core.attention import AttentionMethod
from saliency.model.protocols import Attention, Ops


@dataclass(eq=False, repr=False)
class GradSam(AttentionMethod):
    """The mean of A * relu(gradient) over layers, heads and queries (Grad-SAM, arXiv:2204.11073).

    Gradient-weighted attention: how much the score depends on each token being attended to. Cost: one forward and
    backward pass.
    """

    id = "grad_sam"
    title = "Grad-SAM"
    paper = "arXiv:2204.11073"
    formula = r"M = \mathrm{mean}_{l,h,q}\, A_{lh} \odot \max(0, \nabla_{A_{lh}} f)"
    advice = (
        "Gradient-weighted attention without propagation from layer to layer: simple, and class-specific. Early layers "
        "have the same weight as late ones."
    )

    def relevance(self, attention: Attention[Any], ops: Ops[Any]) -> Any:
        total: Any = 0.0
        for layer in attention.layers:
            heads, tokens = (int(n) for n in layer.activations.shape[1:3])
            weighed = layer.activations[None] * ops.maximum(layer.gradients, 0.0)
            total = total + ops.sum(weighed, (2, 3)) / (heads * tokens)
        return total / len(attention.layers)
