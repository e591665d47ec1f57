"""Stills of a widget: offline pages, snapshots of notebooks, and pictures for hosts that run no scripts."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from saliency_widget import export
from saliency_widget.pictures import drawing
from saliency_widget.pictures.sheet import GAP, sheet
from saliency_widget.protocol.cells import Cell
from saliency_widget.protocol.gallery import items_message
from saliency_widget.protocol.messages import Message, readable
from saliency_widget.screen import Screen
from saliency_widget.traits.parameters import Controls
from saliency_widget.traits.settings import SETTINGS, Settings, view_of
from saliency_widget.work.explainers import Explainers
from saliency_widget.work.gallery import Gallery

LEAST_WIDTH, MOST_WIDTH = 448, 1600
"""Default widths in pixels of a PNG file: the minimum of a single picture, the maximum of several side by side."""

SMALL_SIDE, PAGE_SIDE = 384, 240
"""Longest side in pixels of the picture in a notebook's output, as PNG and in HTML."""

LONGEST = 400
"""Maximum number of characters of a caption."""

SHEET_PICTURES, SHEET_COLUMNS = 12, 6
"""Number of pictures of a gallery that are drawn without a browser, and in a row."""

SHEET_SIDE, SHEET_PAGE_SIDE = 720, 224
"""The same for several pictures side by side."""


class Stills:
    """Draws what a widget shows.

    Args:
        settings: the traits.
        explainers: the explainers of the widget.
        controls: the parameters of the methods.
        screen: the cells on the screen.
        gallery: the gallery of a widget with many pictures.
    """

    def __init__(
        self,
        settings: Settings,
        explainers: Explainers,
        controls: Controls,
        screen: Screen,
        gallery: Gallery | None = None,
    ) -> None:
        self._gallery = gallery
        self._settings, self._explainers, self._controls, self._screen = settings, explainers, controls, screen

    def png(self, width: int | None = None) -> bytes:
        """Return what is shown as a PNG file; only the picture if nothing is computed."""
        return drawing.png(self._draw(width))

    def bundle(self) -> dict[str, str]:
        """Return what is shown as a small PNG file and as HTML with a caption, by MIME type."""
        several = self._settings.gallery or len(self._screen.cells) > 1
        height, width = self._explainers.shown_picture.size
        side = SHEET_SIDE if several else SMALL_SIDE
        image = self._draw(side if several else max(1, round(side * width / max(height, width))))
        # limit the longest side, so that a grid with many rows is as small as one with many columns
        image = Image.fromarray(drawing.shrunk(np.asarray(image), side))
        smaller = Image.fromarray(drawing.shrunk(np.asarray(image), SHEET_PAGE_SIDE if several else PAGE_SIDE))
        # 256 colours reduce the file to a third
        png = base64.b64encode(drawing.png(image.quantize(256))).decode()
        return {"image/png": png, "text/html": _figure(smaller, self._caption())}

    def part(self) -> export.Part:
        """Return what a page has of the widget: everything computed so far."""
        settings, explainers = self._settings, self._explainers
        traits: dict[str, Any] = {name: getattr(settings, name) for name in ("spec", "parameters", *SETTINGS)}
        methods = sorted(explainers.computed_methods)
        gallery = [] if self._gallery is None else [items_message(self._gallery.still(), settings.model_index, "")]
        packet = explainers.packet([*self._described(methods), *gallery], settings.picked)
        return export.Part(traits, packet, _figure(self._draw(None), self._caption()))

    def snapshot(self) -> bytes:
        """Return the snapshot that a notebook is saved with; empty if nothing is computed."""
        return self._explainers.compact_packet(
            self._screen.cells, self._described([self._settings.method]), self._settings.picked
        )

    def precompute(self, *, what_if: bool, evidence: bool) -> None:
        """Wait for the running explanations, and compute what a page shows of each explanation.

        Args:
            what_if: whether to compute what-if results.
            evidence: whether to measure verdicts.

        Raises:
            Exception: any error of the model.
        """
        errors: list[Exception] = []
        try:
            self._explainers.wait()
            self._explainers.precompute(
                view_of(self._settings), self._settings.fill, errors.append, what_if=what_if, evidence=evidence
            )
            self._explainers.wait()
        except KeyboardInterrupt:
            self._explainers.cancel()
            raise
        for error in errors:
            raise error

    def _described(self, methods: Iterable[str]) -> list[Message]:
        """Return the `described` messages of methods with their current parameters, for pages without a kernel."""
        messages = []
        for method in methods:
            fields = self._settings.parameters.get(method, {})
            described = self._controls.described("", method, fields, self._explainers.shown.timing)
            messages.append(described.but(asked={"op": "describe", "method": method, "fields": fields}))
        return messages

    def _draw(self, width: int | None) -> Image.Image:
        """Draw all cells, `width` pixels wide together."""
        screen, cells = self._screen, self._screen.cells
        if self._settings.gallery and self._gallery is not None:
            return self._first_pictures(self._gallery, SHEET_SIDE if width is None else width)
        if len(cells) == 1:
            shown_picture = self._explainers.shown_picture
            wide = max(shown_picture.size[1], LEAST_WIDTH) if width is None else width
            return self._one(cells[0], wide)
        columns = screen.columns
        whole = min(columns * (LEAST_WIDTH + GAP), MOST_WIDTH) if width is None else width
        each = max(1, (whole + GAP) // columns - GAP)
        return sheet([self._one(cell, each) for cell in cells], [screen.name(cell, cells) for cell in cells], columns)

    def _first_pictures(self, gallery: Gallery, width: int) -> Image.Image:
        """Draw the first pictures of the gallery with their names and predictions, `width` pixels wide together."""
        items = [each for each in gallery.still() if each.picture][:SHEET_PICTURES]
        if not items:
            return Image.new("RGB", (width, 1))
        columns = min(len(items), SHEET_COLUMNS)
        side = max(1, (width + GAP) // columns - GAP)
        pictures, names = [], []
        for each in items:
            pictures.append(ImageOps.fit(Image.open(io.BytesIO(each.picture)), (side, side)))
            names.append(f"{each.name} · {each.label}" if each.label else each.name)
        return sheet(pictures, names, columns)

    def _one(self, cell: Cell, width: int) -> Image.Image:
        picture = self._explainers.inputs.pictures[cell.image].pixels
        return drawing.draw(picture, self._screen.drawn(cell), self._screen.view(cell), width)

    def _caption(self) -> str:
        """Return the caption in one line of limited length."""
        line = readable(" ".join(self._full_caption().split()))
        return line if len(line) <= LONGEST else line[:LONGEST] + "…"

    def _full_caption(self) -> str:
        spec, screen = self._settings.spec, self._screen
        cells = screen.cells
        if self._settings.gallery:
            return f"{spec['title']}: {spec['gallery']['count']:,} pictures, the first of them"
        if len(cells) > 1:
            return f"{spec['title']}: {'; '.join(screen.name(cell, cells) for cell in cells)}"
        name = next(each["name"] for each in spec["methods"] if each["id"] == self._settings.method)
        result = screen.result(cells[0])
        if result is None:
            return f"{spec['title']}: {name}, not computed yet"
        caption = f"{name} for {result.explanation.label}: {result.message.fields['result']['quality']}"
        verdict = screen.verdict(cells[0])
        return caption if verdict is None else f"{caption}. {verdict.sentence}"


def _figure(image: Image.Image, caption: str) -> str:
    """Return an image as HTML with its caption."""
    text = html.escape(caption)
    source = drawing.data_url(drawing.encoded(image, "JPEG", quality=70), "image/jpeg")
    return f'<figure><img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>'
