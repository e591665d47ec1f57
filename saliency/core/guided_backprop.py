"""The gradient, with rectifiers that let nothing negative pass on the way back."""

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
    """The gradient, with what is negative cut off at every rectifier on the way back (arXiv:1412.6806, section 3.4).

    ReLU as in the paper; its kin (leaky, GELU, SiLU, …) let their own gradient of what is positive pass. One forward
    and backward pass an image.
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
        "Sharp pictures of what excites the network's features. It says little about the class: it nearly draws the "
        "image's edges, whatever the target, and hardly changes when the upper layers' weights are made random."
    )

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        yield from followed(images, session, GUIDED)


def followed(images: Any, session: Session[Any], rules: Any) -> Iterator[Any]:
    """What comes back to the images when the model follows the rules, (k, b, H, W, C) of the b reached so far."""
    done: list[Any] = []
    for _, answer in session.gradients(originals(session, images), rules):
        done.append(answer.gradients)
        yield session.ops.concat(done, 1)
