"""The inputs of one explainer: a model, a picture as that model sees it, and the methods on offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import saliency
from saliency_widget.pictures.placement import Placement
from saliency_widget.traits.methods import OfferedMethod


@dataclass(frozen=True)
class Subject:
    """A model, a picture, and the settings of their explanations."""

    model: Any
    picture: saliency.Picture
    methods: Mapping[str, OfferedMethod]
    """By their ids."""
    placement: Placement
    """Placement of the maps in the shown picture."""
    labels: Sequence[str] | None
    batch_size: int | str
    activation: str
    output: Any

    def adapted(self) -> saliency.Adapted[Any]:
        """Adapt the model in its present state: adapting is cheap, and sees layers and tensors that were replaced."""
        options = {"activation": self.activation, "output": self.output}
        return saliency.adapt(self.model, labels=self.labels, image=lambda: self.picture.fed, **options)
