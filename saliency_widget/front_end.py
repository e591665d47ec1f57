"""The front end's files, as `npm run build` leaves them."""

from __future__ import annotations

from pathlib import Path

STATIC = Path(__file__).with_name("static")


def built(name: str) -> str:
    """A file of the front end.

    As text: of a path anywidget watches the contents, and holds every widget that shows them for ever.
    """
    path = STATIC / name
    if not path.is_file():
        raise FileNotFoundError(
            f"The front end is not built: saliency_widget/static/{name} is missing. In a checkout run "
            "`npm ci && npm run build` (Node.js 20 or newer); released wheels carry it."
        )
    return path.read_text(encoding="utf-8")
