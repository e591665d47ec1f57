"""How each block's own score would grow with its attention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from saliency.core.attention import AttentionMethod
from saliency.core.method import parameter
from saliency.model.protocols import Attention, EarlyExit, Ops
from saliency.session.session import Session


@dataclass(eq=False, repr=False)
class LeGrad(AttentionMethod):
    """The mean over blocks, heads and the tokens that look of relu(gradient of the block's score) (arXiv:2404.03214).

    A block's score is what the model's own head gives for the tokens as they are behind it; the gradient is that by the
    block's own attention map. Nothing is normalised. Two forward passes (the second for the head) and one backward.
    """

    id = "le_grad"
    title = "LeGrad"
    paper = "arXiv:2404.03214"
    needs: ClassVar[Any] = EarlyExit
    formula = (
        r"M = \mathrm{mean}_{l,h,q} \max\bigl(0, \partial s_l / \partial A_{lh}\bigr),\quad s_l = \mathrm{head}(z_l)"
    )
    advice = (
        "Vision transformers, CLIP's among them: sharp maps, told apart by class or text. Behind early blocks the head "
        "sees tokens it was not trained on: read fewer with `last`."
    )

    last: int = parameter(0, "how many blocks are read, from the last; 0 for all", low=0)

    def asked(self, session: Session[Any], samples: Any) -> Iterator[tuple[slice, Attention[Any]]]:
        return session.early_exits(samples)

    def relevance(self, attention: Attention[Any], ops: Ops[Any]) -> Any:
        read = attention.layers[-self.last :]
        total: Any = 0.0
        for layer in read:
            heads, tokens = (int(n) for n in layer.activations.shape[1:3])
            total = total + ops.sum(ops.maximum(layer.gradients, 0.0), (2, 3)) / (heads * tokens)
        return total / len(read)
