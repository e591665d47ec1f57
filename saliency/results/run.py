"""A method prepared to run: :class:`Run`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from saliency.core.method import Method
from saliency.model.inputs import Inputs
from saliency.model.protocols import Adapted
from saliency.model.resolve import Resolved
from saliency.pictures.picture import Picture
from saliency.session.baselines import Passed
from saliency.session.session import Session
from saliency.targets import OfEach


class LayerPlace(NamedTuple):
    """The layer whose values a mask is over, and its place on the picture."""

    grid: tuple[int, int] | None
    """Height and width of its grid on the model's input; None without one."""
    before: int
    """Number of tokens without a position before those of the grid."""
    spread: tuple[int, ...] | None = None
    """The layer's shape, if the mask (K, 1) has one value for each channel, to be spread evenly over its places."""

    cuts: bool = True
    """Whether the scores depend on the image through the layer alone, so that a mask can be complete."""

    def mask(self, values: np.ndarray) -> np.ndarray:
        """Return a mask in the shape of the layer, from the values that the method computed."""
        if self.spread is None:
            return values
        places = int(np.prod(self.spread[:-1]))
        return np.asarray(np.broadcast_to(values[:, 0] / places, self.spread))

    def placement(self, picture: Any) -> np.ndarray:
        """Return the affine map (2, 3) from a position of the grid to the picture; the picture's own without a grid."""
        placement: np.ndarray = picture.placement
        if self.grid is None or picture.fed.ndim != 4:
            return placement
        scale = np.array(picture.fed.shape[1:3]) / self.grid
        # a position is the middle of its cell
        return np.column_stack([placement[:, :2] * scale, placement[:, :2] @ (scale / 2 - 0.5) + placement[:, 2]])


@dataclass(frozen=True)
class Run:
    """A method that is ready to run: fitted to a model, with targets and layers bound.

    Attributes:
        pictures: the B pictures with the model's input; or B times several inputs, packed into one row each.
        images: the input in the model's own array type, (B, H, W, C) or (B, D).
        method: the method as it runs.
        caption: the method as the user would write it.
        targets: for each picture, its targets.
        several: whether a list of targets was given, so that each picture has a list of explanations.
        layers: names of the bound layers.
        model: the model, with targets and layers bound.
        notes: for each picture, the settings used, in sentences.
        own: by row, the targets whose function differs between the pictures.
        alone: whether images are evaluated one at a time, because the model's outputs depend on the batch.
        place: the layer that the masks are over; None where they are over the input.
        passed: how baselines become values of the layer, where the method starts at one.
        scores: of the pictures, (k, B), if they are known from the outputs that determined the targets.
        settle: returns targets and notes, where the targets are the top classes that the run itself finds.
    """

    pictures: Sequence[Picture | Inputs]
    images: Any
    method: Method
    caption: str
    targets: Sequence[Sequence[Resolved]]
    several: bool
    layers: Sequence[str]
    model: Adapted[Any]
    notes: Sequence[Sequence[str]]
    alone: bool = False
    own: Sequence[OfEach] = ()
    place: LayerPlace | None = None
    passed: Passed | None = None
    scores: np.ndarray | None = None
    settle: Callable[[], tuple[Sequence[Sequence[Resolved]], Sequence[Sequence[str]]]] | None = None

    def settled(self) -> Run:
        """Return the run with its final targets and notes; call it after the pass over the pictures."""
        if self.settle is None:
            return self
        targets, notes = self.settle()
        return replace(self, targets=targets, notes=notes, settle=None)

    @property
    def rows(self) -> int:
        """The number k of bound targets; fewer than all pictures' targets where these share some."""
        return 1 + max(each.row for targets in self.targets for each in targets)

    @property
    def total(self) -> int:
        """The number of images the method evaluates, as far as it is known beforehand."""
        return self.method.cost(tuple(map(int, self.images.shape)))

    def session(self, *, batch_size: int | str = "auto", **options: Any) -> Session[Any]:
        """Return a session for this run; for `options` see :class:`Session`."""
        first = self.pictures[0]
        return Session(
            self.model,
            batch_size=1 if self.alone else batch_size,
            total=self.total,
            named_baseline=lambda name, _: np.concatenate([each.without(name) for each in self.pictures]),
            inputs=first.packing.places if isinstance(first, Inputs) and self.passed is None else (),
            passed=self.passed,
            own=self.own,
            layers=self.layers,
            **options,
        )
