"""Hugging Face transformers: labels, image sizes and processors from their configurations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from saliency.adapters.torch.model import TorchModel
from saliency.pictures.presets import Declared

PROBLEMS = {"multi_label_classification": "sigmoid", "regression": "none"}
"""Activation of the outputs by the configuration's problem_type; "auto" for any other."""


class HuggingFaceModel(TorchModel):
    """A ``transformers.PreTrainedModel`` that takes images, with targets and layers bound.

    Args:
        module: the user's own.
        labels: names of the classes; by default those of its configuration.
    """

    def __init__(self, module: nn.Module, labels: Sequence[str] | None = None) -> None:
        super().__init__(module, labels)
        self._config: Any = getattr(self.module, "config", None)
        self.size = _size(self._config)
        if labels is None:
            self.labels = _labels(self._config)
        kind = getattr(self._config, "problem_type", None)
        if kind in PROBLEMS:
            self._declared_activation = PROBLEMS[kind]
            self.note(f"problem_type in the model's configuration: {kind}")

    @property
    def declared(self) -> Declared | None:
        """The image processor stored with the weights, in a folder or the cache; it is never downloaded."""
        return self._declared or self._shared.once("processor", lambda: _processor(self._config))

    @declared.setter
    def declared(self, declared: Declared) -> None:
        self._declared = declared

    @staticmethod
    def _call(module: nn.Module, fed: Tensor) -> Any:
        return module(pixel_values=fed)


def _size(config: Any) -> tuple[int, int] | None:
    """Return the height and width of the configuration's images; None without them."""
    inner = getattr(config, "vision_config", None) or config
    size = getattr(inner, "image_size", None)
    if isinstance(size, int):
        return size, size
    return (int(size[0]), int(size[1])) if isinstance(size, list | tuple) and len(size) == 2 else None


def _labels(config: Any) -> list[str] | None:
    """Return the configuration's class names; None if they are only numbered (LABEL_0, LABEL_1, …)."""
    names = getattr(config, "id2label", None) or {}
    labels = [str(names[key]) for key in sorted(names, key=int)]
    numbered = all(label == f"LABEL_{i}" for i, label in enumerate(labels))
    return None if numbered else labels


def _processor(config: Any) -> Declared | None:
    """Return the image processor of the configuration's checkpoint; None if it is not on this machine."""
    if not (name := getattr(config, "_name_or_path", "")):
        return None
    from transformers import AutoImageProcessor

    find: Any = AutoImageProcessor.from_pretrained
    try:
        processor = find(name, local_files_only=True, trust_remote_code=False)
    except Exception:  # noqa: BLE001  # missing, damaged, needs remote code, or a library is missing
        return None
    return Declared(processor, f"preprocessing of {type(processor).__name__}, stored with the weights of {name}")
