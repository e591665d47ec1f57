"""Gradients of several scores from one forward pass of torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from saliency.adapters.torch.precision import wide, without_autocast
from saliency.errors import NoGradient
from saliency.model.protocols import Answer
from saliency.rules import Composite, Ledger

SCALES = (2.0**14, 2.0**7, 1.0)
"""Factors of the score before a backward pass through float16, in the order that they are tried.

Gradients below 6e-8 are zero in float16, such as those of a mean over a region in a segmentation network. Powers of two
are exact. If one overflows, the next is tried."""


def leaf_of(images: Tensor) -> Tensor:
    """Return the images as a leaf of the graph that requires a gradient."""
    images = images.clone() if images.is_inference() else images.detach()
    return images.requires_grad_()


def backward(
    outputs: Tensor, inputs: Sequence[Tensor], given: Tensor | None = None, *, keep: bool = True, half: bool = False
) -> list[Tensor | None]:
    """Return the gradients of `outputs` by each of the inputs, in float32 or wider; None without dependence.

    Args:
        outputs: their sum is differentiated.
        inputs: to differentiate by.
        given: gradients at `outputs`, their weights in the sum; ones by default.
        keep: whether the graph is needed again.
        half: whether the backward pass goes through float16.
    """
    given = torch.ones_like(outputs) if given is None else given
    half = half or any(each.dtype == torch.float16 for each in (outputs, *inputs))
    scales = SCALES if half else (1.0,)
    with without_autocast(outputs.device):
        for scale in scales:
            weights = (given if scale == 1 else given * scale).to(outputs.dtype)
            again = keep or scale != scales[-1]
            found: Sequence[Tensor | None] = torch.autograd.grad(
                outputs, inputs, weights, retain_graph=again, allow_unused=True
            )
            gradients = [None if each is None else _unscaled(each, scale) for each in found]
            if scale == scales[-1] or all(each is None or bool(each.isfinite().all()) for each in gradients):
                return gradients
    raise AssertionError


def _unscaled(gradient: Tensor, scale: float) -> Tensor:
    return wide(gradient) if scale == 1 else wide(gradient) / scale


def ledger_for(rules: Composite | None, images: Tensor) -> Ledger | None:
    """Return a ledger if the rules count losses and there is a single image; else None."""
    return Ledger() if rules is not None and rules.accounts and len(images) == 1 else None


def image_gradients(
    scores: Tensor,
    leaf: Tensor,
    references: Sequence[Tensor] = (),
    ledger: Ledger | None = None,
    half: bool = False,
) -> Answer[Tensor]:
    """Return the scores (k, N), their gradients by the image, and the relevance lost per target, by the ledger.

    Args:
        scores: computed from `leaf`.
        leaf: the images, (N, H, W, C).
        references: the scores of each reference.
        ledger: filled by the rules in the backward pass of one image.
        half: whether the backward pass goes through float16: then it is scaled and repeated, and nothing is counted.

    Raises:
        NoGradient: the score does not depend on the image.
    """
    gradients: list[Tensor] = []
    accounts: list[dict[str, Tensor]] = []
    ledger = None if half or torch.float16 in (scores.dtype, leaf.dtype) else ledger
    for (gradient,) in each_gradient(scores, [leaf], half=half):
        gradients.append(gradient)
        if ledger is not None:
            accounts.append(ledger.lost)
            ledger.lost = {}
    causes = {cause: None for account in accounts for cause in account}
    lost = {cause: torch.stack([account.get(cause, scores.new_zeros(())) for account in accounts]) for cause in causes}
    several = gradients[0][None] if len(gradients) == 1 else torch.stack(gradients)
    return Answer(scores.detach(), several, lost or None, [each.detach() for each in references])


def each_gradient(
    scores: Tensor, inputs: Sequence[Tensor], names: Sequence[str] = ("image",), *, half: bool = False
) -> Iterator[tuple[Tensor, ...]]:
    """Return, per target, the gradients of its scores (k, N) by each of the inputs, in float32 or wider.

    Args:
        scores: of every target.
        inputs: to differentiate by.
        names: of the inputs.
        half: whether the backward pass goes through float16.

    Raises:
        NoGradient: the score does not depend on one of them.
    """
    for i, row in enumerate(scores):
        found: list[Tensor] = []
        for gradient, name in zip(backward(row, inputs, keep=i + 1 < len(scores), half=half), names, strict=True):
            if gradient is None:
                raise NoGradient(f"The score does not depend on {name!r}, so it has no gradient there.")
            found.append(gradient)
        yield tuple(found)


def by_each(scores: Tensor, inputs: Sequence[Tensor], *, half: bool = False) -> list[list[Tensor]]:
    """Return the gradients as :func:`each_gradient`, zeros for inputs that scores do not depend on."""
    last = len(scores) - 1
    return [
        [
            torch.zeros_like(wide(each)) if gradient is None else gradient
            for each, gradient in zip(inputs, backward(row, inputs, keep=i < last, half=half), strict=True)
        ]
        for i, row in enumerate(scores)
    ]
