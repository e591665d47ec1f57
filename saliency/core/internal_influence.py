"""Internal Influence: the mean gradient at a layer along a path in the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from saliency.core.layer_paths import OverLayer
from saliency.model.protocols import Ops


@dataclass(eq=False, repr=False)
class InternalInfluence(OverLayer):
    """The mean gradient of the score by each unit of a layer, from a baseline to the image (arXiv:1802.03788).

    How strongly a unit acts on the score along the path, whatever its value: the gradient is not multiplied by the
    activation, and the sum has no meaning. By the trapezoid rule. Cost: `steps` forward and backward passes per
    baseline, for all units together.
    """

    id = "internal_influence"
    title = "Internal Influence"
    paper = "arXiv:1802.03788"
    formula = r"M_j = \int_0^1 \frac{\partial f}{\partial h_j}\bigl(x' + \alpha (x - x')\bigr)\, d\alpha"
    advice = "Which units the score reacts to, active or not. Use Conductance for how much of the score they carried."

    def piece(self, ops: Ops[Any], values: Any, gradients: Any, widths: Any) -> Any:
        return ops.sum((gradients[:, 1:] + gradients[:, :-1]) * 0.5 * widths[None], 1)
