"""Attention followed through all layers, each head weighed by how the score depends on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from saliency.core.attention import AttentionMethod, mean_of_heads, read_rows
from saliency.model.protocols import Attention, Ops


@dataclass(eq=False, repr=False)
class AttentionRelevance(AttentionMethod):
    """R <- R + C R from R = I, with C = mean over heads of relu(gradient * A) (arXiv:2103.15679, eq. 5 and 6).

    Self-attention's case of the generic method, R - I at the tokens that the score is read from (those whose rows of
    the last map have a gradient; of several, the mean): I is but each such token itself. One forward and backward pass.
    """

    id = "attention_relevance"
    title = "Attention Relevance"
    paper = "arXiv:2103.15679"
    formula = (
        r"M = \Bigl(\prod_l (I + \bar C_l) - I\Bigr)_{\mathrm{read}},"
        r"\quad \bar C = \mathrm{mean}_h \max(0, \nabla_{A^h} f \odot A^h)"
    )
    advice = (
        "The first choice for a vision transformer: tells classes apart, in one pass. It sees attention alone, not "
        "what the values and the layers between make of it."
    )

    def relevance(self, attention: Attention[Any], ops: Ops[Any]) -> Any:
        read = read_rows(attention, ops)
        mixed: Any = 0.0
        # from the last layer to the first, only the rows that are read: never a product of two maps
        for layer in reversed(attention.layers):
            share = mean_of_heads(ops.maximum(layer.gradients * layer.activations[None], 0.0), ops)
            mixed = mixed + ops.matmul(read + mixed, share)
        return mixed[:, :, 0]
