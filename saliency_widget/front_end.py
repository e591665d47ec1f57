"""The files of the front end that `npm run build` creates."""

from __future__ import annotations

import zlib
from pathlib import Path

STATIC = Path(__file__).with_name("static")


def built(name: str) -> str:
    """Return the text of a file of the front end.

    The text, not its path: anywidget would watch the file, and hold every widget that uses it forever.
    """
    path = STATIC / name
    if not path.is_file():
        raise FileNotFoundError(
            f"The front end is not built: saliency_widget/static/{name} is missing. In a checkout, run "
            "`npm ci && npm run build` (Node.js 20 or newer). Released wheels include it."
        )
    return path.read_text(encoding="utf-8")


def compressed(code: str) -> bytes:
    """Return code as the browser inflates it, see "Second module" in docs/widget-protocol.md."""
    return zlib.compress(code.encode(), 9)
