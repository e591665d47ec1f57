"""Several pictures on one sheet, each with its caption."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

GAP = 8
PAPER, INK = (255, 255, 255), (27, 29, 33)

LETTERS = 22
"""A caption's letters are this many times smaller than a picture is wide, within what can be read."""

SMALLEST, LARGEST = 9, 16


def sheet(pictures: Sequence[Image.Image], captions: Sequence[str], columns: int) -> Image.Image:
    """Pictures row by row, `columns` of them side by side, captions above them.

    Args:
        pictures: of one width; what is less high than its row stands at the row's top.
        captions: one for each; what does not fit its picture's width is cut off.
        columns: in a row.
    """
    wide = pictures[0].width
    font = _font(min(LARGEST, max(SMALLEST, wide // LETTERS)))
    line = int(font.size * 1.5)
    rows = [range(start, min(start + columns, len(pictures))) for start in range(0, len(pictures), columns)]
    heights = [line + max(pictures[i].height for i in row) for row in rows]
    paper = Image.new("RGB", (columns * (wide + GAP) - GAP, sum(heights) + GAP * (len(rows) - 1)), PAPER)
    pen = ImageDraw.Draw(paper)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for at, i in enumerate(row):
            left = at * (wide + GAP)
            pen.text((left, top + line // 6), _cut(captions[i], font, wide), INK, font)
            paper.paste(pictures[i], (left, top + line))
        top += height + GAP
    return paper


def _cut(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The beginning of a line that is no wider than it may be."""
    text = " ".join(text[:width].split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """The letters of matplotlib, which know more alphabets than Pillow's own."""
    import matplotlib as mpl

    return ImageFont.truetype(Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)
