"""Films: a selection that grows, with the model's probability for it drawn under each frame."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

import saliency
from saliency_widget.pictures.drawing import Shown, View, draw
from saliency_widget.pictures.maps import region_count
from saliency_widget.pictures.sheet import INK, PAPER, cut_off, font

KINDS = {".gif": "GIF", ".webp": "WEBP", ".apng": "PNG"}
"""Formats of Pillow by the extensions of files."""

SWEEPS = ("regions", "percentile")
"""What grows: the number of regions, or the share of the most salient pixels."""

HOLD = 4
"""The first and the last frame are shown this many times as long as the others."""

COLOURS = 256
"""Number of colours of a GIF file."""

MUTED, RULE, ACCENT = (92, 98, 108), (208, 211, 217), (31, 111, 235)

PLOT = 3
"""Height of the plot of the outputs, in lines of text."""

FINER = 3
"""Factor of supersampling, for a smooth curve."""


class Plan(NamedTuple):
    """What a film shows, and how."""

    sweep: str | None = None
    """One of :data:`SWEEPS`; None for regions where the map has them."""
    fill: str = "blur"
    """Replacement of the pixels that are not shown."""
    frames: int = 20
    """Maximum number of frames."""
    seconds: float = 6.0
    """Duration of a loop."""
    width: int = 448
    """Width in pixels."""


class Scene(NamedTuple):
    """What is filmed: a map on its picture."""

    picture: np.ndarray
    """uint8 (H, W, 3)."""
    shown: Shown
    view: View
    name: str
    """Name of the method."""
    label: str
    """Name of the class."""


class Film(NamedTuple):
    """Frames of equal size, with even sides, as video formats require."""

    frames: list[Image.Image]
    durations: list[int]
    """In milliseconds, multiples of 10."""


def views(scene: Scene, plan: Plan) -> list[View]:
    """Return the view of each frame: the selection grows in equal steps, to the whole picture.

    Raises:
        Unsupported: regions were requested, and the map has none.
    """
    regions = scene.shown.regions
    view = scene.view._replace(mode="area", region=0, picked={}, fill=plan.fill)
    if plan.sweep == "regions" and not regions:
        raise saliency.Unsupported(
            f'A film over regions needs a map with regions, and {scene.name} has none: use XRAI, or sweep="percentile".'
        )
    if regions and plan.sweep != "percentile":
        counts = np.linspace(1, len(regions), min(plan.frames, len(regions)))
        return [view._replace(region=int(count)) for count in np.rint(counts)]
    shares = [round(100 * (i + 1) / plan.frames, 1) for i in range(plan.frames)]
    if not regions:
        return [view._replace(keep=share) for share in shares]
    # as many regions as come nearest to each share
    several = dict.fromkeys(max(1, region_count(regions, 0, share)) for share in shares)
    return [view._replace(region=count) for count in several]


def drawn(
    scene: Scene,
    steps: Sequence[tuple[View, float, float]],
    plan: Plan,
    percent: bool,
    each: Callable[[int], None] = lambda _: None,
) -> Film:
    """Draw a film.

    Args:
        scene: what is filmed.
        steps: for each frame its view, the share of the pixels that it shows, and the model's output for the class.
        plan: its settings.
        percent: whether outputs are probabilities.
        each: called with the number of frames before each is drawn.
    """
    outputs = [output for _, _, output in steps]
    # one scale for all frames
    low, high = (0.0 if percent else min(outputs)), max(outputs)
    ends = [(low, _output(low, percent)), (high, _output(high, percent))]
    frames = []
    for i, (view, share, output) in enumerate(steps):
        each(i)
        picture = draw(scene.picture, scene.shown, view, plan.width)
        texts = _texts(scene, share, output, plan.fill, percent)
        frames.append(_framed(picture, texts, [step[1:] for step in steps[: i + 1]], ends))
    return Film(frames, _durations(len(frames), plan.seconds))


def encoded(film: Film, kind: str) -> bytes:
    """Return a film that repeats for ever as a file of Pillow's format `kind`."""
    frames = _with_few_colours(film.frames) if kind == "GIF" else film.frames
    options = {"quality": 85} if kind == "WEBP" else {}
    buffer = io.BytesIO()
    first, *others = frames
    first.save(buffer, kind, save_all=True, append_images=others, duration=film.durations, loop=0, **options)
    return buffer.getvalue()


