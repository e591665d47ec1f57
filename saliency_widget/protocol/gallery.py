"""The messages of a gallery, see docs/widget-protocol.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from saliency_widget.protocol.messages import Message, finite, message, readable


class Item(NamedTuple):
    """A picture of a gallery, as far as it is known."""

    image: int
    name: str
    picture: bytes = b""
    """A JPEG file; empty if it is not sent."""
    mapped: bool = False
    """Whether a map is drawn on it."""
    label: str = ""
    """The label of the predicted class; empty if it is not known."""
    score: float | None = None
    """The probability of the predicted class, or a value in the model's own unit."""
    percent: bool = True
    """Whether `score` is a probability."""
    truth: str = ""
    """The label of the true class; empty if it is not known."""
    right: bool | None = None
    error: str = ""
    """The reason why the picture cannot be read, or has no prediction."""


def items_message(items: Sequence[Item], model: int, method: str, rid: str = "") -> Message:
    """Return an `items`: pictures of a gallery, with their thumbnails in one buffer.

    Args:
        items: the pictures.
        model: index of the model whose predictions they have.
        method: id of the method whose maps they have.
        rid: id of the request.
    """
    fields = [
        {
            "image": each.image,
            "name": readable(each.name),
            "bytes": len(each.picture),
            "mapped": each.mapped,
            "label": readable(each.label),
            "score": finite(each.score),
            "percent": each.percent,
            "truth": readable(each.truth),
            "right": each.right,
            "error": readable(each.error),
        }
        for each in items
    ]
    whole = message("items", rid, items=fields, model=model, method=method)
    return Message(whole.fields, {"pictures": b"".join(each.picture for each in items)})


def order_message(order: np.ndarray, rid: str, **fields: Any) -> Message:
    """Return an `order`: the indices of the pictures that are listed, as uint32 in a buffer."""
    whole = message("order", rid, count=len(order), **fields)
    return Message(whole.fields, {"order": order.astype("<u4")})
