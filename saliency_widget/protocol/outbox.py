"""The outbox: numbers, splits and sends messages, and queues them for hosts that lose pushed messages."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from saliency_widget.protocol.messages import Message, parts, size

logger = logging.getLogger(__name__.partition(".")[0])

QUEUE_BYTES = 32 << 20
QUEUE_LENGTH = 256
"""Maximum number of messages, and of their bytes, that wait for a poll."""

SUPERSEDED = ("progress", "partial", "partial_verdict")
"""Messages that a later one about the same request supersedes."""

Send = Callable[[dict[str, Any], list[memoryview]], None]


class Outbox:
    """Sends messages, from any thread.

    Args:
        send: passes content and buffers to the host.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._seq = 0
        self._queued: list[Message] = []

    def accept(self, rid: str) -> None:
        """Confirm that a request was received; this also pins its thread in ipykernel ≥ 7.4."""
        with self._lock:
            self._hand_over({"op": "accepted", "rid": rid}, [])

    def post(self, message: Message, *, answering: bool = False) -> None:
        """Send a message.

        Args:
            message: the message; its number is set here.
            answering: whether the caller is handling a message of the browser. Messages sent then arrive in every host;
                those sent at other times are also queued for a poll.
        """
        with self._lock:
            self._seq += 1
            numbered = message.but(seq=self._seq)
            if not answering:
                self._enqueue(numbered)
            self._push(numbered)

    def resend(self) -> None:
        """Send the queued messages again; the browser drops those whose number it has seen."""
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
        except Exception:  # an error of the host must not end a computation or the kernel
            logger.warning("Could not send %r to the browser.", content.get("op"), exc_info=True)
