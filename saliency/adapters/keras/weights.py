"""Weights of Keras models: the trained or frozen variables of each layer, without running statistics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from saliency.adapters.weights import QUANTISED

FOREIGN = frozenset({"TorchModuleWrapper", "TFSMLayer"})
"""Layers that do not read their weights from Keras' variables."""


def named_layers(layer: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (name, layer) of every layer inside a layer; the name includes the outer layers: "inner/conv"."""
    for each in layer._flatten_layers(include_self=False, recursive=False):
        yield f"{path}{each.name}", each
        yield from named_layers(each, f"{path}{each.name}/")


def named_weights(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name, variable) of every weight tensor of a floating type: "inner/conv/kernel"."""
    for path, layer in (("", model), *named_layers(model)):
        # which variables are weights was decided when they were created: a frozen layer has some, too
        for variable in layer._trainable_variables:
            if "float" in str(variable.dtype):
                yield f"{path}/{variable.name}".lstrip("/"), variable


def unchangeable(model: Any) -> str | None:
    """Return how the reason ends why a model's weights cannot be changed; None if they can."""
    for layer in model._flatten_layers():
        if getattr(layer, "quantization_mode", None) is not None:
            return QUANTISED
        if type(layer).__name__ in FOREIGN:
            return f"contains a {type(layer).__name__}, whose weights Keras does not hold: pass the model inside"
    return None
