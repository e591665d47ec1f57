"""A sheet of several pictures, each with its caption."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

GAP = 8
PAPER, INK = (255, 255, 255), (27, 29, 33)

LETTERS = 22
"""Ratio of a picture's width to the font size of its caption."""

SMALLEST, LARGEST = 9, 16
"""Limits of the font size in pixels."""


def sheet(pictures: Sequence[Image.Image], captions: Sequence[str], columns: int) -> Image.Image:
    """Return a sheet of pictures in rows, with captions above them.

    Args:
        pictures: pictures of equal width; they are aligned at the top of their row.
        captions: one for each picture; cut off at its width.
        columns: number of pictures in a row.
    """
    wide = pictures[0].width
    letters = font(wide)
    line = int(letters.size * 1.5)
    rows = [range(start, min(start + columns, len(pictures))) for start in range(0, len(pictures), columns)]
    heights = [line + max(pictures[i].height for i in row) for row in rows]
    paper = Image.new("RGB", (columns * (wide + GAP) - GAP, sum(heights) + GAP * (len(rows) - 1)), PAPER)
    pen = ImageDraw.Draw(paper)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for at, i in enumerate(row):
            left = at * (wide + GAP)
            pen.text((left, top + line // 6), cut_off(captions[i], letters, wide), INK, letters)
            paper.paste(pictures[i], (left, top + line))
        top += height + GAP
    return paper


def cut_off(text: str, letters: ImageFont.FreeTypeFont, width: int) -> str:
    """Return a text cut off at a width in pixels."""
    text = " ".join(text[:width].split())
    if letters.getlength(text) <= width:
        return text
    while text and letters.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def font(width: int) -> ImageFont.FreeTypeFont:
    """Return the font of captions of a picture, by its width in pixels."""
    return _sized(min(LARGEST, max(SMALLEST, width // LETTERS)))


@cache
def _sized(size: int) -> ImageFont.FreeTypeFont:
    """Return matplotlib's font, which covers more alphabets than Pillow's own."""
    import matplotlib as mpl

    return ImageFont.truetype(Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)
