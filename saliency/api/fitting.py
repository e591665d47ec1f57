"""Fit a method to a model and its inputs: layer names, baselines of multi-input models; bind targets and layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from saliency.api.methods import candidates, named, offered, unsupported, with_field
from saliency.core.method import Method
from saliency.errors import BadArgument, SaliencyError, Unsupported
from saliency.model.inputs import Inputs
from saliency.model.protocols import Adapted, Target, lacking


def fitted(
    method: str | Method | type[Method],
    changes: Mapping[str, Any],
    adapted: Adapted[Any],
    pictures: Sequence[Any],
    images: Callable[[], Any],
    notes: list[str],
    at: Any = None,
) -> tuple[Method, str]:
    """Return the method as it runs on this model, and its caption: the method as the user would write it.

    Args:
        method: an id, a method, its class, or "auto".
        changes: fields of the method, or of the method inside it; None leaves a field unchanged.
        adapted: the model.
        pictures: its input, one or more pictures, or several inputs packed into one.
        images: returns the same in the model's own array type, (B, H, W, C).
        notes: receives the settings used.
        at: the layer on whose values the method runs; None for the image.

    Raises:
        Unsupported: the model does not support what the method needs.
    """
    first = pictures[0]
    several_inputs = isinstance(first, Inputs)
    no_picture = several_inputs or at is not None
    used = automatic(adapted, no_picture, images, notes) if method == "auto" else named(method)
    if at is not None and changes.get("layer") is not None:
        raise BadArgument("at= and layer= exclude each other: a method runs on the values of at=, or reads layer=.")
    for name, value in changes.items():
        if value is not None:
            used = with_field(used, name, value)
    if (why := lacking(adapted, used.needs)) is not None:
        raise unsupported(used, adapted, why, several_inputs)
    if used.layers:
        used = with_layer_names(used, adapted)
    caption = repr(used)
    if at is not None:
        used.on_values(1)  # refused before the model is called
    return (for_inputs(used, first, adapted, at) if isinstance(first, Inputs) else used), caption


def automatic(adapted: Adapted[Any], no_picture: bool, images: Callable[[], Any], notes: list[str]) -> Method:
    """Return the first candidate of "auto" whose layers the model has; `notes` receives why it was chosen."""
    *better, last = candidates(adapted, no_picture)
    found, note = next((each for each in better if _has_layers(each[0], adapted, images)), last)
    notes.append(note)
    return found


def _has_layers(method: Method, adapted: Adapted[Any], images: Callable[[], Any]) -> bool:
    """Return whether the model has the layers that a method reads."""
    try:
        return not method.layers or bool(layers_for(method, adapted, images(), []))
    except SaliencyError:
        return False  # no layer has a spatial grid


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


def bound_for(
    method: Method,
    adapted: Adapted[Any],
    explained: Sequence[int | Target],
    images: Any,
    notes: list[str],
) -> tuple[Adapted[Any], list[str]]:
    """Return the model with the targets and the method's layers bound, and the names of these layers.

    Args:
        method: the method.
        adapted: the model.
        explained: the functions of the targets.
        images: the model's input, (B, H, W, C).
        notes: receives the layers that were chosen automatically.
    """
    bound = adapted.at(explained)
    layers = layers_for(method, bound, images, notes)
    return (bound.at(explained, layers) if layers else bound), layers


def for_inputs(method: Method, inputs: Inputs, adapted: Adapted[Any], at: Any = None) -> Method:
    """Return the method for packed inputs: its baselines, and those of the method inside it, are packed likewise.

    Args:
        method: the method as given.
        inputs: the model's inputs.
        adapted: the model.
        at: the layer on whose values the method runs, which takes no picture; None for the inputs.

    Raises:
        Unsupported: the method needs a picture.
    """
    changes: dict[str, Any] = {}
    for each in fields(method):
        value = getattr(method, each.name)
        if isinstance(value, Method):
            changes[each.name] = for_inputs(value, inputs, adapted, at)
        elif each.name == "baseline" and (at is not None or not method.images_only):
            changes[each.name] = inputs.baseline(value)
    if method.images_only and at is None:
        raise Unsupported(
            f"{type(method).__name__} needs a picture with rows, columns and colours, and was given a list of inputs. "
            f"{offered(adapted, True)}"
        )
    return method.but(**changes)
