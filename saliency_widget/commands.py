"""Requests of the browser, looked at before anything believes them."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, NamedTuple

import numpy as np

import saliency

TOP = -1
"""The target while nobody knows which class the model finds most likely."""

RID_LENGTH = 128
QUERY_LENGTH = 200
LARGEST_TARGET = 2**31 - 1


class Refused(ValueError):
    """A message that is no request; says why."""


class Request(NamedTuple):
    """What the browser asks."""

    op: str
    rid: str
    method: str = ""
    target: int = TOP
    query: str = ""


def parse(content: Any, buffers: Sequence[Any] | None, methods: Container[str]) -> Request:
    """The request in a message.

    Args:
        content: as it came.
        buffers: as they came; no request has any.
        methods: ids there are.

    Raises:
        Refused: it is none.
    """
    if not isinstance(content, dict):
        raise Refused(f"expected an object, got {_brief(content)}")
    if buffers:
        raise Refused(f"expected no buffers, got {len(buffers)}")
    op, rid = content.get("op"), _text(content, "rid", RID_LENGTH)
    match op:
        case "hello" | "poll" | "cancel":
            return Request(op, rid)
        case "classes":
            return Request(op, rid, query=_text(content, "query", QUERY_LENGTH, least=0))
        case "compute":
            method, target = content.get("method"), content.get("target")
            if not isinstance(method, str) or method not in methods:
                raise Refused(f"expected the id of a method, got {_brief(method)}")
            if isinstance(target, bool) or not isinstance(target, int) or not TOP <= target <= LARGEST_TARGET:
                raise Refused(f"expected the index of a class, got {_brief(target)}")
            return Request(op, rid, method, target)
    raise Refused(f"expected an op of the protocol, got {_brief(op)}")


def _text(content: dict[Any, Any], name: str, most: int, least: int = 1) -> str:
    value = content.get(name)
    if not isinstance(value, str) or not least <= len(value) <= most:
        raise Refused(f"expected {name} to be text of {least} to {most} characters, got {_brief(value)}")
    return value


def _brief(value: Any) -> str:
    shown = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return shown if len(shown) <= 60 else shown[:60] + "…"


def index_of(target: Any, labels: Sequence[str] | None) -> int:
    """The index of a class that Python names.

    Raises:
        BadTarget: neither an index nor a label.
        UnknownName: no such label.
    """
    if isinstance(target, str):
        if labels is None:
            raise saliency.BadTarget(f"The target {target!r} is a label, but there are none: pass labels=[…].")
        if target not in (names := list(labels)):
            raise saliency.UnknownName(f"There is no label {target!r} among the {len(names)} labels.")
        return names.index(target)
    if isinstance(target, bool) or not isinstance(target, int | np.integer) or target < 0:
        raise saliency.BadTarget(f"A target is the index of a class, from 0 on, or its label, got {target!r}.")
    return int(target)
