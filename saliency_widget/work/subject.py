"""The inputs of one explainer: a model, a picture as that model sees it, and the methods on offer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import saliency
from saliency_widget.pictures.placement import Placement, Placing
from saliency_widget.traits.methods import OfferedMethod
from saliency_widget.work.concepts import Concepts
from saliency_widget.work.options import Options


@dataclass(frozen=True)
class Subject:
    """A model, a picture, and the settings of their explanations."""

    model: Any
    picture: saliency.Picture
    methods: Mapping[str, OfferedMethod]
    """By their ids."""
    placing: Placing
    """Placement of the maps in the shown picture."""
    options: Options
    image: Any
    """The picture, as it was given to the widget."""
    index: saliency.influence.Index | None = None
    """The model's training images, if they are known."""
    concepts: Concepts = field(default_factory=Concepts)
    """The concepts that were given, with the values of their images."""

    @property
    def placement(self) -> Placement:
        """Placement of the maps in the shown picture."""
        return self.placing.placement

    def prepared(self) -> saliency.Prepared:
        """Prepare the model in its present state: this is cheap, and sees layers and tensors that were replaced.

        The picture is neither read nor preprocessed again.
        """
        return self.options.prepared(self.model, self.picture)
