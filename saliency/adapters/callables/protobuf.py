"""Read and write messages in the Protocol Buffers format, without their definitions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""Wire types."""


class Field(NamedTuple):
    """One field of a message."""

    number: int
    start: int
    """Where its key starts."""
    at: int
    """Where its content starts."""
    stop: int
    value: int | None = None
    """The value of a variable-length number; None for other types."""


def fields(data: Any, at: int, stop: int) -> Iterator[Field]:
    """Yield every field of the message in ``data[at:stop]``.

    Raises:
        ValueError: it is no message.
    """
    while at < stop:
        start = at
        key, at = number(data, at)
        value = None
        match key & 7:
            case 0:
                begins = at
                value, at = number(data, at)
            case 1:
                begins, at = at, at + 8
            case 2:
                length, begins = number(data, at)
                at = begins + length
            case 5:
                begins, at = at, at + 4
            case _:
                raise ValueError("no Protocol Buffers")
        yield Field(key >> 3, start, begins, at, value)


def number(data: Any, at: int) -> tuple[int, int]:
    """Read a variable-length number from `at` on, seven bits per byte; return it and its end."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def numbers(data: Any, field: Field) -> list[int]:
    """Return the variable-length numbers of a field: its value, or those packed in it."""
    if field.value is not None:
        return [field.value]
    found, at = [], field.at
    while at < field.stop:
        value, at = number(data, at)
        found.append(value)
    return found


def text(data: Any, field: Field) -> str:
    """Return the content of a field as text."""
    return bytes(data[field.at : field.stop]).decode()


def varint(value: int) -> bytes:
    """Return a number in seven bits per byte."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def written(number: int, content: int | bytes) -> bytes:
    """Return a field with a number or with bytes."""
    if isinstance(content, int):
        return varint(number << 3 | VARINT) + varint(content)
    return varint(number << 3 | LENGTH) + varint(len(content)) + content
