"""A method prepared to run: :class:`Run`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from saliency.core.method import Method
from saliency.model.inputs import Inputs
from saliency.model.protocols import Adapted
from saliency.model.resolve import Resolved
from saliency.pictures.picture import Picture
from saliency.session.session import Session


@dataclass(frozen=True)
class Run:
    """A method that is ready to run: fitted to a model, with targets and layers bound.

    Attributes:
        picture: the picture with the model's input; or several inputs, packed into one.
        images: the input in the model's own array type, (1, H, W, C) or (1, D).
        method: the method as it runs.
        caption: the method as the user would write it.
        targets: the k targets.
        layers: names of the bound layers.
        model: the model, with targets and layers bound.
        notes: what was decided automatically.
        alone: whether images are evaluated one at a time, because the model's outputs depend on the batch.
    """

    picture: Picture | Inputs
    images: Any
    method: Method
    caption: str
    targets: Sequence[Resolved]
    layers: Sequence[str]
    model: Adapted[Any]
    notes: Sequence[str]
    alone: bool = False

    @property
    def total(self) -> int:
        """The number of images the method evaluates, as far as it is known beforehand."""
        return self.method.cost(tuple(self.picture.fed.shape))

    def session(self, *, batch_size: int | str = "auto", **options: Any) -> Session[Any]:
        """Return a session for this run; for `options` see :class:`Session`."""
        picture = self.picture
        return Session(
            self.model,
            batch_size=1 if self.alone else batch_size,
            total=self.total,
            named_baseline=lambda name, _: picture.without(name),
            inputs=picture.packing.places if isinstance(picture, Inputs) else (),
            **options,
        )
