"""A layer's activations, weighed by how the score depends on each channel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from saliency.called import CallModelFunction
from saliency.core.base import CONVOLUTION_LAYER_VALUES, CONVOLUTION_OUTPUT_GRADIENTS, CoreSaliency
from saliency.errors import BadOutput
from saliency.method import parameter
from saliency.model import Layered
from saliency.session import Session, originals


@dataclass(eq=False, repr=False)
class GradCam(CoreSaliency):
    """A layer's activations, each channel weighed by its mean gradient, rectified (arXiv:1610.02391, eq. 2).

    The map keeps the layer's own scale (nothing is normalised) and is resized to the image. One forward and backward
    pass.
    """

    id = "grad_cam"
    title = "Grad-CAM"
    paper = "arXiv:1610.02391"
    family = "layers"
    formula = r"M = \max\Bigl(0, \sum_k \Bigl(\frac1{hw} \sum_{ij} \frac{\partial f}{\partial A^k_{ij}}\Bigr) A^k\Bigr)"
    advice = (
        "Where the evidence lies, in one pass: robust, and easy to read. Only as fine as the layer; parts of the "
        "object that other channels see may be missing."
    )
    needs = Layered
    sign = "positive"
    expected_keys: ClassVar[list[str]] = [CONVOLUTION_LAYER_VALUES, CONVOLUTION_OUTPUT_GRADIENTS]

    layer: str | None = parameter(None, "name of the layer; the last one with a spatial grid by default")
    relu: bool = parameter(True, "cut off what speaks against the target")

    @property
    def layers(self) -> tuple[str | None, ...]:
        return (self.layer,)

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        height, width = (int(n) for n in images.shape[1:3])
        done: list[Any] = []
        for cams in self.cams(images, session):
            ops = session.ops
            down, across = (ops.asarray(stretch(*sizes)) for sizes in _pairs(cams, height, width))
            done.append(ops.matmul(ops.matmul(down, cams), ops.transpose(across, (1, 0))))
            yield ops.concat(done, 1)

    def cams(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        """The maps at the layer's own size, (k, n, h, w), a batch at a time."""
        ops = session.ops
        for _, (layer, *_) in session.layers(originals(session, images)):
            if len(layer.activations.shape) != 4:
                shape, name = tuple(layer.activations.shape), repr(self.layer) if self.layer else "the automatic layer"
                raise BadOutput(f"Grad-CAM needs a layer with a spatial grid, (N, h, w, K), got {shape} from {name}.")
            n, h, w, channels = (int(size) for size in layer.activations.shape)
            weights = ops.sum(layer.gradients, (2, 3)) / (h * w)
            flat = ops.reshape(layer.activations, (1, n, h * w, channels))
            cam = ops.matmul(flat, ops.reshape(weights, (*weights.shape, 1)))
            cam = ops.reshape(cam, (int(weights.shape[0]), n, h, w))
            yield ops.maximum(cam, 0.0) if self.relu else cam

    def GetMask(
        self,
        x_value: Any,
        call_model_function: CallModelFunction,
        call_model_args: Any = None,
        should_resize: bool = True,
        three_dims: bool = True,
    ) -> np.ndarray:
        """PAIR's Grad-CAM: one call with a batch of one.

        Args:
            x_value: (H, W, C).
            call_model_function: see :class:`~saliency.core.base.CoreSaliency`; its layer is channels last.
            call_model_args: handed through.
            should_resize: divide by the maximum and resize to (H, W).
            three_dims: repeat to three channels, whatever the image has.

        Returns:
            float32; (H, W, 3), (H, W), (h, w, 3) or (h, w).
        """
        image = np.asarray(x_value)
        cam = self._called(image, call_model_function, call_model_args, ask="cams", dtype=image.dtype)
        cam = cam.astype(np.float32)
        if should_resize:
            from skimage.transform import resize

            cam = cam / cam.max() if cam.max() > 0 else cam
            cam = np.asarray(resize(cam, image.shape[:2]), np.float32)
        return np.repeat(cam[..., None], 3, -1) if three_dims else cam


@lru_cache(64)
def stretch(size: int, to: int) -> np.ndarray:
    """The matrix (to, size) that resizes one axis: linear between pixel centres, smoothed first when shrinking.

    Resizing is linear in the picture, so what scikit-image does to the unit vectors says it all; as a matrix it runs
    on whatever device the map lies.
    """
    from skimage.transform import resize

    matrix = np.asarray(resize(np.eye(size), (to, size), order=1))
    matrix.flags.writeable = False
    return matrix


def _pairs(cams: Any, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
    h, w = (int(n) for n in cams.shape[-2:])
    return (h, height), (w, width)
