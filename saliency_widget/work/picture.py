"""The picture that the browser shows, and the compact packet that a notebook is saved with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from saliency_widget.pictures import drawing
from saliency_widget.protocol.messages import Message, pack

PICTURE_SIDE, SMALL_SIDE = 1024, 384
"""Longest side in pixels of the picture in the browser, and of the pictures that notebooks are saved with."""

SNAPSHOT_BYTES = 24_000
"""Maximum size in bytes of the compact packet that a notebook is saved with, a third larger as text.

The first result is included even if it is larger at the smallest of :data:`SIDES`."""

SIDES = (256, 128, 96, 64)
"""Sides in pixels of compact maps; the first that fits is used. Noisy maps, as gradients are, hardly compress."""


class ShownPicture:
    """A picture in the size in which the browser shows it.

    Args:
        picture: uint8 (H, W, 3). It is shown with sides of at most :data:`PICTURE_SIDE`.
        index: index of the image in the widget.
    """

    def __init__(self, picture: np.ndarray, index: int = 0) -> None:
        self.index = index
        self.pixels = drawing.shrunk(picture, PICTURE_SIDE)
        self._full = picture.shape[0], picture.shape[1]

    def spec(self, name: str) -> dict[str, Any]:
        """Return the entry of the image in the trait `spec`."""
        entry = {"name": name, "size": list(self.size)}
        return entry if self._full == self.size else {**entry, "full": list(self._full)}

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def welcome(self, rid: str = "") -> Message:
        """Return the `welcome` with the picture in full size."""
        return self._message(self.png, "image/png", rid)

    @cached_property
    def png(self) -> bytes:
        """The picture as a PNG file. Encode it before the browser requests it, as message handlers must not block."""
        return drawing.png(Image.fromarray(self.pixels))

    def thumbnail(self, side: int = SMALL_SIDE) -> Message:
        """Return the `welcome` with the picture reduced to sides of at most `side`, for saved notebooks."""
        small = Image.fromarray(drawing.shrunk(self.pixels, side))
        return self._message(drawing.encoded(small, "JPEG", quality=70), "image/jpeg")

    def _message(self, data: bytes, mime: str, rid: str = "") -> Message:
        size = list(self.size)
        fields = {"op": "welcome", "rid": rid, "image": self.index, "format": mime, "size": size}
        return Message(fields, {"picture": data})


def compact_packet(
    begin: Sequence[Message], results: Sequence[Sequence[Message]], wanted: int = 1, answers: Sequence[Message] = ()
) -> bytes:
    """Pack as many results as fit into :data:`SNAPSHOT_BYTES`, at one byte a value.

    Args:
        begin: messages that are always included, first.
        results: each result with the messages that belong to it; the first is always included.
        wanted: number of results for which a lower resolution is preferred to leaving them out.
        answers: messages that are added, in this order, if they fit.
    """

    def packed(count: int, side: int, answered: int = 0) -> bytes:
        several = [each for group in results[:count] for each in group]
        return pack([*begin, *several, *answers[:answered]], compact=side)

    for count in (wanted, 1):
        for side in SIDES:
            packet = packed(count, side)
            if len(packet) <= SNAPSHOT_BYTES:
                break
        else:
            continue
        break
    while count < len(results) and len(larger := packed(count + 1, side)) <= SNAPSHOT_BYTES:
        packet, count = larger, count + 1
    answered = len(answers)
    while answered and len(larger := packed(count, side, answered)) > SNAPSHOT_BYTES:
        answered //= 2
    return larger if answered else packet
