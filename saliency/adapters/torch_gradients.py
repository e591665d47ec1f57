"""Gradients of several scores from one forward pass of torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from saliency.errors import NoGradient


def leaf_of(images: Tensor) -> Tensor:
    """The images, as what a forward pass begins with and a gradient can be taken by."""
    images = images.clone() if images.is_inference() else images.detach()
    return images.requires_grad_()


def each_gradient(
    scores: Tensor, inputs: Sequence[Tensor], names: Sequence[str] = ("image",)
) -> Iterator[tuple[Tensor, ...]]:
    """Per target, the gradients of its scores (k, N) by each of the inputs.

    Raises:
        NoGradient: the score does not depend on one of them.
    """
    for i, row in enumerate(scores):
        gradients = torch.autograd.grad(row.sum(), inputs, retain_graph=i + 1 < len(scores), allow_unused=True)
        for gradient, name in zip(gradients, names, strict=True):
            if gradient is None:
                raise NoGradient(f"The score does not depend on {name!r}: there is no gradient.")
        yield gradients


def by_each(scores: Tensor, inputs: Sequence[Tensor]) -> list[Sequence[Tensor]]:
    """Per target, the gradients of its scores (k, N) by each of the inputs; zeros where they do not depend on it."""
    last = len(scores) - 1
    return [
        torch.autograd.grad(row.sum(), inputs, retain_graph=i < last, allow_unused=True, materialize_grads=True)
        for i, row in enumerate(scores)
    ]
