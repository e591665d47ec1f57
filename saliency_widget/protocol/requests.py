"""Requests of the browser, and their validation."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

import saliency
from saliency_widget.pictures.selection import Brushed, checked, checked_brushed
from saliency_widget.protocol.summary import summary
from saliency_widget.protocol.values import CHANNEL_METHODS, ENCODINGS, FILLS, KINDS, SIGNS

TOP = -1
"""The target that stands for the top class, until its index is known."""

RID_LENGTH = 128
QUERY_LENGTH = 200
FIELDS_AT_MOST = 100
ITEMS_AT_MOST = 400
PICTURE_BYTES = 8 << 20
LARGEST_TARGET = 2**31 - 1
LARGEST_SIDE = 2**31 - 1
DETAIL_WIDTH = 4096
"""Maximum width in pixels of a detail: that of the screen."""


class InvalidRequest(ValueError):
    """A message is not a valid request."""


class Request(NamedTuple):
    """A request of the browser."""

    op: str
    rid: str
    method: str = ""
    target: int = TOP
    model: int = 0
    image: int = 0
    query: str = ""
    view: Mapping[str, Any] = MappingProxyType({})
    """For a `what_if`: the selection's `sign`, `keep`, `region` and `picked`."""
    fill: str = ""
    """For a `what_if`, `curve`, `change` or `film`."""
    kind: str = ""
    """For a `change`."""
    encoding: str = ""
    """For a `film`."""
    to: float | None = None
    """For a `change`: the class or value that is to be reached; None for any other class."""
    layer: str = ""
    """For `channels` and `concepts`: empty for the automatic one."""
    by: str = ""
    """For `channels`: the id of the method that attributes to the layer."""
    brushed: Sequence[Brushed] = ()
    """For `concepts`: the brushed regions that are concepts."""
    fields: Mapping[str, Any] = MappingProxyType({})
    """For a `describe` or `configure`."""
    data: bytes = b""
    """For a `picture`: the file."""
    images: Sequence[int] = ()
    """For `items`: the indices of the pictures that are seen."""
    box: Sequence[int] = ()
    """For a `detail`: left, top, right and bottom, in pixels of the picture."""
    width: int = 0
    """For a `detail`: the width at which it is shown, in pixels."""
    order: Mapping[str, Any] = MappingProxyType({})
    """For an `order`: its `sort`, `descending`, `show` and `near`."""


