"""Deconvolution: the gradient with rectifiers applied on the backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from saliency.core.guided_backprop import followed
from saliency.core.method import Method
from saliency.model.protocols import Rewirable
from saliency.rules import DECONVOLUTION
from saliency.session.session import Session


@dataclass(eq=False, repr=False)
class Deconvolution(Method):
    """The gradient with each rectifier applied to the backward signal instead (arXiv:1311.2901, section 2.1).

    Cost: one forward and backward pass per image.
    """

    id = "deconvolution"
    title = "Deconvolution"
    paper = "arXiv:1311.2901"
    needs = Rewirable
    images_only = False
    family = "backward rules"
    formula = r"M = \partial^{d} f / \partial x,\quad \partial^{d}\!: R \mapsto \max(R, 0) \text{ at } \mathrm{ReLU}(z)"
    advice = (
        "Of historical interest. Do not use it on networks without max-pooling: nothing in their backward pass depends "
        "on the image, so that every photograph gets the same map, the checkerboard of the strided convolutions. It "
        "depends little on the class."
    )

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        yield from followed(images, session, DECONVOLUTION)
