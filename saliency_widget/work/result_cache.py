"""Results, and a cache of the results of every parameter setting of a method."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import saliency
from saliency_widget.protocol.cells import Key
from saliency_widget.protocol.messages import Message, size

CACHE_BYTES = 256 << 20
"""Maximum size of the cached maps, in bytes."""


@dataclass(frozen=True)
class Result:
    """An explanation with the message that carries it."""

    explanation: saliency.Explanation
    message: Message
    """A `result`, ready to be sent."""
    version: Hashable
    """Version of the weights that were explained."""
    method: str
    """The :meth:`saliency.Method.key` of the method that computed it."""


class ResultCache:
    """Every result of an explainer, so that a parameter setting that is chosen again needs no new computation.

    The oldest result is dropped first.
    """

    def __init__(self) -> None:
        self._results: dict[tuple[str, Key], Result] = {}

    def add(self, key: Key, result: Result) -> None:
        """Store a result."""
        self._results[result.method, key] = result
        while sum(size(each.message) for each in self._results.values()) > CACHE_BYTES and len(self._results) > 1:
            del self._results[next(iter(self._results))]

    def get(self, method: saliency.Method, key: Key) -> Result | None:
        """Return the result of a method with exactly these parameters, or None."""
        return self._results.get((method.key(), key))

    def of(self, method: saliency.Method, method_id: str) -> dict[Key, Result]:
        """Return every result of a method with exactly these parameters that was computed under its id."""
        digest = method.key()
        results = self._results.items()
        return {key: result for (known, key), result in results if known == digest and key[0] == method_id}
