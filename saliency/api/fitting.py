"""Fit a method to a model and its inputs: resolve layer names, pack baselines of multi-input models."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from saliency.core.method import Method
from saliency.errors import Unsupported
from saliency.model.inputs import Inputs
from saliency.model.protocols import Adapted


def with_layer_names(method: Method, adapted: Adapted[Any]) -> Method:
    """Return the method, and the method inside it, with layers given as modules replaced by their names."""
    changes: dict[str, Any] = {}
    for each in fields(method):
        value = getattr(method, each.name)
        if isinstance(value, Method):
            changes[each.name] = with_layer_names(value, adapted)
        elif each.name == "layer" and value is not None:
            changes[each.name] = adapted.layer_name(value)
    return method.but(**changes) if changes else method


def layers_for(method: Method, adapted: Adapted[Any], images: Any, notes: list[str]) -> list[str]:
    """Return the names of the method's layers, each once; `notes` receives those chosen automatically."""
    wanted = method.layers
    if all(isinstance(layer, str) for layer in wanted):
        return list(dict.fromkeys(map(str, wanted)))
    with adapted.lock:
        automatic, which = adapted.automatic_layers(images)
    found: list[str] = []
    for layer in wanted:
        if isinstance(layer, str):
            found.append(layer)
            continue
        place = 0 if layer is None else -1 - layer
        # a model with fewer grid sizes than requested layers has fewer layers read
        if place < len(automatic) and automatic[place] not in found:
            found.append(automatic[place])
            notes.append(f"layer: {automatic[place]}, {'the last at its grid size' if place else which}")
    return found


def for_inputs(method: Method, inputs: Inputs, offered: str) -> Method:
    """Return the method for packed inputs: its baselines, and those of the method inside it, are packed likewise.

    Args:
        method: the method as given.
        inputs: the model's inputs.
        offered: a sentence that lists the methods that work.

    Raises:
        Unsupported: the method needs a picture.
    """
    changes: dict[str, Any] = {}
    for each in fields(method):
        value = getattr(method, each.name)
        if isinstance(value, Method):
            changes[each.name] = for_inputs(value, inputs, offered)
        elif each.name == "baseline" and not method.images_only:
            changes[each.name] = inputs.baseline(value)
    if method.images_only:
        raise Unsupported(
            f"{type(method).__name__} needs a picture with rows, columns and colours, and was given a list of inputs. "
            f"{offered}"
        )
    return method.but(**changes)
