"""Base of the methods that use a transformer's attention: relevance of tokens becomes a mask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from saliency.core.cam import resized
from saliency.core.method import Method
from saliency.model.protocols import Attention, Attentive, Ops
from saliency.session.session import Session, originals


@dataclass(eq=False, repr=False)
class AttentionMethod(Method):
    """Relevance of the tokens; those of the patches form a grid, which is resized to the image.

    Subclasses compute it from attention weights and gradients in :meth:`relevance`. Cost: one forward pass for all
    targets, and one backward pass per target.
    """

    needs: ClassVar[Any] = Attentive
    sign = "positive"
    family = "attention"

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        done: list[Any] = []
        for _, attention in self.evaluated(session, originals(session, images)):
            tokens = self.relevance(attention, session.ops)
            done.append(resized(patches(tokens, attention, session.ops), images, session.ops))
            yield session.ops.concat(done, 1)

    def evaluated(self, session: Session[Any], samples: Any) -> Iterator[tuple[slice, Attention[Any]]]:
        """Yield (rows, attention of the model for these samples)."""
        return session.attentions(samples)

    def relevance(self, attention: Attention[Any], ops: Ops[Any]) -> Any:
        """Return the relevance of each token, (k, n, T)."""
        raise NotImplementedError


def patches(tokens: Any, attention: Attention[Any], ops: Ops[Any]) -> Any:
    """Return the patches among tokens (k, n, T) as their grid (k, n, h, w)."""
    count = attention.height * attention.width
    mine = tokens[:, :, attention.before : attention.before + count]
    return ops.reshape(mine, (*(int(n) for n in tokens.shape[:2]), attention.height, attention.width))


def read_rows(attention: Attention[Any], ops: Ops[Any]) -> Any:
    """Return the tokens that the scores are read from, with equal shares: (k, n, 1, T), each row sums to one.

    No tokens are mixed after the last attention, so that the score's gradient is zero in the rows of all other tokens:
    one row is nonzero if a class token is read, all are if their mean is.
    """
    mass = ops.sum(ops.abs(attention.layers[-1].gradients), (2, 4))
    read = ops.where(mass > 0.0, mass * 0.0 + 1.0, 0.0)
    return (read / ops.maximum(ops.sum(read, -1)[..., None], 1.0))[:, :, None]


def mean_of_heads(weights: Any, ops: Ops[Any]) -> Any:
    """Return the mean over heads: (..., heads, T, T) -> (..., T, T)."""
    return ops.sum(weights, -3) / int(weights.shape[-3])
