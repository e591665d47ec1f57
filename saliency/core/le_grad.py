"""LeGrad: the gradient of each block's own score with respect to its attention."""

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
    """The mean over blocks, heads and queries of relu(gradient of the block's score) (arXiv:2404.03214).

    A block's score is the output of the model's own head for the tokens after that block; its gradient is with respect
    to the block's own attention weights. Nothing is normalized. Cost: two forward passes (the second for the head) and
    one backward pass.
    """

    id = "le_grad"
    title = "LeGrad"
    paper = "arXiv:2404.03214"
    needs: ClassVar[Any] = EarlyExit
    formula = (
        r"M = \mathrm{mean}_{l,h,q} \max\bigl(0, \partial s_l / \partial A_{lh}\bigr),\quad s_l = \mathrm{head}(z_l)"
    )
    advice = (
        "For vision transformers, including CLIP's: sharp maps, specific to a class or text. After early blocks the "
        "head receives tokens it was not trained on: read fewer blocks with `last`."
    )

    last: int = parameter(0, "Number of blocks, counted from the last; 0 for all", low=0)

    def evaluated(self, session: Session[Any], samples: Any) -> Iterator[tuple[slice, Attention[Any]]]:
        return session.early_exits(samples)

    def relevance(self, attention: Attention[Any], ops: Ops[Any]) -> Any:
        read = attention.layers[-self.last :]
        total: Any = 0.0
        for layer in read:
            heads, tokens = (int(n) for n in layer.activations.shape[1:3])
            total = total + ops.sum(ops.maximum(layer.gradients, 0.0), (2, 3)) / (heads * tokens)
        return total / len(read)
