"""Attention Rollout: the flow of attention through all layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from saliency.core.attention import AttentionMethod, mean_of_heads, read_rows
from saliency.model.protocols import Attention, Ops


@dataclass(eq=False, repr=False)
class AttentionRollout(AttentionMethod):
    """The product over layers of (A + I) / 2, A the mean over heads, at the tokens that are read (arXiv:2005.00928).

    Each row of the product sums to one. The target only determines the tokens that its score is read from (those whose
    rows of the last map have a gradient; the mean over several). Cost: one forward and backward pass.
    """

    id = "attention_rollout"
    title = "Attention Rollout"
    paper = "arXiv:2005.00928"
    formula = r"M = \Bigl(\prod_l \tfrac12 (\bar A_l + I)\Bigr)_{\mathrm{read}},\quad \bar A = \mathrm{mean}_h A^h"
    advice = (
        "Shows where information can flow from in a transformer. The map is the same for every class: it shows what "
        "the model attended to, not why it decided."
    )

    def relevance(self, attention: Attention[Any], ops: Ops[Any]) -> Any:
        rows = read_rows(attention, ops)
        # from the last layer to the first, with only the rows that are read: no product of two full maps is needed
        for layer in reversed(attention.layers):
            rows = (ops.matmul(rows, mean_of_heads(layer.activations, ops)[None]) + rows) / 2
        return rows[:, :, 0]
