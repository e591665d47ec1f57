"""Live pages: an app without a notebook's kernel passes messages between a widget and its page on, as text."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import saliency
from saliency_widget.protocol.summary import summary
from saliency_widget.traits.settings import SETTINGS

SENT = (*SETTINGS, "parameters", "spec")
"""The traits that a page follows."""

MOST_WAITING = 32 << 20
"""Characters that wait for a page, after which it is taken for gone."""

pages: weakref.WeakValueDictionary[str, LivePage] = weakref.WeakValueDictionary()
"""The live pages by name, as long as their widgets keep them."""


class Owner(Protocol):
    """What a live page needs of a widget."""

    def set_state(self, sync_data: dict[str, Any]) -> None: ...
    def observe(self, handler: Callable[[Any], None], names: Iterable[str]) -> None: ...
    def unobserve(self, handler: Callable[[Any], None], names: Iterable[str]) -> None: ...


class LivePage:
    """One page of a widget: it collects what is sent to the page, until the page's next text.

    Args:
        widget: the widget.
        handle: handles the content and the buffers of a message of the page.
        on_close: is called with the page when nothing more is sent to it.
    """

    def __init__(
        self, widget: Owner, handle: Callable[[Any, list[bytes]], None], on_close: Callable[[LivePage], None]
    ) -> None:
        self.name = secrets.token_urlsafe(16)
        """It is secret, as whoever knows it may send messages to the widget."""
        self._widget, self._handle, self._on_close = widget, handle, on_close
        self._turn, self._lock = threading.Lock(), threading.Lock()
        self._waiting: list[dict[str, Any]] = []
        self._size = 0
        self._answered, self._answer = 0, ""
        self._received: Mapping[str, Any] = {}
        widget.observe(self._follow, SENT)
        pages[self.name] = self

    def close(self) -> None:
        """Send nothing any more."""
        if pages.pop(self.name, None) is not None:
            self._widget.unobserve(self._follow, SENT)
        self._on_close(self)

    def send(self, content: Mapping[str, Any], buffers: Iterable[Any]) -> None:
        """Send a message; from any thread."""
        texts = [base64.b64encode(each).decode() for each in buffers]
        self._add({"content": content, "buffers": texts}, sum(map(len, texts)))

    def receive(self, turn: int, messages: list[Any]) -> str:
        """Handle the messages of the page, and return the answer; a text that the page repeats gets the same answer.

        Raises:
            BadArgument: a message is not one.
        """
        with self._turn:
            if turn != self._answered:
                self._answer = json.dumps({"turn": turn, "messages": self._handled(messages)}, allow_nan=False)
                self._answered = turn
            return self._answer

    def _handled(self, messages: list[Any]) -> list[dict[str, Any]]:
        """Handle messages, and return those that wait for the page."""
        for each in messages:
            match each:
                case {"state": dict(state)}:
                    self._set(state)
                case {"content": {"op": "poll"}}:
                    pass  # what waits is returned in any case
                case {"content": content, "buffers": list(texts)}:
                    self._handle(content, [_buffer(text) for text in texts])
                case _:
                    raise saliency.BadArgument(f"Expected messages of a live page, got {summary(each)}.")
        with self._lock:
            waiting, self._waiting, self._size = self._waiting, [], 0
        return waiting

    def _set(self, state: dict[str, Any]) -> None:
        self._received = state
        self._widget.set_state(state)
        self._received = {}
        for name in set(state).intersection(SENT):
            if (value := getattr(self._widget, name)) != state[name]:  # refused
                self._add({"state": {name: value}})

    def _follow(self, change: Any) -> None:
        # the page has what it sent
        if change.name not in self._received:
            self._add({"state": {change.name: change.new}})

    def _add(self, message: dict[str, Any], size: int = 0) -> None:
        with self._lock:
            self._waiting.append(message)
            self._size += size
            gone = self._size > MOST_WAITING
        if gone:
            self.close()


def exchange(text: str) -> str:
    """Pass a text of a live page to its widget, and return the text for the page.

    Args:
        text: what the page of :meth:`SaliencyWidget.live_html` posted to the page around it.

    Raises:
        BadArgument: the text is not one of a live page, or the widget of the page was closed.
    """
    try:
        read = json.loads(saliency.checks.text(text, "text"))
    except ValueError:
        read = None
    match read:
        case {"page": str(name), "turn": int(turn), "messages": list(messages)}:
            page = pages.get(name)
        case _:
            raise saliency.BadArgument(f"Expected a text that a live page posted, got {summary(text)}.")
    if page is None:
        raise saliency.BadArgument(
            "The widget of this page was closed, or made by another process: load the page again."
        )
    return page.receive(turn, messages)


def _buffer(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, binascii.Error, ValueError):
        raise saliency.BadArgument(f"Expected a buffer in Base64, got {summary(text)}.") from None