def kind_of(path: Path) -> str:
    """Return Pillow's format for the extension of a file.

    Raises:
        BadField: no film can be written to it.
    """
    if (kind := KINDS.get(path.suffix.lower())) is None:
        raise saliency.BadField(
            f"film() writes {', '.join(KINDS)}, got {str(path)!r}. The tab Save makes videos, where the browser can."
        )
    return kind


def _durations(count: int, seconds: float) -> list[int]:
    """Return how long each frame is shown: GIF files count in 10 milliseconds."""
    if count == 1:
        return [max(10, round(seconds * 100) * 10)]
    each = seconds * 100 / (count - 2 + 2 * HOLD)
    ends = np.cumsum([0, HOLD, *[1] * (count - 2), HOLD]) * each
    return [max(10, int(step) * 10) for step in np.diff(np.rint(ends))]


def _with_few_colours(frames: Sequence[Image.Image]) -> list[Image.Image]:
    """Return frames in one palette without dithering, so that what does not change costs no bytes."""
    first, last = frames[0], frames[-1]
    both = Image.new("RGB", (first.width, 2 * first.height))
    both.paste(first)
    both.paste(last, (0, first.height))
    palette = both.quantize(COLOURS, Image.Quantize.MEDIANCUT)
    return [each.quantize(palette=palette, dither=Image.Dither.NONE) for each in frames]


def _texts(scene: Scene, share: float, output: float, fill: str, percent: bool) -> tuple[str, str]:
    """Return the class with the model's output, and what is shown."""
    return (
        f"{scene.label} {_output(output, percent)}",
        f"{scene.name}: {_percent(share)} shown, the rest replaced with {fill}",
    )


def _output(output: float, percent: bool) -> str:
    return _percent(output) if percent else f"{output:.3g}".replace("-", "\u2212")


def _percent(share: float) -> str:
    return f"{100 * share:.{1 if 0 < share < 0.01 else 0}f} %"


def _framed(
    picture: Image.Image,
    texts: tuple[str, str],
    points: Sequence[tuple[float, float]],
    ends: Sequence[tuple[float, str]],
) -> Image.Image:
    """Return a picture with texts and the curve of the outputs so far under it.

    Args:
        picture: the picture.
        texts: two lines.
        points: share of the pixels and output of each frame so far.
        ends: the lowest and the highest output of the film, with their labels.
    """
    letters = font(picture.width)
    line = int(letters.size * 1.5)
    margin = line // 3
    height = picture.height + (len(texts) + PLOT) * line + line // 2
    paper = Image.new("RGB", (picture.width + picture.width % 2, height + height % 2), PAPER)
    paper.paste(picture)
    pen = ImageDraw.Draw(paper)
    for i, (text, ink) in enumerate(zip(texts, (INK, MUTED), strict=True)):
        at = (margin, picture.height + line // 4 + i * line)
        pen.text(at, cut_off(text, letters, picture.width - 2 * margin), ink, letters)
    top, tall = picture.height + len(texts) * line + line // 2, PLOT * line - line // 2
    (low, lowest), (high, highest) = ends
    for label, y in ((highest, top), (lowest, top + tall)):
        pen.text((margin, y), label, MUTED, letters, anchor="lt" if y == top else "lb")
    left = 2 * margin + int(max(letters.getlength(label) for _, label in ends))
    plot = _plot(picture.width - left - margin, tall, points, (low, high), max(2, line // 6))
    paper.paste(plot, (left, top))
    return paper


def _plot(
    width: int, height: int, points: Sequence[tuple[float, float]], ends: tuple[float, float], radius: int
) -> Image.Image:
    """Return the curve of outputs over shares of the pixels, with a dot at the last."""
    low, high = ends
    paper = Image.new("RGB", (max(1, width) * FINER, height * FINER), PAPER)
    pen, dot = ImageDraw.Draw(paper), radius * FINER
    across, down = paper.width - 2 * dot - 1, paper.height - 2 * dot - 1
    for level in (dot, dot + down):
        pen.line([(0, level), (paper.width, level)], RULE, FINER // 2 + 1)
    places = [
        (dot + share * across, dot + (1 - (output - low) / ((high - low) or 1.0)) * down) for share, output in points
    ]
    pen.line(places, ACCENT, 2 * FINER, "curve")
    x, y = places[-1]
    pen.ellipse((x - dot, y - dot, x + dot, y + dot), ACCENT)
    return paper.reduce(FINER)
