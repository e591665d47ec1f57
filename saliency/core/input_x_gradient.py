"""Input × Gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency.core.method import Method
from saliency.model.protocols import Differentiable
from saliency.session.session import Session, originals


@dataclass(eq=False, repr=False)
class InputXGradient(Method):
    """The image times its gradient: each value's contribution to a linear score (arXiv:1605.01713, section 2.3).

    Cost: one forward and backward pass per image.
    """

    id = "input_x_gradient"
    title = "Input × Gradient"
    paper = "arXiv:1605.01713"
    family = "gradients"
    formula = r"M = x \odot \partial f / \partial x"
    advice = (
        "Exact for a linear score, and as cheap as the gradient. Zero values get nothing, so that it depends on the "
        "normalization of the images. On photographs it follows the brightness: prefer Integrated Gradients."
    )
    needs = Differentiable
    images_only = False

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        for sums in session.summed_gradients(originals(session, images), np.ones(1)):
            yield sums.total * images[: sums.total.shape[1]]
