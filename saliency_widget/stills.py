"""What a widget leaves where no kernel is: pages, what notebooks keep, and, where no script runs, a drawing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from saliency_widget import drawing, export
from saliency_widget.explainers import Explainers
from saliency_widget.parameters import Controls
from saliency_widget.settings import SETTINGS, Settings, view_of
from saliency_widget.wire import Message


class Stills:
    """Draws what a widget shows.

    Args:
        settings: how it is looked at.
        explainers: what was found.
        controls: what the methods may be set to.
    """

    def __init__(self, settings: Settings, explainers: Explainers, controls: Controls) -> None:
        self._settings, self._explainers, self._controls = settings, explainers, controls

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
        settings, explainers = self._settings, self._explainers
        traits: dict[str, Any] = {name: getattr(settings, name) for name in ("spec", "parameters", *SETTINGS)}
        methods = sorted(explainers.methods)
        return export.page(
            settings.spec["title"] if title is None else title,
            code=code,
            css=css,
            traits=traits,
            packet=explainers.packet(self._described(methods), settings.picked),
            fallback=explainers.exhibit.figure(explainers.shown_found, view_of(settings), self._summary()),
        )

    def snapshot(self) -> bytes:
        """What a notebook is saved with; empty where nothing is computed."""
        return self._explainers.compact_packet(self._described([self._settings.method]), self._settings.picked)

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

    def _summary(self) -> str:
        spec = self._settings.spec
        name = next(each["name"] for each in spec["methods"] if each["id"] == self._settings.method)
        found = self._explainers.shown_found
        if found is None:
            return f"{spec['title']}: {name}, not computed yet"
        return f"{name} for {found.explanation.label}: {found.message.fields['result']['quality']}"
