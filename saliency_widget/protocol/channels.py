"""The `channels` message, see docs/widget-protocol.md."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

import saliency
from saliency_widget.pictures.placement import Placement, Size
from saliency_widget.protocol.messages import Message, blocks, finite, message, readable

MOST_CHANNELS = 20
"""Maximum number of channels in a message."""

MOST_SIDE = 64
"""Maximum side of a channel's map; larger ones are averaged."""

LEVELS = 127
"""The level of a map's largest absolute value."""


def channels_message(
    found: saliency.LayerExplanation,
    layers: Sequence[str],
    placement: Placement,
    fed: Size,
    known: Collection[str] = (),
) -> Message:
    """Return the `channels` of an attribution to a layer: its top channels with their maps.

    Args:
        found: the attribution.
        layers: names of the layers that can be chosen.
        placement: placement of the model's input in the shown picture.
        fed: height and width of the model's input.
        known: notes that are shown elsewhere.
    """
    table = found.channels[:MOST_CHANNELS]
    laid = _laid(found)
    levels = levels_of([] if laid is None else [laid[..., each.index] for each in table], placement, fed)
    fields = message(
        "channels",
        layer=found.layer,
        layers=list(layers),
        label=readable(found.label),
        count=int(found.mask.shape[-1]),
        images=found.images,
        notes=[readable(each) for each in found.notes if each not in known],
        place=list(placement.rectangle),
        shape=list(levels[0].shape) if levels else None,
        channels=[{"index": each.index, "sum": finite(each.sum), "share": finite(each.share)} for each in table],
    )
    return Message(fields.fields, {"maps": np.stack(levels)} if levels else {})


def levels_of(planes: Sequence[np.ndarray], placement: Placement, fed: Size) -> list[np.ndarray]:
    """Return maps on a layer's grid as they are sent: int8, in the orientation of the shown picture.

    The level of the largest absolute value of each is :data:`LEVELS`.

    Args:
        planes: the maps, (h, w).
        placement: placement of the model's input in the shown picture.
        fed: height and width of the model's input.
    """
    shown = [_shown(each, placement, fed) for each in planes]
    reaches = [float(np.abs(each).max()) for each in shown]
    return [
        np.rint(plane * (LEVELS / reach if reach else 0)).astype(np.int8)
        for plane, reach in zip(shown, reaches, strict=True)
    ]


def _laid(found: saliency.LayerExplanation) -> np.ndarray | None:
    """Return the mask on the layer's grid, (h, w, K), without tokens that have no position; None without a grid."""
    if found.grid is None or found.mask.ndim == 3:
        return None if found.grid is None else found.mask
    height, width = found.grid
    return found.mask[found.before : found.before + height * width].reshape(height, width, -1)


def _shown(plane: np.ndarray, placement: Placement, fed: Size) -> np.ndarray:
    """Return the map of a channel in the orientation of the shown picture."""
    if placement.turn is not None:
        rows, columns = (np.arange(side) * cells // side for side, cells in zip(fed, plane.shape, strict=True))
        plane = placement.turn(plane[np.ix_(rows, columns)], 0)
    return blocks(plane, -(-max(plane.shape) // MOST_SIDE))
