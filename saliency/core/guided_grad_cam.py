"""Guided Grad-CAM: Guided Backprop multiplied by Grad-CAM."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from saliency.core.grad_cam import GradCam
from saliency.core.guided_backprop import GuidedBackprop
from saliency.core.method import Method, Part, parameter
from saliency.model.protocols import LayeredRewirable
from saliency.session.session import Session


@dataclass(eq=False, repr=False)
class GuidedGradCam(Method):
    """Guided Backprop times Grad-CAM, resized to the image (arXiv:1610.02391, section 3.3).

    Grad-CAM is rectified, so that the signs are those of Guided Backprop. Cost: two forward and backward passes per
    image.
    """

    id = "guided_grad_cam"
    title = "Guided Grad-CAM"
    paper = "arXiv:1610.02391"
    needs = LayeredRewirable
    family = "backward rules"
    formula = r"M = \mathrm{GuidedBackprop}(x) \odot \mathrm{resize}\bigl(\mathrm{GradCAM}(x)\bigr)"
    advice = (
        "Fine detail inside the region that Grad-CAM finds. The region is class-specific, the detail is not: do not "
        "interpret single edges as reasons."
    )

    layer: str | Part | None = parameter(None, "Name of the layer; by default the last one with a spatial grid")

    @property
    def layers(self) -> tuple[str | int | None, ...]:
        return (self.layer,)

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        *_, cam = GradCam(layer=self.layer)(images, session)
        for mask in GuidedBackprop()(images, session):
            yield mask * cam[:, : mask.shape[1], :, :, None]

    def cost(self, shape: tuple[int, ...]) -> int:
        return 2 * shape[0]
