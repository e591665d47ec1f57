"""The `examples` message, see docs/widget-protocol.md."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from PIL import Image

import saliency
from saliency_widget.pictures import drawing
from saliency_widget.protocol.messages import Message, blocks, finite, message, readable

THUMBNAIL_SIDE = 240
"""Maximum side in pixels of a training image."""

SHARED_SIDE = 32
"""Maximum side of a map of what two images share; larger ones are averaged."""

BRIGHTEST = 99
"""Percentile of a map that has the level 255."""


def examples_message(
    found: saliency.influence.Influence, known: Collection[str] = (), done: Callable[[int], None] = lambda _: None
) -> Message:
    """Return the `examples` of an answer: the training images for and against it, with what they share with it.

    Args:
        found: the influence of the training images.
        known: notes that are shown elsewhere.
        done: called with the number of training images that are read.
    """
    notes = [each for each in found.notes if each not in known]
    rows: list[dict[str, Any]] = []
    buffers: dict[str, bytes | np.ndarray] = {}
    maps: list[np.ndarray] = []
    for i, each in enumerate((*found.proponents, *found.opponents)):
        picture, shared, lacking = _read(each)
        notes += [reason for reason in lacking if reason not in notes]
        if picture is not None:
            image = Image.fromarray(drawing.shrunk(picture, THUMBNAIL_SIDE))
            buffers[str(i)] = drawing.encoded(image, "JPEG", quality=80)
        maps += shared
        rows.append(
            {
                "index": each.index,
                "name": readable(each.name),
                "label": readable(each.label),
                "score": finite(each.score),
                "loss": finite(each.loss),
                "size": [1, 1] if picture is None else list(picture.shape[:2]),
                "shared": [list(levels.shape) for levels in shared] or None,
            }
        )
        done(i + 1)
    if maps:
        buffers["maps"] = np.concatenate([each.ravel() for each in maps])
    fields = message(
        "examples",
        label=readable(found.label),
        method=found.method,
        unit=found.unit,
        count=len(found.scores),
        notes=[readable(each) for each in notes],
        examples=rows,
    )
    return Message(fields.fields, buffers)


def _read(image: saliency.influence.TrainingImage) -> tuple[np.ndarray | None, list[np.ndarray], list[str]]:
    """Return a training image, the maps of what the picture and it share, and why one of these is missing."""
    try:
        picture = image.picture
    except saliency.SaliencyError as reason:
        return None, [], [str(reason)]
    try:
        return picture, [_levels(each) for each in image.similarity()], []
    except saliency.SaliencyError as reason:
        return picture, [], [f"no maps of what the images share: {reason}"]


def _levels(found: saliency.Explanation) -> np.ndarray:
    """Return a map on the whole picture, from 0 to 255: of the values within the model's view."""
    values = found.on_picture()
    values = blocks(values, -(-max(values.shape) // SHARED_SIDE))
    low, high = found.mask.min(), np.percentile(found.mask, BRIGHTEST)
    share = np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros_like(values)
    return np.asarray(np.rint(255 * share), np.uint8)
