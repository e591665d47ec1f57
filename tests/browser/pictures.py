"""Stored pictures of the widget, and their comparison."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Locator

KEPT = Path(__file__).with_name("pictures")

MEAN, LOUD, SHARE = 2.0, 40, 0.02
"""A picture equals the stored one if it differs by at most `MEAN` of 255 on average, and by more than `LOUD` on at most
a `SHARE` of its pixels: another version of a font or of the browser may move an edge, but not a panel."""


SHOWN = Path(__file__).resolve().parents[2] / "docs" / "images"
"""Folder of the pictures that the README shows."""


SAME_DURATIONS = r"""root => {
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) texts.currentNode.data = texts.currentNode.data.replace(/<?[\d.]+\s(s|min)\b/gu, "1.0 s");
}"""

COVER = """{ background: #888 !important; color: transparent !important }"""


def photograph(root: Locator, part: Locator | None = None, *covered: str) -> bytes:
    """Return a screenshot of the widget, or of a part of it; all durations are 1.0 s, and more can be covered."""
    root.evaluate(SAME_DURATIONS)
    style = "".join(f".slw-root {each} {COVER} .slw-root {each} * {{ visibility: hidden }}" for each in covered)
    return (part or root).screenshot(animations="disabled", style=style)


def assert_same_picture(name: str, png: bytes, folder: Path = KEPT) -> None:
    """Compare a screenshot with the stored picture of that name; a new one is written beside it as ``name.new.png``.

    With `KEEP_PICTURES` in the environment (``make pictures``) it replaces the stored picture.
    """
    kept, new = folder / f"{name}.png", folder / f"{name}.new.png"
    if os.environ.get("KEEP_PICTURES"):
        kept.write_bytes(png)
        return
    now = _read(io.BytesIO(png))
    why = "there is none yet"
    if kept.exists():
        was = _read(kept)
        why = f"it is {was.shape[1]}×{was.shape[0]}, the new one {now.shape[1]}×{now.shape[0]}"
        if was.shape == now.shape:
            apart = np.abs(was - now)
            mean, share = apart.mean(), (apart.max(-1) > LOUD).mean()
            if mean <= MEAN and share <= SHARE:
                new.unlink(missing_ok=True)
                return
            why = f"it differs by {mean:.1f} on average, and loudly on {share:.1%} of the pixels"
    KEPT.mkdir(exist_ok=True)
    new.write_bytes(png)
    raise AssertionError(
        f"The picture {name!r} differs from the stored one: {why}. Check {new.name}; if it is right, rename it."
    )


def _read(source: io.BytesIO | Path) -> np.ndarray:
    with Image.open(source) as image:
        return np.asarray(image.convert("RGB"), np.int16)
