"""Hugging Face transformers: what their models say of themselves beside what every torch module does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from saliency.adapters.torch import TorchModel


class HuggingFaceModel(TorchModel):
    """A ``transformers.PreTrainedModel`` that takes images, with targets and layers bound.

    Args:
        module: the user's own.
        labels: names of the classes; those of its configuration by default.
    """

    def __init__(self, module: nn.Module, labels: Sequence[str] | None = None) -> None:
        super().__init__(module, labels)
        self._config: Any = getattr(self.module, "config", None)
        if labels is None:
            self.labels = _labels(self._config)

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width that the model was made for."""
        inner = getattr(self._config, "vision_config", None) or self._config
        size = getattr(inner, "image_size", None)
        if isinstance(size, int):
            return size, size
        return (int(size[0]), int(size[1])) if isinstance(size, list | tuple) and len(size) == 2 else None

    def _call(self, module: nn.Module, fed: Tensor) -> Any:
        return module(pixel_values=fed)


def _labels(config: Any) -> list[str] | None:
    """The configuration's names of classes; None where they are only numbered (LABEL_0, LABEL_1, …)."""
    names = getattr(config, "id2label", None) or {}
    labels = [str(names[key]) for key in sorted(names, key=int)]
    numbered = all(label == f"LABEL_{i}" for i, label in enumerate(labels))
    return None if numbered else labels
