"""Eigen-CAM: the first principal component of a layer's activations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency.core.cam import Cam, require_grid
from saliency.model.protocols import Inspectable, Ops
from saliency.session.session import Session, originals


@dataclass(eq=False, repr=False)
class EigenCam(Cam):
    """A layer's activations along their first right singular vector: A v, with A = U S V' (arXiv:2008.00299).

    A is (positions, channels), not centred. The sign, which is arbitrary, is chosen so that the map's sum is not
    negative. The map is the same for every target: neither gradients nor scores are used. Cost: one forward pass.
    """

    id = "eigen_cam"
    title = "Eigen-CAM"
    paper = "arXiv:2008.00299"
    needs = Inspectable
    family = "layers"
    formula = r"M = \max(0, A v_1),\quad A = U \Sigma V^\top"
    advice = (
        "Shows where the network responds at all, for models without gradients or classes (detectors, embeddings). "
        "The map is the same for every class, so it explains no decision."
    )

    def cams(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        ops, done = session.ops, []
        for _, (activations, *_) in session.activations(originals(session, images)):
            require_grid(activations, self.title, self.layer)
            cam = first_component(activations, ops)
            done.append(ops.maximum(cam, 0.0) if self.relu else cam)
            yield ops.concat(done)[None]


def first_component(activations: Any, ops: Ops[Any]) -> Any:
    """Project activations (n, h, w, K) on their first right singular vector: (n, h, w)."""
    n, h, w, channels = (int(size) for size in activations.shape)
    flat = ops.reshape(activations, (n, h * w, channels))
    turned = ops.transpose(flat, (0, 2, 1))
    wide = channels > h * w
    # only the smaller of the two products is copied to the host
    gram = ops.tohost(ops.matmul(flat, turned) if wide else ops.matmul(turned, flat)).astype(np.float64)
    values, vectors = np.linalg.eigh(gram)
    # u s is the map itself; v first needs a product with the activations
    vector = vectors[:, :, -1] * (np.sqrt(values[:, -1].clip(0))[:, None] if wide else 1)
    cams = ops.asarray(vector[..., None]) if wide else ops.matmul(flat, ops.asarray(vector[..., None]))
    cams = ops.reshape(cams, (n, h, w))
    return ops.where(ops.sum(cams, (1, 2))[:, None, None] < 0.0, -cams, cams)
