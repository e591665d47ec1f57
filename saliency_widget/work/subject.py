"""What one explainer is about: a model, a picture as that model sees it, and the methods on offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import saliency
from saliency_widget.pictures.placement import Place
from saliency_widget.traits.methods import Choice


@dataclass(frozen=True)
class Subject:
    """What is explained, and how."""

    model: Any
    picture: saliency.Picture
    choices: Mapping[str, Choice]
    place: Place
    labels: Sequence[str] | None
    batch_size: int | str
    activation: str
    output: Any

    def adapted(self) -> saliency.Adapted[Any]:
        """The model as it is now; adapting is cheap, and sees layers and tensors that were replaced."""
        read_as = {"activation": self.activation, "output": self.output}
        return saliency.adapt(self.model, labels=self.labels, image=lambda: self.picture.fed, **read_as)
