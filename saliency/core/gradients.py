"""Gradient: the derivative of the score with respect to the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.core.base import INPUT_OUTPUT_GRADIENTS, CoreSaliency
from saliency.core.called import CallModelFunction
from saliency.model.protocols import Differentiable
from saliency.session.session import Session, originals


@dataclass(eq=False, repr=False)
class GradientSaliency(CoreSaliency):
    """The gradient: how much the score changes with each value of the image (arXiv:1312.6034).

    Cost: one forward and backward pass per image.
    """

    id = "gradient"
    title = "Gradient"
    paper = "arXiv:1312.6034"
    family = "gradients"
    formula = r"M = \partial f / \partial x"
    advice = (
        "A first look: one backward pass, and exact for infinitesimal changes. Noisy, and close to zero where the "
        "score is saturated."
    )
    needs = Differentiable
    images_only = False
    expected_keys: ClassVar[list[str]] = [INPUT_OUTPUT_GRADIENTS]

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        for sums in session.summed_gradients(originals(session, images), np.ones(1)):
            yield sums.total

    def GetMask(self, x_value: Any, call_model_function: CallModelFunction, call_model_args: Any = None) -> Any:
        """Return PAIR's vanilla gradient: one call with a batch of one.

        Args:
            x_value: (H, W, C), or any shape.
            call_model_function: see :class:`~saliency.core.base.CoreSaliency`.
            call_model_args: passed on.

        Returns:
            shape of `x_value`, in the type of the gradients.
        """
        image = np.asarray(x_value)
        return self._called(image, call_model_function, call_model_args, dtype=image.dtype)
