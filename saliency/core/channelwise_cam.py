"""Base of CAMs that evaluate the model once per channel to find the weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.core.cam import Cam, require_grid, weighted
from saliency.model.protocols import Inspectable
from saliency.session.session import Session, originals


@dataclass(eq=False, repr=False)
class ChannelwiseCam(Cam):
    """A layer's activations, each channel weighted by scores of the model, without gradients.

    Cost: one forward pass, plus one per channel of the layer, whose number is known after the first. Partial results
    are the maps of the channels evaluated so far.
    """

    needs = Inspectable
    family = "layers"
    beyond: ClassVar[str] = "the layer's channels"

    def cams(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        ops = session.ops
        done: list[Any] = []
        for rows, (activations, *_) in session.activations(originals(session, images)):
            require_grid(activations, self.title, self.layer)
            count = int(activations.shape[0])
            units, members = self.units(activations, session)
            each = int(units.shape[-1]) + self.extra
            session.expect(count * each)
            flat: Any = None
            with session.of_pictures(np.arange(rows.start, rows.stop)):
                for evaluated, scores in self.evaluated(images[rows], units, session):
                    if flat is None:
                        flat = np.full((int(scores.shape[0]), count * each), np.nan)
                    flat[:, evaluated] = ops.tohost(scores)
                    if not session.streaming and evaluated.stop < count * each:
                        continue
                    reached = -(-evaluated.stop // each)
                    known = flat[:, : reached * each].reshape(len(flat), reached, each)
                    if members is not None:
                        known = np.take_along_axis(known, members[None, :reached], 2)
                    weights = self.weighed(known)
                    cam = weighted(ops.asarray(np.nan_to_num(weights)), activations[:reached], ops)
                    yield ops.concat([*done, ops.maximum(cam, 0.0) if self.relu else cam], 1)
            done.append(ops.maximum(cam, 0.0) if self.relu else cam)

    def units(self, activations: Any, session: Session[Any]) -> tuple[Any, np.ndarray | None]:
        """Return the maps that are evaluated, (b, h, w, U), and the map of each channel, (b, K); None for its own."""
        return activations, None

    extra: ClassVar[int] = 0
    """Number of evaluations per image before those of its channels."""

    def evaluated(self, images: Any, activations: Any, session: Session[Any]) -> Iterator[tuple[slice, Any]]:
        """Yield (rows, scores (k, n)): per image the extra evaluations, then one per channel."""
        raise NotImplementedError

    def weighed(self, scores: np.ndarray) -> np.ndarray:
        """Return the channels' weights, (k, b, K), from scores (k, b, extra + K); NaN for those not evaluated yet."""
        raise NotImplementedError
