"""What goes to the browser: numbered, cut, one at a time, and kept for hosts where pushes do not arrive."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from saliency_widget.protocol.messages import Message, parts, size

logger = logging.getLogger(__name__.partition(".")[0])

QUEUE_BYTES = 32 << 20
QUEUE_LENGTH = 256
"""How many messages, and how many bytes of them, wait for a poll."""

SUPERSEDED = ("progress", "partial")
"""What a later message about the same request makes worthless."""

Send = Callable[[dict[str, Any], list[memoryview]], None]


class Outbox:
    """Sends messages, from whatever thread.

    Args:
        send: hands content and buffers to the host.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._seq = 0
        self._queued: list[Message] = []

    def accept(self, rid: str) -> None:
        """Say that a request has come; this also pins its thread in ipykernel ≥ 7.4."""
        with self._lock:
            self._hand_over({"op": "accepted", "rid": rid}, [])

    def post(self, message: Message, *, answering: bool = False) -> None:
        """Send a message.

        Args:
            message: gets its number here.
            answering: whether the caller is handling a message of the browser's: what is sent then arrives everywhere,
                what is sent at other times may have to be polled for.
        """
        with self._lock:
            self._seq += 1
            numbered = message.but(seq=self._seq)
            if not answering:
                self._enqueue(numbered)
            self._push(numbered)

    def resend(self) -> None:
        """Send again what was sent since the last time; the browser knows by its number what it has."""
        with self._lock:
            queued, self._queued = self._queued, []
            for message in queued:
                self._push(message)

    def _enqueue(self, message: Message) -> None:
        rid = message.fields["rid"]
        self._queued = [
            each for each in self._queued if each.fields["op"] not in SUPERSEDED or each.fields["rid"] != rid
        ]
        self._queued.append(message)
        while len(self._queued) > QUEUE_LENGTH or (
            len(self._queued) > 1 and sum(map(size, self._queued)) > QUEUE_BYTES
        ):
            del self._queued[0]

    def _push(self, message: Message) -> None:
        for content, buffers in parts(message):
            self._hand_over(content, buffers)

    def _hand_over(self, content: dict[str, Any], buffers: list[memoryview]) -> None:
        try:
            self._send(content, buffers)
        except Exception:  # no host's trouble with a message may end a computation, or the kernel
            logger.warning("Could not send %r to the browser.", content.get("op"), exc_info=True)
