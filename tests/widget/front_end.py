"""The browser's side of the protocol, and models whose calls wait for a permit."""

from __future__ import annotations

import itertools
import json
import struct
import threading
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from saliency_widget import SaliencyWidget
from saliency_widget.work.explainer import Explainer

PATIENCE = 180.0
"""Seconds that a test waits for what must come."""

DTYPES = {"step": "<u2", "picture": "u1"}


class Message(NamedTuple):
    """A message whose parts are assembled."""

    fields: dict[str, Any]
    buffers: dict[str, bytes]

    @property
    def op(self) -> str:
        return str(self.fields["op"])

    @property
    def rid(self) -> str:
        return str(self.fields.get("rid", ""))

    def array(self, name: str) -> np.ndarray:
        """Return a buffer as an array; maps in their shape."""
        array = np.frombuffer(self.buffers[name], DTYPES.get(name, "<f4"))
        return array.reshape(self.fields["result"]["shape"]) if name in {"values", "magnitude", "step"} else array


class Browser:
    """A browser for tests: takes over the widget's comm, sends requests, and waits for replies."""

    def __init__(self, widget: SaliencyWidget) -> None:
        self.widget = widget
        self.messages: list[Message] = []
        self.updates: list[dict[str, Any]] = []
        self.raw: list[tuple[dict[str, Any], list[bytes]]] = []
        self._parts: dict[int, dict[int, tuple[dict[str, Any], list[bytes]]]] = {}
        self._news = threading.Condition()
        self._rids = (f"page-{i}" for i in itertools.count())
        widget.comm.send = self._take

    def request(self, op: str, **fields: Any) -> str:
        """Send a request and return its rid."""
        rid = str(fields.pop("rid", None) or next(self._rids))
        self.send({"op": op, "rid": rid, **fields})
        return rid

    def send(self, content: Any, buffers: Any = ()) -> None:
        """Send any message, as a host passes it to ipywidgets."""
        message = {"content": {"data": {"method": "custom", "content": content}}, "buffers": list(buffers)}
        self.widget._handle_msg(message)

    def write(self, **traits: Any) -> None:
        """Set traits as the page does when a gesture ends."""
        self.widget._handle_msg({"content": {"data": {"method": "update", "state": traits}}, "buffers": []})

    def wait(self, *ops: str, rid: str | None = None, after: int = 0) -> Message:
        """Return the first message with one of the ops (and the rid) after the first `after` messages."""

        def found() -> Message | None:
            return next((m for m in self.messages[after:] if m.op in ops and rid in (None, m.rid)), None)

        with self._news:
            assert self._news.wait_for(found, PATIENCE), f"no {ops} among {[m.op for m in self.messages]}"
            message = found()
        assert message is not None
        return message

    def of(self, op: str, rid: str | None = None) -> list[Message]:
        """Return all messages with an op (and a rid)."""
        return [m for m in self.messages if m.op == op and rid in (None, m.rid)]

    def _take(self, data: dict[str, Any], buffers: Any = None, **_: Any) -> None:
        # what goes over a wire is JSON and bytes
        data = json.loads(json.dumps(data, allow_nan=False))
        with self._news:
            if data["method"] == "custom":
                content, taken = data["content"], [bytes(buffer) for buffer in buffers or ()]
                self.raw.append((content, taken))
                self._assemble(content, taken)
            else:
                self.updates.append(data)
            self._news.notify_all()

    def _assemble(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        if "seq" not in content:
            self.messages.append(Message(content, {}))
            return
        index, count = content["part"]
        parts = self._parts.setdefault(content["seq"], {})
        parts[index] = (content, buffers)
        if len(parts) < count:
            return
        whole = {name: bytearray() for name in content["buffers"]}
        for _, (part, pieces) in sorted(parts.items()):
            for piece, data in zip(part["pieces"], pieces, strict=True):
                assert piece["offset"] == len(whole[piece["name"]])
                assert piece["bytes"] == len(data)
                whole[piece["name"]] += data
        self.messages.append(Message(content, {name: bytes(data) for name, data in whole.items()}))


class Gate:
    """A model whose calls wait for a permit: a function from images (N, H, W, 3) to scores (N, 3)."""

    def __init__(self) -> None:
        self.threads: set[threading.Thread] = set()
        self.calls = 0
        self._permits = threading.Semaphore(0)
        self._arrived = threading.Semaphore(0)
        self._free = threading.Event()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.threads.add(threading.current_thread())
        self.calls += 1
        self._arrived.release()
        while not self._free.is_set() and not self._permits.acquire(timeout=0.02):
            pass
        return np.asarray(images.mean((1, 2)) * [3.0, 2.0, 1.0])

    def release(self, calls: int) -> None:
        """Permit a number of further calls."""
        self._permits.release(calls)

    def revoke(self) -> None:
        """Withdraw the remaining permits, and forget the calls that arrived."""
        for left in (self._permits, self._arrived):
            while left.acquire(blocking=False):
                pass

    def free(self) -> None:
        """Permit all calls from now on."""
        self._free.set()

    def await_call(self, number: int = 1) -> None:
        """Wait for a number of further calls."""
        for _ in range(number):
            assert self._arrived.acquire(timeout=PATIENCE)


def explainer_of(widget: SaliencyWidget) -> Explainer:
    """Return the explainer of the widget's one model and picture."""
    assert widget._explainers is not None
    return widget._explainers[0, 0]


def require_cancelled(widget: SaliencyWidget, request: Callable[[Browser], str], answer: str) -> None:
    """Require that a request ends with `cancelled` and no `answer` if it is cancelled while the model is busy."""
    browser = Browser(widget)
    with explainer_of(widget)._current_subject().prepared().adapted.lock:
        rid = request(browser)
        browser.request("cancel", rid=rid)
    assert browser.wait("cancelled", rid=rid)
    assert widget.wait(PATIENCE)
    assert browser.of(answer, rid) == []


def unpack(packet: bytes) -> list[Message]:
    """Return the messages of a packet, read as docs/widget-protocol.md describes."""
    if packet[:4] == b"SLWZ":
        packet = zlib.decompress(packet[4:])
    (length,) = struct.unpack_from("<I", packet)
    header = json.loads(packet[4 : 4 + length])
    assert header["version"] == 1
    at = -(-(4 + length) // 8) * 8
    messages = []
    for fields in header["messages"]:
        buffers = {}
        described = zip(fields["buffers"], fields["lengths"], fields["encodings"], strict=True)
        for name, size, encoding in described:
            stored = packet[at : at + size]
            buffers[name] = stored if encoding == "raw" else _widened(stored)
            at += -(-size // 8) * 8
        messages.append(Message(fields, buffers))
    assert at == len(packet)
    return messages


def _widened(stored: bytes) -> bytes:
    low, high = struct.unpack_from("<ff", stored)
    levels = np.frombuffer(stored, np.uint8, offset=8)
    return np.asarray(low + (high - low) / 255 * levels, "<f4").tobytes()
