"""Guided Backprop: the gradient with negative values removed at each rectifier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from saliency.core.method import Method
from saliency.model.protocols import Rewirable
from saliency.rules import GUIDED
from saliency.session.session import Session, originals


@dataclass(eq=False, repr=False)
class GuidedBackprop(Method):
    """The gradient with negative values set to zero at each rectifier on the backward pass (arXiv:1412.6806, sec. 3.4).

    ReLU as in the paper; related activations (leaky, GELU, SiLU, …) apply their own derivative to the positive values.
    Cost: one forward and backward pass per image.
    """

    id = "guided_backprop"
    title = "Guided Backprop"
    paper = "arXiv:1412.6806"
    needs = Rewirable
    images_only = False
    family = "backward rules"
    formula = (
        r"M = \partial^{+} f / \partial x,\quad \partial^{+}\!: R \mapsto [z > 0]\,\max(R, 0)"
        r" \text{ at } \mathrm{ReLU}(z)"
    )
    advice = (
        "Sharp pictures of what activates the network's features. It is hardly class-specific: it nearly reproduces "
        "the image's edges, whatever the target, and hardly changes when the upper layers' weights are randomized."
    )

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        yield from followed(images, session, GUIDED)


def followed(images: Any, session: Session[Any], rules: Any) -> Iterator[Any]:
    """Yield the gradients under the rules, (k, b, H, W, C), of the b images reached so far."""
    done: list[Any] = []
    for _, answer in session.gradients(originals(session, images), rules):
        done.append(answer.gradients)
        yield session.ops.concat(done, 1)
