"""Which layers of a model a method reads, where it does not name them."""

from __future__ import annotations

from typing import Any

from saliency.method import Method
from saliency.model import Adapted
from saliency.tables import LayerInfo


def layers_for(method: Method, adapted: Adapted[Any], images: Any, notes: list[str]) -> list[str]:
    """The names that the method's layers stand for, told in `notes` where they were found here."""
    found: list[str] = []
    for layer in method.layers:
        if isinstance(layer, str):
            found.append(layer)
            continue
        with adapted.lock:
            name = adapted.automatic_layer(images) if layer is None else _stage(adapted, images, layer)
        # a model with fewer grid sizes than are asked for has fewer layers read
        if name is not None and name not in found:
            found.append(name)
            which = "the last with a spatial grid" if layer in (None, -1) else "the last at its grid size"
            notes.append(f"layer: {name}, {which}")
    return found


def _stage(adapted: Adapted[Any], images: Any, stage: int) -> str | None:
    """The last layer at the last (-1), the last but one (-2), … grid size; None where there are fewer."""
    table = getattr(adapted, "layer_table", None)
    if table is None:
        return adapted.automatic_layer(images) if stage == -1 else None
    stages: dict[str, str] = {}
    named: set[str] = set()
    for row in map(LayerInfo._make, reversed(table(images))):
        # of a layer that is called more than once, its name stands for the last call
        if row.name not in named:
            stages.setdefault(row.grid, row.name)
        named.add(row.name)
    found = list(stages.values())
    return found[-1 - stage] if -stage <= len(found) else None
