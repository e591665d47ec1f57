"""A page of stored masks that a browser shows without a kernel."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator
from typing import Any

from saliency.datasets.masks import Masks

SIDE = 160
"""Height and width of a picture, in pixels."""

SORTS = ("image", "id", "label", "prediction", "probability", "score", "gap", "seconds", "error")
"""Columns of the index by which a page is sorted."""

STYLE = """
body { font: 14px system-ui, sans-serif; margin: 2em; color: #222; background: #fff }
main { display: flex; flex-wrap: wrap; gap: 12px }
figure { margin: 0; width: 160px } img { width: 160px; height: 160px; object-fit: contain; background: #eee }
figcaption { font-size: 12px; overflow-wrap: anywhere } .error { color: #b00 }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } img { background: #333 } }
"""


def page(
    masks: Masks, method: str | None = None, sort: str = "image", most: int = 200, descending: bool = False
) -> str:
    """Return a page (HTML) of stored masks with their rows of the index.

    Args:
        masks: opened with their pictures to show these beneath the masks.
        method: id of the method; by default the first one.
        sort: the column of the index by which the pictures are sorted.
        most: largest number of pictures.
        descending: whether the largest value is first.
    """
    method = masks.methods[0] if method is None else method
    rows = masks.rows(method, sort, descending=descending)
    title = html.escape(f"{method}: {min(most, len(rows)):,} of {len(masks):,} pictures")
    body = "\n".join(_figures(masks, rows[:most], method))
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
    return f"{head}<h1>{title}</h1><main>\n{body}\n</main></html>\n"


def _figures(masks: Masks, rows: list[dict[str, Any]], method: str) -> Iterator[str]:
    for row in rows:
        name = html.escape(row["id"])
        if row["error"] is not None:
            yield f"<figure><img alt=''><figcaption>{name}<br><span class=error>{html.escape(row['error'])}</span>"
            continue
        share = "" if row["probability"] is None else f" {100 * row['probability']:.0f} %"
        words = html.escape(f"{row['label']} (predicted: {row['prediction']}{share})")
        source = base64.b64encode(_png(masks, row["image"], method)).decode()
        yield f"<figure><img alt='{words}' src='data:image/png;base64,{source}'><figcaption>{name}<br>{words}"


def _png(masks: Masks, index: int, method: str) -> bytes:
    """Return a mask on its picture, or alone, as a small PNG."""
    from PIL import Image

    drawn, buffer = masks.overlay(index, method, 2 * SIDE), io.BytesIO()
    assert drawn is not None
    Image.fromarray(drawn).save(buffer, "png")
    return buffer.getvalue()
