"""Base of class activation maps: a layer's activations become one map, and the map becomes a mask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from saliency.core.method import Method, Part, parameter
from saliency.errors import BadField, BadOutput, brief
from saliency.model.protocols import Layer, Layered, Ops
from saliency.session.session import Session, originals


@dataclass(eq=False, repr=False)
class Cam(Method):
    """A map at the size of a layer's grid, in the layer's own scale (not normalized), resized to the image.

    Subclasses combine activations and gradients in :meth:`combined`. Cost: one forward pass for all targets, and one
    backward pass per target.
    """

    needs: ClassVar[Any] = Layered

    layer: str | Part | None = parameter(None, "Name of the layer; by default the last one with a spatial grid")
    relu: bool = parameter(True, "Set negative values, which are evidence against the target, to zero")

    def __post_init__(self) -> None:
        if isinstance(self.layer, list | tuple):
            raise BadField(
                f"{type(self).__name__} reads one layer, got {brief(self.layer)}. "
                f"RefineCam({type(self).__name__}(), layer=[…]) multiplies the maps of several."
            )
        super().__post_init__()

    @property
    def sign(self) -> str:  # depends on relu
        return "positive" if self.relu else "signed"

    @property
    def layers(self) -> tuple[str | int | None, ...]:
        return (self.layer,)

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        for cams in self.cams(images, session):
            yield resized(cams, images, session.ops)

    def cams(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        """Yield the maps at the layer's own size, (k, b, h, w), of the b images reached so far."""
        done: list[Any] = []
        for _, (layer, *_) in session.layers(originals(session, images)):
            done.append(self.cam(layer, session.ops))
            yield session.ops.concat(done, 1)

    def cam(self, layer: Layer[Any], ops: Ops[Any]) -> Any:
        """Return one layer's maps, (k, n, h, w), rectified if `relu` is set."""
        require_grid(layer.activations, self.title, self.layer)
        cam = self.combined(layer, ops)
        return ops.maximum(cam, 0.0) if self.relu else cam

    def combined(self, layer: Layer[Any], ops: Ops[Any]) -> Any:
        """Return the maps, (k, n, h, w), with their signs."""
        raise NotImplementedError


def require_grid(activations: Any, title: str, layer: str | None) -> None:
    """Raise :class:`~saliency.errors.BadOutput` unless the activations have a spatial grid."""
    if len(activations.shape) != 4:
        name = repr(layer) if layer else "the automatic layer"
        shape = tuple(int(n) for n in activations.shape)
        raise BadOutput(f"{title} needs a layer with a spatial grid, (N, h, w, K), got {shape} from {name}.")


def weighted(weights: Any, activations: Any, ops: Ops[Any]) -> Any:
    """Return the weighted sum over channels of activations (n, h, w, K) with weights (k, n, K): (k, n, h, w)."""
    n, h, w, channels = (int(size) for size in activations.shape)
    flat = ops.reshape(activations, (1, n, h * w, channels))
    return ops.reshape(ops.matmul(flat, ops.reshape(weights, (-1, n, channels, 1))), (-1, n, h, w))


def resized(cams: Any, images: Any, ops: Ops[Any]) -> Any:
    """Resize maps (..., h, w) to the size of images (B, H, W, C), bilinearly with clamped borders: (..., H, W)."""
    pairs = zip(cams.shape[-2:], images.shape[1:3], strict=True)
    down, across = (ops.asarray(stretch(int(size), int(to))) for size, to in pairs)
    return ops.matmul(ops.matmul(down, cams), ops.transpose(across, (1, 0)))


def scaled(maps: Any, ops: Ops[Any]) -> Any:
    """Scale each map of (..., H, W) to 0–1; a constant map becomes zero."""
    lowest = -ops.max(-maps, (-2, -1))[..., None, None]
    span = ops.max(maps, (-2, -1))[..., None, None] - lowest
    return ops.where(span > 0.0, (maps - lowest) / ops.where(span > 0.0, span, 1.0), 0.0)


@lru_cache(64)
def stretch(size: int, to: int) -> np.ndarray:
    """Return the matrix (to, size) that resizes one axis bilinearly, with clamped borders.

    Equal to ``torch.nn.functional.interpolate`` with ``mode="bilinear"`` and ``align_corners=False``: linear between
    pixel centres, constant beyond the outermost ones. When shrinking, it averages, as with ``antialias=True``. A matrix
    runs on the device of the maps.
    """
    scale = size / to
    centres = (np.arange(to)[:, None] + 0.5) * scale - 0.5
    weights = np.maximum(1 - np.abs(np.arange(size) - centres) / max(scale, 1.0), 0)
    # where a row extends beyond the border, the pixels inside get all of the weight
    matrix = np.asarray(weights / weights.sum(1, keepdims=True))
    matrix.flags.writeable = False
    return matrix
