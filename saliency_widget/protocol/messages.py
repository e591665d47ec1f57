"""Messages to the browser, see docs/widget-protocol.md: created, split into parts, and packed into one byte string."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import saliency
from saliency_widget.pictures.maps import NO_REGION, Maps, maps_of, table_of, tabled
from saliency_widget.pictures.placement import Placement
from saliency_widget.protocol.quality import concern, quality

PART = 1 << 20
"""Maximum bytes of the buffers in one part of a message."""

QUANTIZED = {name: name.removesuffix("_table") for name in ("values", "values_table", "magnitude", "magnitude_table")}
"""Buffers that compact packets hold at one byte a number, with the buffer whose range is used."""


class Message(NamedTuple):
    """A message, with its buffers by name."""

    fields: Mapping[str, Any]
    buffers: Mapping[str, bytes | np.ndarray]

    def but(self, **fields: Any) -> Message:
        """Return a copy with some fields set."""
        return Message({**self.fields, **fields}, self.buffers)


def readable(text: object) -> str:
    """Return text that can be sent: unpaired surrogates, which cannot be encoded, become question marks."""
    return str(text).encode(errors="replace").decode()


def message(op: str, rid: str = "", **fields: Any) -> Message:
    """Return a message without buffers."""
    return Message({"op": op, "rid": rid, **fields}, {})


def result_message(
    explanation: saliency.Explanation, method_id: str, method: saliency.Method, placement: Placement
) -> Message:
    """Return the `result` of an explanation, with its maps in the orientation of the shown picture."""
    maps = maps_of(explanation)
    shown = maps if placement.turn is None else _turned(maps, placement)
    regions = None if explanation.regions is None else [_region(each) for each in explanation.regions.table]
    height, width = shown.values.shape
    result = {
        "method": method_id,
        "target": explanation.target,
        "model": 0,
        "image": 0,
        "label": readable(explanation.label),
        "caption": readable(explanation.caption),
        "quality": quality(explanation, method),
        "concern": concern(explanation, method),
        "shape": [height, width],
        "place": list(placement.rectangle),
        "sign": explanation.sign,
        "range": [float(shown.values_table[0]), float(shown.values_table[-1])],
        "score": finite(explanation.score),
        "baseline_score": finite(explanation.baseline_score),
        "gap": finite(explanation.gap),
        "calls": explanation.calls,
        "images": explanation.images,
        "check": list(saliency.check_cost(explanation)),
        "seconds": explanation.seconds,
        "layer": explanation.layer,
        "notes": list(explanation.notes),
        "regions": regions,
    }
    return Message({"op": "result", "rid": "", "result": result}, _buffers(shown))


LOCATED = ("prediction", "pace", "ready", "stale", "warning")
"""Messages about a model and an image, besides results and stored answers."""


def located(whole: Message, model: int, image: int) -> Message:
    """Return a message with the indices of the model and the image that it is about."""
    where = {"model": model, "image": image}
    if "asked" in whole.fields:
        return whole.but(asked={**whole.fields["asked"], **where})
    if "result" in whole.fields:
        return whole.but(result={**whole.fields["result"], **where})
    return whole.but(**where) if whole.fields["op"] in LOCATED else whole


def maps_in(result: Message) -> Maps:
    """Return the maps of a `result`."""
    return Maps(**{name: result.buffers.get(name) for name in Maps._fields})  # type: ignore[arg-type]  # arrays, all of them


def parts(whole: Message, limit: int = PART) -> Iterator[tuple[dict[str, Any], list[memoryview]]]:
    """Yield content and buffers of each part of a message, with at most `limit` bytes of buffers in a part."""
    groups: list[list[tuple[dict[str, Any], memoryview]]] = [[]]
    left = limit
    for name, buffer in whole.buffers.items():
        data = _bytes_of(buffer)
        start = 0
        while start < len(data):
            if left == 0:
                groups.append([])
                left = limit
            piece = data[start : start + left]
            groups[-1].append(({"name": name, "offset": start, "bytes": len(piece)}, piece))
            start += len(piece)
            left -= len(piece)
    for i, group in enumerate(groups):
        content = {
            **whole.fields,
            "buffers": list(whole.buffers),
            "part": [i, len(groups)],
            "pieces": [piece_fields for piece_fields, _ in group],
        }
        yield content, [piece for _, piece in group]


def size(whole: Message) -> int:
    """Return the bytes of all buffers."""
    return sum(len(_bytes_of(buffer)) for buffer in whole.buffers.values())


def pack(messages: Iterable[Message], *, compact: int = 0) -> bytes:
    """Pack messages into one compressed byte string; see "Packed" in docs/widget-protocol.md.

    Args:
        messages: the messages, in the order in which they are replayed.
        compact: maximum side of the maps in pixels, which are stored at one byte a pixel; 0 stores them in full.
    """
    header: list[dict[str, Any]] = []
    body = bytearray()
    for each in messages:
        smaller = _compact(each, compact) if compact else each
        quantized = QUANTIZED if compact else {}
        stored = [
            _quantize(np.asarray(buffer), np.asarray(smaller.buffers[quantized[name]]))
            if name in quantized
            else _bytes_of(buffer).tobytes()
            for name, buffer in smaller.buffers.items()
        ]
        header.append(
            {
                **smaller.fields,
                "buffers": list(smaller.buffers),
                "lengths": [len(data) for data in stored],
                "encodings": ["u8" if name in quantized else "raw" for name in smaller.buffers],
            }
        )
        for data in stored:
            body += data + bytes(-len(data) % 8)
    header_bytes = json.dumps({"version": 1, "messages": header}, ensure_ascii=False, allow_nan=False).encode()
    start = len(header_bytes).to_bytes(4, "little") + header_bytes
    return b"SLWZ" + zlib.compress(start + bytes(-len(start) % 8) + body, 6)


def _bytes_of(buffer: bytes | np.ndarray) -> memoryview:
    return memoryview(buffer.data if isinstance(buffer, np.ndarray) else buffer).cast("B")


def _turned(maps: Maps, placement: Placement) -> Maps:
    assert placement.turn is not None
    step = None if maps.step is None else placement.turn(maps.step, NO_REGION)
    return tabled(placement.turn(maps.values, 0), placement.turn(maps.strength, 0), step)


def _buffers(maps: Maps) -> dict[str, bytes | np.ndarray]:
    return {name: array for name, array in maps._asdict().items() if array is not None}


def _compact(whole: Message, side: int) -> Message:
    """Return a result with maps of at most `side` pixels a side, and tables of the values they have at one byte."""
    if whole.fields["op"] != "result":
        return whole
    every = -(-max(whole.fields["result"]["shape"]) // side)
    small: dict[str, np.ndarray] = {}
    for name in whole.buffers.keys() & {"values", "magnitude", "step"}:
        array = np.asarray(whole.buffers[name])
        small[name] = array[every // 2 :: every, every // 2 :: every] if name == "step" else blocks(array, every)
    buffers: dict[str, bytes | np.ndarray] = {}
    for name in ("values", "magnitude"):
        if name in small:
            stored = _dequantize(_quantize(small[name], small[name]), small[name].shape)
            # "higher" gives values of the map itself, which one byte holds exactly: the same pixels reach them
            buffers |= {name: small[name], f"{name}_table": table_of(stored, "higher")}
    if "step" in small:
        buffers["step"] = np.ascontiguousarray(small["step"])
    result = {**whole.fields["result"], "shape": list(small["values"].shape)}
    return Message({**whole.fields, "result": result}, buffers)


def blocks(values: np.ndarray, every: int) -> np.ndarray:
    """Return the means of blocks of `every` pixels a side, as many as there are samples at the middles of blocks."""
    if every == 1:
        return values
    wanted = [len(range(every // 2, side, every)) for side in values.shape]
    padding = [(0, max(0, n * every - side)) for n, side in zip(wanted, values.shape, strict=True)]
    padded = np.pad(values, padding, mode="edge")[: wanted[0] * every, : wanted[1] * every]
    return np.asarray(padded.reshape(wanted[0], every, wanted[1], every).mean((1, 3)), "<f4")


def _quantize(values: np.ndarray, among: np.ndarray) -> bytes:
    """Quantize values to one byte each, after low and high as float32; a zero within the range stays zero."""
    low, high = float(among.min()), float(among.max())
    if low < 0 < high:
        step = (high - low) / 254
        low = -math.ceil(-low / step) * step
        high = low + 255 * step
    scale = 255 / (high - low) if high > low else 0.0
    levels = np.clip(np.rint((values.astype(np.float64) - low) * scale), 0, 255).astype(np.uint8)
    return np.array([low, high], "<f4").tobytes() + levels.tobytes()


def _dequantize(stored: bytes, shape: Sequence[int]) -> np.ndarray:
    low, high = (float(end) for end in np.frombuffer(stored, "<f4", 2))
    levels = np.frombuffer(stored, np.uint8, offset=8)
    return (low + (high - low) / 255 * levels).astype(np.float32).reshape(shape)


def _region(region: saliency.Region) -> dict[str, Any]:
    plain = {name: np.asarray(value, float).tolist() for name, value in region._asdict().items()}
    return {**plain, "bbox": [int(edge) for edge in region.bbox]}


def finite(value: float | None) -> float | None:
    """Return a number that JSON can hold; None in place of NaN and infinity."""
    return None if value is None or not math.isfinite(value) else float(value)
