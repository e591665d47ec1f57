"""One picture: for the browser, and packed with what was found for when no kernel answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from PIL import Image

from saliency_widget.pictures import drawing
from saliency_widget.protocol.messages import Message, pack

PICTURE_SIDE, SMALL_SIDE = 1024, 384
"""The longest side of the picture in the browser; and of stored pictures, which notebooks are saved with."""

SNAPSHOT_BYTES = 24_000
"""Of a compact packet, which every notebook is saved with: as text it is a third larger. A first result that is larger
at the least of :data:`SIDES` is kept all the same."""

SIDES = (256, 128, 96, 64)
"""Of compact maps, the first that fit: what is all grain, as gradients are, does not deflate."""


class Exhibit:
    """A picture as it is shown.

    Args:
        picture: uint8 (H, W, 3), with sides of at most :data:`PICTURE_SIDE`.
        index: of the image among those of the widget.
    """

    def __init__(self, picture: np.ndarray, index: int = 0) -> None:
        self.picture, self.index = picture, index

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.picture.shape[0], self.picture.shape[1]

    def welcome(self, rid: str = "") -> Message:
        """The picture in full."""
        return self._message(self.png, "image/png", rid)

    @cached_property
    def png(self) -> bytes:
        """The picture as a file; to be made before the browser asks, for whoever answers it has no time."""
        return drawing.png(Image.fromarray(self.picture))

    def thumbnail(self, side: int = SMALL_SIDE) -> Message:
        """The picture with sides of at most `side`, for what a notebook is saved with."""
        small = Image.fromarray(drawing.shrunk(self.picture, side))
        return self._message(drawing.encoded(small, "JPEG", quality=70), "image/jpeg")

    def _message(self, data: bytes, mime: str, rid: str = "") -> Message:
        size = list(self.size)
        fields = {"op": "welcome", "rid": rid, "image": self.index, "format": mime, "size": size}
        return Message(fields, {"picture": data})


def compact_packet(
    begin: Sequence[Message], results: Sequence[Sequence[Message]], wanted: int = 1, answers: Sequence[Message] = ()
) -> bytes:
    """What comes first, and results at one byte a pixel while there is room.

    Args:
        begin: what comes first.
        results: each with what belongs to it; the first is there in any case.
        wanted: so many of them are rather coarse than left out.
        answers: what is there if there is room left, of many the first.
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
