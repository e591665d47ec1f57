"""Answers, and how long those are kept that were given with other fields than are set now."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import saliency
from saliency_widget.protocol.cells import Key
from saliency_widget.protocol.messages import Message, size

REMEMBERED_BYTES = 256 << 20
"""Of maps that were computed with fields that are not chosen now."""


@dataclass(frozen=True)
class Found:
    """An answer."""

    explanation: saliency.Explanation
    message: Message
    """A `result`, ready to be sent."""
    version: Hashable
    """Of the weights that gave it."""
    method: str
    """The :meth:`saliency.Method.key` of the method that gave it."""


class Earlier:
    """All answers there were, for the day their fields are chosen again; the oldest goes first."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, Key], Found] = {}

    def keep(self, key: Key, found: Found) -> None:
        """Take in an answer."""
        self._all[found.method, key] = found
        while sum(size(each.message) for each in self._all.values()) > REMEMBERED_BYTES and len(self._all) > 1:
            del self._all[next(iter(self._all))]

    def get(self, method: saliency.Method, key: Key) -> Found | None:
        """What a method with just these fields has given."""
        return self._all.get((method.key(), key))

    def of(self, method: saliency.Method, method_id: str) -> dict[Key, Found]:
        """All that a method with just these fields has given under its id."""
        digest = method.key()
        return {key: found for (known, key), found in self._all.items() if known == digest and key[0] == method_id}
