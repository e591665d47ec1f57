"""What is on the screen, for places where no script runs: drawn, and told in a line."""

from __future__ import annotations

from typing import Any

from saliency_widget import drawing, export
from saliency_widget.explainers import Explainers
from saliency_widget.settings import SETTINGS, Settings, view_of


class Stills:
    """Draws what a widget shows.

    Args:
        settings: how it is looked at.
        explainers: what was found.
    """

    def __init__(self, settings: Settings, explainers: Explainers) -> None:
        self._settings, self._explainers = settings, explainers

    def png(self, width: int | None = None) -> bytes:
        """As a PNG file; the picture alone where nothing is computed."""
        explainers = self._explainers
        return drawing.png(explainers.exhibit.draw(explainers.shown_found, view_of(self._settings), width))

    def fallback(self) -> tuple[bytes, str]:
        """As a small PNG file, and as HTML."""
        explainers = self._explainers
        return explainers.exhibit.still(explainers.shown_found, view_of(self._settings), self._summary())

    def page(self, title: str | None, code: str, css: str) -> str:
        """One page with everything computed so far; see :func:`saliency_widget.export.page`."""
        settings = self._settings
        traits: dict[str, Any] = {name: getattr(settings, name) for name in ("spec", *SETTINGS)}
        return export.page(
            settings.spec["title"] if title is None else title,
            code=code,
            css=css,
            traits=traits,
            packet=self._explainers.packet(),
            fallback=self.fallback()[1],
        )

    def _summary(self) -> str:
        spec = self._settings.spec
        name = next(each["name"] for each in spec["methods"] if each["id"] == self._settings.method)
        found = self._explainers.shown_found
        if found is None:
            return f"{spec['title']}: {name}, not computed yet"
        return f"{name} for {found.explanation.label}: {found.message.fields['result']['quality']}"
