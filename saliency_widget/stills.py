"""What a widget leaves where no kernel is: pages, what notebooks keep, and, where no script runs, a drawing."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

from saliency_widget import export
from saliency_widget.pictures import drawing
from saliency_widget.pictures.sheet import GAP, sheet
from saliency_widget.protocol.cells import Cell
from saliency_widget.protocol.messages import Message, readable
from saliency_widget.screen import Screen
from saliency_widget.traits.parameters import Controls
from saliency_widget.traits.settings import SETTINGS, Settings, view_of
from saliency_widget.work.explainers import Explainers

LEAST_WIDTH, MOST_WIDTH = 448, 1600
"""Of a PNG file, unless its width is given: of a single picture, and of several side by side."""

SMALL_SIDE, PAGE_SIDE = 384, 240
"""The longest side of the picture that notebooks are saved with, as a PNG file and beside it in HTML."""

LONGEST = 400
"""Characters of a caption."""

SHEET_SIDE, SHEET_PAGE_SIDE = 720, 224
"""The same of several pictures side by side."""


class Stills:
    """Draws what a widget shows.

    Args:
        settings: the traits.
        explainers: what was found.
        controls: what the methods may be set to.
        screen: what is shown.
    """

    def __init__(self, settings: Settings, explainers: Explainers, controls: Controls, screen: Screen) -> None:
        self._settings, self._explainers, self._controls, self._screen = settings, explainers, controls, screen

    def png(self, width: int | None = None) -> bytes:
        """As a PNG file; the picture alone where nothing is computed."""
        return drawing.png(self._draw(width))

    def bundle(self) -> dict[str, str]:
        """As a small PNG file and as HTML with a caption, by their MIME types, as notebooks have them."""
        several = len(self._screen.cells) > 1
        height, width = self._explainers.exhibit.size
        side = SHEET_SIDE if several else SMALL_SIDE
        image = self._draw(side if several else max(1, round(side * width / max(height, width))))
        # a grid with many rows is as large as one with many columns
        image = Image.fromarray(drawing.shrunk(np.asarray(image), side))
        smaller = Image.fromarray(drawing.shrunk(np.asarray(image), SHEET_PAGE_SIDE if several else PAGE_SIDE))
        # a table of 256 colours makes it a third of the size
        png = base64.b64encode(drawing.png(image.quantize(256))).decode()
        return {"image/png": png, "text/html": _figure(smaller, self._summary())}

    def page(self, title: str | None, code: str, css: str) -> str:
        """One page with everything computed so far; see :func:`saliency_widget.export.page`."""
        settings, explainers = self._settings, self._explainers
        traits: dict[str, Any] = {name: getattr(settings, name) for name in ("spec", "parameters", *SETTINGS)}
        methods = sorted(explainers.methods)
        return export.page(
            settings.spec["title"] if title is None else readable(title),
            code=code,
            css=css,
            traits=traits,
            packet=explainers.packet(self._described(methods), settings.picked),
            fallback=_figure(self._draw(None), self._summary()),
        )

    def snapshot(self) -> bytes:
        """What a notebook is saved with; empty where nothing is computed."""
        return self._explainers.compact_packet(
            self._screen.cells, self._described([self._settings.method]), self._settings.picked
        )

    def ask_ahead(self) -> None:
        """Have the model asked about all that is computed, or is being computed, and wait for it.

        Raises:
            Exception: whatever the model raises.
        """
        troubles: list[Exception] = []
        try:
            self._explainers.wait()
            self._explainers.ask_ahead(view_of(self._settings), self._settings.fill, troubles.append)
            self._explainers.wait()
        except KeyboardInterrupt:
            self._explainers.cancel()
            raise
        for trouble in troubles:
            raise trouble

    def _described(self, methods: Iterable[str]) -> list[Message]:
        """What is told of methods as they are set, for whoever cannot ask."""
        told = []
        for method in methods:
            fields = self._settings.parameters.get(method, {})
            described = self._controls.described("", method, fields, self._explainers.shown.pace)
            told.append(described.but(asked={"op": "describe", "method": method, "fields": fields}))
        return told

    def _draw(self, width: int | None) -> Image.Image:
        """All cells, `width` pixels wide together."""
        screen, cells = self._screen, self._screen.cells
        if len(cells) == 1:
            exhibit = self._explainers.exhibit
            wide = max(exhibit.size[1], LEAST_WIDTH) if width is None else width
            return self._one(cells[0], wide)
        columns = screen.columns
        whole = min(columns * (LEAST_WIDTH + GAP), MOST_WIDTH) if width is None else width
        each = max(1, (whole + GAP) // columns - GAP)
        return sheet([self._one(cell, each) for cell in cells], [screen.name(cell, cells) for cell in cells], columns)

    def _one(self, cell: Cell, width: int) -> Image.Image:
        picture = self._explainers.cast.exhibits[cell.image].picture
        return drawing.draw(picture, self._screen.drawn(cell), self._screen.view(cell), width)

    def _summary(self) -> str:
        """In a line that is no longer than can be read."""
        line = readable(" ".join(self._told().split()))
        return line if len(line) <= LONGEST else line[:LONGEST] + "…"

    def _told(self) -> str:
        spec, screen = self._settings.spec, self._screen
        cells = screen.cells
        if len(cells) > 1:
            return f"{spec['title']}: {'; '.join(screen.name(cell, cells) for cell in cells)}"
        name = next(each["name"] for each in spec["methods"] if each["id"] == self._settings.method)
        found = screen.found(cells[0])
        if found is None:
            return f"{spec['title']}: {name}, not computed yet"
        return f"{name} for {found.explanation.label}: {found.message.fields['result']['quality']}"


def _figure(image: Image.Image, caption: str) -> str:
    """A drawing as HTML with its caption."""
    told = html.escape(caption)
    source = drawing.data_url(drawing.encoded(image, "JPEG", quality=70), "image/jpeg")
    return f'<figure><img src="{source}" alt="{told}"><figcaption>{told}</figcaption></figure>'
