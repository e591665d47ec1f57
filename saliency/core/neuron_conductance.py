"""Neuron Conductance: the part of Integrated Gradients on the pixels that flows through chosen units of a layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency.core.layer_paths import LayerPathMethod
from saliency.core.method import parameter
from saliency.core.quadrature import nodes
from saliency.errors import BadField, BadTarget, brief
from saliency.model.protocols import Cuttable
from saliency.session.samples import StraightPath
from saliency.session.session import Session
from saliency.targets import Span, Unit


@dataclass(eq=False, repr=False)
class NeuronConductance(LayerPathMethod):
    """The part of Integrated Gradients that flows through one unit of a layer, on the image (arXiv:1805.12233).

    The gradient of the score by the unit times that of the unit by the image, along the path: summed over all units of
    a layer that cuts the model it is Integrated Gradients, and its sum over the image is the conductance of the unit.
    By the trapezoid rule. Cost: `steps` forward and backward passes per baseline, twice as many where a skip connection
    leads around the layer.
    """

    id = "neuron_conductance"
    title = "Neuron Conductance"
    paper = "arXiv:1805.12233"
    formula = (
        r"M_i = (x_i - x'_i) \int_0^1 \frac{\partial f}{\partial h_j} \frac{\partial h_j}{\partial x_i}"
        r"\bigl(x' + \alpha (x - x')\bigr)\, d\alpha"
    )
    advice = (
        "Where in the picture a channel that matters, by Conductance, looks. Without a unit: all that flows through "
        "the layer, not around it."
    )
    needs = Cuttable

    unit: Any = parameter(
        None, "Channel, index (position, channel) or saliency.targets.unit(…); by default all units of the layer"
    )

    def __post_init__(self) -> None:
        if isinstance(self.unit, Unit):
            if self.layer not in (None, self.unit.layer):
                raise BadField(
                    f"layer is {brief(self.layer)}, but the unit belongs to {self.unit.layer!r}: omit layer."
                )
            if callable(self.unit.channel):
                raise BadField("NeuronConductance needs a unit with indices, a channel and perhaps a position.")
            self.layer = self.unit.layer
            at = (*(self.unit.position or ()), self.unit.channel)
            self.unit = tuple(slice(*each) if isinstance(each, Span) else each for each in at)
        parts = self.unit if isinstance(self.unit, tuple | list) else (self.unit,)
        wrong = [each for each in parts if isinstance(each, bool) or not isinstance(each, int | np.integer | slice)]
        if self.unit is not None and (wrong or not parts):
            raise BadField(f"unit must be a channel or an index (position, channel), got {brief(self.unit)}.")
        super().__post_init__()

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        selected, cuts = self._selected(images, session)
        alphas, weights = nodes(self.steps, "trapezoid")
        order = session.order(self.steps)
        done: Any = 0.0
        if not cuts:
            session.expect(self.cost(tuple(map(int, images.shape))))
        for i, baseline in enumerate(session.baselines(self.baseline, images)):
            path = StraightPath(session.ops, baseline, images, alphas[order])
            around: Any = 0.0
            if not cuts:
                *_, (around, _) = session.summed_gradients(path, weights[order], selected=0 * selected)
            for total, seen in session.summed_gradients(path, weights[order], selected=selected):
                there = around if cuts else around[:, : total.shape[1]]
                mask = (total / seen - there) * path.difference[: total.shape[1]]
                yield mask if i == 0 else (done[:, : mask.shape[1]] + mask) / (i + 1)
            done = done + mask

    def _selected(self, images: Any, session: Session[Any]) -> tuple[np.ndarray, bool]:
        """Return the selected units, float (…, K) in the shape of the layer, and whether the layer cuts the model."""
        model: Any = session.model
        with model.lock:
            (values,) = model.activations(images[:1], whole=True)
            grid, before = model.layer_grid(images)
            cuts = model.cuts(images)
        shape = tuple(map(int, values.shape[1:]))
        selected = np.zeros(shape, np.float32)
        selected[self._index(shape, grid, before)] = 1
        if not selected.any():
            raise BadTarget(f"The unit {self.unit} selects nothing of a layer with values of shape {shape}.")
        return selected, bool(cuts)

    def _index(self, shape: tuple[int, ...], grid: tuple[int, int] | None, before: int) -> tuple[Any, ...]:
        """Return the index of the units in the values of the layer.

        Raises:
            BadTarget: there is no such unit.
        """
        if self.unit is None:
            return ()
        *place, channel = self.unit if isinstance(self.unit, tuple | list) else (self.unit,)
        sizes: tuple[int, ...] = shape
        tokens = len(place) == 2 and len(shape) == 2 and grid is not None
        if tokens and grid is not None:
            sizes = (*grid, shape[-1])
        at = (*(place or (slice(None),) * (len(sizes) - 1)), channel)
        inside = (isinstance(each, slice) or -size <= each < size for each, size in zip(at, sizes, strict=False))
        if len(at) != len(sizes) or not all(inside):
            raise BadTarget(f"There is no unit {self.unit} in a layer with values of shape {shape}.")
        if tokens and grid is not None:
            numbers = before + np.arange(grid[0] * grid[1]).reshape(grid)
            return (np.ravel(numbers[at[0], at[1]]), at[2])
        return at
