"""Base of methods that follow the values of a layer along a path from a baseline to the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.core.method import Method, Part, parameter
from saliency.errors import BadField, brief
from saliency.model.protocols import Layered, Ops
from saliency.session.baselines import Baseline, baseline_count
from saliency.session.samples import StraightPath, spans
from saliency.session.session import Session

STEPS = 50
"""Default number of steps: a score may rise steeply near the baseline, where the first steps are."""


@dataclass(eq=False, repr=False)
class LayerPathMethod(Method):
    """A method along the straight line in the input from a baseline to the image, that reads a layer on the way."""

    needs: ClassVar[Any] = Layered
    images_only = False
    sign = "signed"
    family = "layers"

    layer: str | Part | None = parameter(None, "Name of the layer; by default the last one with a spatial grid")
    baseline: Baseline = parameter("black", "Start of the path, in the space of the input; several are averaged")
    steps: int = parameter(STEPS, "Number of steps of the path, with both of its ends", low=2, high=10_000)

    def __post_init__(self) -> None:
        if isinstance(self.layer, list | tuple):
            raise BadField(f"{type(self).__name__} reads one layer, got {brief(self.layer)}.")
        super().__post_init__()

    @property
    def layers(self) -> tuple[str | int | None, ...]:
        return (self.layer,)

    def remedy(self) -> str:
        return f"try steps={4 * self.steps}"

    def cost(self, shape: tuple[int, ...]) -> int:
        return shape[0] * self.steps * baseline_count(self.baseline, shape)


@dataclass(eq=False, repr=False)
class OverLayer(LayerPathMethod):
    """A method over the values of the layer, of all units together, however many there are."""

    over_layer = True

    def piece(self, ops: Ops[Any], values: Any, gradients: Any, widths: Any) -> Any:
        """Return the part of a piece of the path, (k, ...).

        Args:
            ops: the array functions.
            values: of the layer at consecutive steps, (n, ...).
            gradients: of the scores by these, (k, n, ...).
            widths: the distances between the steps, (n - 1, 1, ...).
        """
        raise NotImplementedError

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        done: Any = 0.0
        for i, baseline in enumerate(session.baselines(self.baseline, images)):
            for mask in self._masks(baseline, images, session):
                # an earlier baseline has reached all the images
                yield mask if i == 0 else (done[:, : mask.shape[1]] + mask) / (i + 1)
            done = done + mask

    def _masks(self, baseline: Any, images: Any, session: Session[Any]) -> Iterator[Any]:
        """Yield the masks from one baseline, of the images whose path has been followed to its end."""
        ops, alphas = session.ops, np.linspace(0, 1, self.steps)
        samples = StraightPath(ops, baseline, images, alphas)
        sums: list[Any] = []
        last: Any = None
        for rows, (layer,) in session.layers(samples, whole=True):
            for image, which in spans(rows, self.steps):
                first = image * self.steps + which.start - rows.start
                here = slice(first, first + which.stop - which.start)
                values, gradients, start = layer.activations[here], layer.gradients[:, here], which.start
                if start == 0:
                    sums.append(0.0 * gradients[:, 0])
                else:
                    # the piece from the last step of the batch before
                    values, gradients = ops.concat([last[0], values]), ops.concat([last[1], gradients], 1)
                    start -= 1
                last = values[-1:], gradients[:, -1:]
                if which.stop - start > 1:
                    widths = np.diff(alphas[start : which.stop]).reshape(-1, *(1,) * (len(values.shape) - 1))
                    sums[-1] = sums[-1] + self.piece(ops, values, gradients, ops.asarray(widths))
            reached = rows.stop // self.steps
            if reached and (session.streaming or rows.stop == len(samples)):
                yield ops.concat([each[:, None] for each in sums[:reached]], 1)
