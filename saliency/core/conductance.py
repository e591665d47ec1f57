"""Conductance: Integrated Gradients through the units of a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from saliency.core.layer_paths import OverLayer
from saliency.model.protocols import Ops


@dataclass(eq=False, repr=False)
class Conductance(OverLayer):
    """The part of Integrated Gradients that flows through each unit of a layer (arXiv:1805.12233).

    The gradient at the layer times the change of its values, summed along the path in the input: the finite form of
    arXiv:1807.09946, with the mean of the gradients at both ends of each step. That is exact where the score is
    quadratic in the layer. Over a layer that cuts the model, the sum is f(image) - f(baseline). Cost: `steps` forward
    and backward passes per baseline, for all units together.
    """

    id = "conductance"
    title = "Conductance"
    paper = "arXiv:1805.12233"
    formula = (
        r"M_j = \sum_k \tfrac12 \Bigl(\tfrac{\partial f}{\partial h_j}\big|_k + "
        r"\tfrac{\partial f}{\partial h_j}\big|_{k+1}\Bigr) \bigl(h_j^{k+1} - h_j^k\bigr)"
    )
    advice = (
        "Which channels of a layer the decision went through, and where: `exp.channels` ranks them. Complete for "
        "layers that every path passes; inside a residual block it is the part of that branch only."
    )
    complete = True

    def piece(self, ops: Ops[Any], values: Any, gradients: Any, widths: Any) -> Any:
        means: Any = (gradients[:, 1:] + gradients[:, :-1]) * 0.5
        return ops.sum(means * (values[1:] - values[:-1])[None], 1)