def parse(
    content: Any,
    buffers: Sequence[Any] | None,
    methods: Container[str],
    models: int = 1,
    images: int = 1,
) -> Request:
    """Return the request in a message.

    Args:
        content: content of the message.
        buffers: buffers of the message; only a `picture` has one.
        methods: ids of the methods on offer.
        models: number of models.
        images: number of images.

    Raises:
        Refused: the message is not a valid request.
    """
    if not isinstance(content, dict):
        raise InvalidRequest(f"expected an object, got {summary(content)}")
    op, rid = content.get("op"), _text(content, "rid", RID_LENGTH)
    if op == "picture":
        return Request(op, rid, query=_text(content, "name", QUERY_LENGTH, least=0), data=_picture(buffers))
    if buffers:
        raise InvalidRequest(f"expected no buffers, got {len(buffers)}")
    match op:
        case "hello" | "poll" | "cancel" | "module":
            return Request(op, rid)
        case "classes":
            return Request(op, rid, query=_text(content, "query", QUERY_LENGTH, least=0))
        case "compute" | "code" | "check" | "examples":
            return Request(op, rid, *_cell(content, methods, models, images))
        case "what_if":
            return Request(
                op,
                rid,
                *_cell(content, methods, models, images),
                view=_view(content),
                fill=_one_of(content, "fill", FILLS),
            )
        case "curve":
            return Request(op, rid, *_cell(content, methods, models, images), fill=_one_of(content, "fill", FILLS))
        case "change":
            return Request(
                op,
                rid,
                *_cell(content, methods, models, images),
                fill=_one_of(content, "fill", FILLS),
                kind=_one_of(content, "kind", KINDS),
                to=_goal(content),
            )
        case "film":
            return Request(
                op,
                rid,
                *_cell(content, methods, models, images),
                fill=_one_of(content, "fill", FILLS),
                encoding=_one_of(content, "encoding", ENCODINGS),
            )
        case "channels":
            return Request(
                op,
                rid,
                *_cell(content, methods, models, images),
                layer=_text(content, "layer", QUERY_LENGTH, least=0),
                by=_one_of(content, "by", CHANNEL_METHODS),
            )
        case "concepts":
            return Request(
                op,
                rid,
                *_cell(content, methods, models, images),
                layer=_text(content, "layer", QUERY_LENGTH, least=0),
                brushed=_brushed(content, images),
            )
        case "open":
            return Request(op, rid, image=_index(content, "image", images))
        case "detail":
            return Request(
                op,
                rid,
                image=_index(content, "image", images),
                box=_box(content),
                width=_whole(content, "width", 1, DETAIL_WIDTH),
            )
        case "predict":
            return Request(op, rid, model=_index(content, "model", models))
        case "items":
            method = _method(content, methods) if content.get("method") else ""
            return Request(
                op, rid, method, model=_index(content, "model", models), images=_indices(content, "images", images)
            )
        case "order":
            return Request(
                op,
                rid,
                _method(content, methods) if content.get("method") else "",
                model=_index(content, "model", models),
                query=_text(content, "query", QUERY_LENGTH, least=0),
                order=_order(content, images),
            )
        case "describe" | "configure":
            return Request(op, rid, _method(content, methods), fields=_fields(content))
    raise InvalidRequest(f"expected an op of the protocol, got {summary(op)}")


def _picture(buffers: Sequence[Any] | None) -> bytes:
    """Return the buffer of a `picture`: a file of a size that hosts transmit."""
    if not isinstance(buffers, list | tuple) or len(buffers) != 1:
        raise InvalidRequest(f"expected one buffer, got {len(buffers or ())}")
    try:
        data = memoryview(buffers[0])
    except TypeError:
        raise InvalidRequest(f"expected a buffer of bytes, got {summary(buffers[0])}") from None
    if not 0 < data.nbytes <= PICTURE_BYTES:
        raise InvalidRequest(f"expected a file of at most {PICTURE_BYTES} bytes, got {data.nbytes}")
    return data.tobytes()


def _method(content: dict[Any, Any], methods: Container[str]) -> str:
    method = content.get("method")
    if not isinstance(method, str) or method not in methods:
        raise InvalidRequest(f"expected the id of a method, got {summary(method)}")
    return method


def _cell(content: dict[Any, Any], methods: Container[str], models: int, images: int) -> tuple[str, int, int, int]:
    method, target = _method(content, methods), content.get("target")
    if isinstance(target, bool) or not isinstance(target, int) or not TOP <= target <= LARGEST_TARGET:
        raise InvalidRequest(f"expected the index of a class, got {summary(target)}")
    return method, target, _index(content, "model", models), _index(content, "image", images)


def _view(content: dict[Any, Any]) -> dict[str, Any]:
    keep, region = content.get("keep"), content.get("region")
    if isinstance(keep, bool) or not isinstance(keep, int | float) or not 0 <= keep <= 100:
        raise InvalidRequest(f"expected keep to be a number from 0 to 100, got {summary(keep)}")
    if type(region) is not int or not 0 <= region <= LARGEST_TARGET:
        raise InvalidRequest(f"expected region to be a whole number, got {summary(region)}")
    try:
        picked = checked(content.get("picked"))
    except ValueError as reason:
        raise InvalidRequest(f"picked: {reason}") from None
    return {"sign": _one_of(content, "sign", SIGNS), "keep": float(keep), "region": region, "picked": picked}


def _brushed(content: dict[Any, Any], images: int) -> list[dict[str, Any]]:
    try:
        found = checked_brushed(content.get("brushed"))
    except ValueError as reason:
        raise InvalidRequest(f"brushed: {reason}") from None
    for each in found:
        _index(each, "image", images)
    return found


