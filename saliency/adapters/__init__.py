"""One adapter per framework, and the door that finds the right one without importing any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from saliency.errors import Unsupported
from saliency.model import Adapted


def adapt(model: Any, *, labels: Sequence[str] | None = None) -> Adapted[Any]:
    """Any model as one the package can ask.

    Args:
        model: a ``torch.nn.Module``, one of Hugging Face's transformers, or a function from NumPy images (N, H, W, C)
            to scores (N, classes). A model that was adapted already is given back.
        labels: names of the classes, in their order.

    Raises:
        Unsupported: the model is none of these.
    """
    frameworks = {base.__module__.partition(".")[0] for base in type(model).__mro__}
    if "saliency" in frameworks and hasattr(model, "at"):
        return _relabelled(model, labels)
    if "transformers" in frameworks and hasattr(model, "named_modules"):
        from saliency.adapters.huggingface import HuggingFaceModel

        return HuggingFaceModel(model, labels)
    if "torch" in frameworks and hasattr(model, "named_modules"):
        from saliency.adapters.torch import TorchModel

        return TorchModel(model, labels)
    if callable(model) and not isinstance(model, type):
        from saliency.adapters.function import FunctionModel

        return FunctionModel(model, labels)
    raise Unsupported(
        f"Expected a model (a torch.nn.Module, or a function from images (N, H, W, C) to scores (N, classes)), "
        f"got {type(model).__module__}.{type(model).__qualname__}."
    )


def _relabelled(model: Adapted[Any], labels: Sequence[str] | None) -> Adapted[Any]:
    if labels is not None:
        model.labels = labels
    return model
