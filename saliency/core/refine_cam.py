"""RefineCAM: the product of the maps of several layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from saliency.core.cam import Cam, resized, scaled
from saliency.core.grad_cam_plus_plus import GradCamPlusPlus
from saliency.core.method import Method, Part, as_method, parameter
from saliency.errors import BadField
from saliency.model.protocols import Layer, Layered, Ops
from saliency.session.session import Session, originals


@dataclass(eq=False, repr=False)
class RefineCam(Method):
    """The product over layers of a CAM's maps, each rectified, resized and scaled to 0–1 (arXiv:2605.14641).

    Scaled by (m - min m) / (max m - min m); a constant map becomes zero. Cost: one forward pass for all layers and
    targets, and one backward pass per target.
    """

    id = "refine_cam"
    title = "RefineCAM"
    paper = "arXiv:2605.14641"
    family = "layers"
    formula = r"M = \prod_l \mathrm{norm}\bigl(\mathrm{resize}(\mathrm{CAM}_l)\bigr)"
    advice = (
        "Sharp maps for the cost of one pass: only positions on which all layers agree remain. Values show where, not "
        "how much; one layer that responds elsewhere removes the rest."
    )
    needs = Layered
    sign = "positive"

    method: Any = parameter(GradCamPlusPlus, "CAM whose maps are multiplied")
    layer: str | Sequence[str] | Sequence[Part] | None = parameter(
        None, "Names of the layers; by default the last one at each of the last three grid sizes"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.method = as_method(self.method, "RefineCam.method")
        if not isinstance(self.method, Cam) or self.method.needs is not Layered:
            raise BadField(
                f"RefineCam multiplies maps of CAMs that weight a layer by its gradients, got {self.method!r}."
            )
        if isinstance(self.layer, list | tuple | str) and not self.layer:
            raise BadField("RefineCam.layer must name at least one layer, or be None.")

    @property
    def layers(self) -> tuple[str | int | None, ...]:
        if self.layer is None:
            return (-3, -2, -1)
        given: Any = self.layer
        return tuple(given) if isinstance(given, list | tuple) else (given,)

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        done: list[Any] = []
        for _, layers in session.layers(originals(session, images)):
            product: Any = 1.0
            for layer in layers:
                product = product * self._factor(layer, images, session.ops)
            done.append(product)
            yield session.ops.concat(done, 1)

    def _factor(self, layer: Layer[Any], images: Any, ops: Ops[Any]) -> Any:
        """Return one layer's factor of the product, (k, n, H, W)."""
        return scaled(resized(ops.maximum(self.method.cam(layer, ops), 0.0), images, ops), ops)
