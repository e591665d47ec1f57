"""One picture and what is laid over it: for the browser, as a still, and packed for when no kernel answers."""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from PIL import Image

from saliency_widget import drawing
from saliency_widget.found import Found
from saliency_widget.wire import Message, maps_in, pack

PICTURE_SIDE, SMALL_SIDE = 1024, 384
"""The longest side of the picture in the browser; and of stills and stored pictures, which notebooks are saved with."""

LEAST_WIDTH = 448
"""Of a PNG file, unless its width is given."""

SNAPSHOT_BYTES = 28_000
"""Of a compact packet, which every notebook is saved with: as text it is a third larger. A first result that is larger
at the least of :data:`SIDES` is kept all the same."""

SIDES = (256, 128, 96, 64)
"""Of compact maps, the first that fit: what is all grain, as gradients are, does not deflate."""

PAGE_SIDE = 240
"""The longest side of the picture in HTML, which notebooks are saved with beside the PNG file."""


class Exhibit:
    """A picture as it is shown.

    Args:
        picture: uint8 (H, W, 3), with sides of at most :data:`PICTURE_SIDE`.
        index: of the image among those of the widget.
    """

    def __init__(self, picture: np.ndarray, index: int = 0) -> None:
        self._picture, self.index = picture, index

    def welcome(self, rid: str = "") -> Message:
        """The picture in full."""
        return self._message(self.png, "image/png", rid)

    @cached_property
    def png(self) -> bytes:
        """The picture as a file; to be made before the browser asks, for whoever answers it has no time."""
        return drawing.png(Image.fromarray(self._picture))

    def draw(self, found: Found | None, view: drawing.View, width: int | None = None) -> Image.Image:
        """The picture, with a result laid over it; `width` pixels wide."""
        shown = None
        if found is not None:
            explanation = found.explanation
            regions = None if explanation.regions is None else explanation.regions.table
            place = found.message.fields["result"]["place"]
            shown = drawing.Shown(maps_in(found.message), explanation.sign, regions, place)
        wide = max(self._picture.shape[1], LEAST_WIDTH) if width is None else width
        return drawing.draw(self._picture, shown, view, wide)

    def still(self, found: Found | None, view: drawing.View, caption: str) -> tuple[bytes, str]:
        """A small drawing as a PNG file, and as HTML with its caption."""
        height, width = self._picture.shape[:2]
        image = self.draw(found, view, max(1, round(SMALL_SIDE * width / max(height, width))))
        smaller = Image.fromarray(drawing.shrunk(np.asarray(image), PAGE_SIDE))
        # a table of 256 colours makes it a third of the size
        return drawing.png(image.quantize(256)), _figure(smaller, caption)

    def figure(self, found: Found | None, view: drawing.View, caption: str) -> str:
        """A drawing as large as on the screen, as HTML with its caption."""
        return _figure(self.draw(found, view), caption)

    @cached_property
    def thumbnail(self) -> Message:
        small = Image.fromarray(drawing.shrunk(self._picture, SMALL_SIDE))
        return self._message(drawing.encoded(small, "JPEG", quality=70), "image/jpeg")

    def _message(self, data: bytes, mime: str, rid: str = "") -> Message:
        size = list(self._picture.shape[:2])
        fields = {"op": "welcome", "rid": rid, "image": self.index, "format": mime, "size": size}
        return Message(fields, {"picture": data})


def _figure(image: Image.Image, caption: str) -> str:
    told = html.escape(caption)
    source = drawing.data_url(drawing.encoded(image, "JPEG", quality=70), "image/jpeg")
    return f'<figure><img src="{source}" alt="{told}"><figcaption>{told}</figcaption></figure>'


def compact_packet(begin: Sequence[Message], results: Sequence[Sequence[Message]]) -> bytes:
    """What comes first, the first result at one byte a pixel, and others while there is room.

    Args:
        begin: what comes first.
        results: each with what the model has said of it; one at least.
    """
    packet = b""
    side = SIDES[-1]
    for side in SIDES:
        packet = pack([*begin, *results[0]], compact=side)
        if len(packet) <= SNAPSHOT_BYTES:
            break
    for count in range(2, len(results) + 1):
        larger = pack([*begin, *(each for group in results[:count] for each in group)], compact=side)
        if len(larger) > SNAPSHOT_BYTES:
            break
        packet = larger
    return packet
