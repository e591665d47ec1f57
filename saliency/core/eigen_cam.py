"""What a layer's channels have in common: their first principal component, whatever the class."""

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
    """A layer's activations along their first right singular vector: A v, of A = U S V' (arXiv:2008.00299).

    A is (places, channels), as it is: nothing is subtracted. The sign, which is free, is the one by which the map sums
    to no less than zero. The same for every target: neither gradients nor scores are read. One forward pass.
    """

    id = "eigen_cam"
    title = "Eigen-CAM"
    paper = "arXiv:2008.00299"
    needs = Inspectable
    family = "layers"
    formula = r"M = \max(0, A v_1),\quad A = U \Sigma V^\top"
    advice = (
        "Where the network sees anything at all, of models without gradients or classes (detectors, embeddings). "
        "It is the same map for every class, so it explains no decision."
    )

    def cams(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        ops, done = session.ops, []
        for _, (activations, *_) in session.activations(originals(session, images)):
            require_grid(activations, self.title, self.layer)
            cam = first_component(activations, ops)
            done.append(ops.maximum(cam, 0.0) if self.relu else cam)
            yield ops.concat(done)[None]


def first_component(activations: Any, ops: Ops[Any]) -> Any:
    """(n, h, w) of (n, h, w, K): the activations along their first right singular vector."""
    n, h, w, channels = (int(size) for size in activations.shape)
    flat = ops.reshape(activations, (n, h * w, channels))
    turned = ops.transpose(flat, (0, 2, 1))
    wide = channels > h * w
    # the smaller of the two products is all that crosses to the host
    gram = ops.tohost(ops.matmul(flat, turned) if wide else ops.matmul(turned, flat)).astype(np.float64)
    values, vectors = np.linalg.eigh(gram)
    # u s is the map itself; of v it has yet to be made
    vector = vectors[:, :, -1] * (np.sqrt(values[:, -1].clip(0))[:, None] if wide else 1)
    cams = ops.asarray(vector[..., None]) if wide else ops.matmul(flat, ops.asarray(vector[..., None]))
    cams = ops.reshape(cams, (n, h, w))
    return ops.where(ops.sum(cams, (1, 2))[:, None, None] < 0.0, -cams, cams)