def _box(content: dict[Any, Any]) -> list[int]:
    found = content.get("box")
    if not isinstance(found, list) or len(found) != 4:
        raise InvalidRequest(f"expected box to be a list of 4 numbers, got {summary(found)}")
    left, top, right, bottom = (_whole({"box": each}, "box", 0, LARGEST_SIDE) for each in found)
    if not (left < right and top < bottom):
        raise InvalidRequest(f"expected box to be left, top, right and bottom, got {found}")
    return [left, top, right, bottom]


def _whole(content: dict[Any, Any], name: str, least: int, most: int) -> int:
    value = content.get(name)
    if type(value) is not int or not least <= value <= most:
        raise InvalidRequest(f"expected {name} to be a whole number from {least} to {most}, got {summary(value)}")
    return value


def _one_of(content: dict[Any, Any], name: str, names: Sequence[str]) -> str:
    value = content.get(name)
    if not isinstance(value, str) or value not in names:
        raise InvalidRequest(f"expected {name} to be one of {', '.join(names)}, got {summary(value)}")
    return value


def _goal(content: dict[Any, Any]) -> float | None:
    to = content.get("to")
    if to is None or (isinstance(to, int | float) and not isinstance(to, bool) and math.isfinite(to)):
        return to
    raise InvalidRequest(f"expected to to be the index of a class, a number or null, got {summary(to)}")


def _fields(content: dict[Any, Any]) -> dict[str, Any]:
    fields = content.get("fields")
    if (
        not isinstance(fields, dict)
        or len(fields) > FIELDS_AT_MOST
        or not all(isinstance(each, str) for each in fields)
    ):
        raise InvalidRequest(
            f"expected fields to be an object of at most {FIELDS_AT_MOST} fields, got {summary(fields)}"
        )
    return fields


def _indices(content: dict[Any, Any], name: str, count: int) -> list[int]:
    found = content.get(name)
    if not isinstance(found, list) or len(found) > ITEMS_AT_MOST:
        raise InvalidRequest(f"expected {name} to be a list of at most {ITEMS_AT_MOST} indices, got {summary(found)}")
    return [_index({name: each}, name, count) for each in found]


def _order(content: dict[Any, Any], images: int) -> dict[str, Any]:
    descending = content.get("descending")
    if not isinstance(descending, bool):
        raise InvalidRequest(f"expected descending to be true or false, got {summary(descending)}")
    names = {name: _text(content, name, QUERY_LENGTH) for name in ("sort", "show")}
    near = None if content.get("near") is None else _index(content, "near", images)
    return {**names, "descending": descending, "near": near}


def _text(content: dict[Any, Any], name: str, most: int, least: int = 1) -> str:
    value = content.get(name)
    if not isinstance(value, str) or not least <= len(value) <= most:
        raise InvalidRequest(f"expected {name} to be text of {least} to {most} characters, got {summary(value)}")
    return value


def _index(content: dict[Any, Any], name: str, count: int) -> int:
    value = content.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
        raise InvalidRequest(f"expected {name} to be an index below {count}, got {summary(value)}")
    return value


def index_of(target: Any, labels: Sequence[str] | None) -> int:
    """Return the index of a class given by index or label.

    Raises:
        BadTarget: the target is neither an index nor a label.
        UnknownName: there is no such label.
    """
    if isinstance(target, str):
        if labels is None:
            raise saliency.BadTarget(
                f"The target {summary(target)} is a label, but no labels are known: pass labels=[…]."
            )
        if target not in (names := list(labels)):
            raise saliency.UnknownName(f"There is no label {summary(target)} among the {len(names)} labels.")
        return names.index(target)
    if isinstance(target, bool) or not isinstance(target, int | np.integer) or target < 0:
        raise saliency.BadTarget(
            f"target must be the index of a class, at least 0, or its label, got {summary(target)}."
        )
    return int(target)
