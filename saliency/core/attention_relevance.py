"""Attention Relevance: attention propagated through all layers, with heads weighted by their gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from saliency.core.attention import AttentionMethod, mean_of_heads, read_rows
from saliency.model.protocols import Attention, Ops


@dataclass(eq=False, repr=False)
class AttentionRelevance(AttentionMethod):
    """R <- R + C R from R = I, with C = mean over heads of relu(gradient * A) (arXiv:2103.15679, eq. 5 and 6).

    This is the self-attention case of the generic method. The mask is R - I at the tokens that the score is read from
    (those whose rows of the last map have a gradient; the mean over several). Subtracting I removes each token's
    relevance for itself. Cost: one forward and backward pass.
    """

    id = "attention_relevance"
    title = "Attention Relevance"
    paper = "arXiv:2103.15679"
    formula = (
        r"M = \Bigl(\prod_l (I + \bar C_l) - I\Bigr)_{\mathrm{read}},"
        r"\quad \bar C = \mathrm{mean}_h \max(0, \nabla_{A^h} f \odot A^h)"
    )
    advice = (
        "The first choice for a vision transformer: class-specific, in one pass. It considers attention only, not "
        "values and the layers in between."
    )

    def relevance(self, attention: Attention[Any], ops: Ops[Any]) -> Any:
        read = read_rows(attention, ops)
        mixed: Any = 0.0
        # from the last layer to the first, with only the rows that are read: no product of two full maps is needed
        for layer in reversed(attention.layers):
            share = mean_of_heads(ops.maximum(layer.gradients * layer.activations[None], 0.0), ops)
            mixed = mixed + ops.matmul(read + mixed, share)
        return mixed[:, :, 0]
