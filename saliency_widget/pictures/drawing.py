"""Drawing of results as the browser shows them, for PNG files and for pages that run no widget."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

import saliency
from saliency_widget.pictures.maps import (
    WHITE,
    Level,
    Maps,
    blurred,
    cut,
    field_of,
    kept,
    levels,
    maps_of,
    region_count,
)
from saliency_widget.pictures.placement import Placement
from saliency_widget.pictures.selection import Picked, mask_of

SHADE = (17, 18, 22)
"""Colour over the pixels that are not kept, and outside the model's view."""

WARM, DARK = (255, 160, 46), (0, 0, 0)
LONGEST_OUTLINE = 40
"""Length, in sides of the map, at which an outline has faded out, as it would hide what it encloses."""

LINES = ((2.6, 0.45), (1.2, 1.0))
"""Widths and opacities of the dark line below a contour and of the contour, for a picture :data:`LINE_SIDE` wide."""

LINE_SIDE, FINER = 500, 3
"""Width in pixels of that picture; factor of supersampling, for smooth edges of contours."""

LUMA = (0.2126, 0.7152, 0.0722)


GAP = 3.0
"""A picture is reduced by averaging to this many times its final size at least, then smoothly: as good and faster."""


class View(NamedTuple):
    """The appearance of a result: the traits of the same names."""

    mode: str
    sign: str
    keep: float
    threshold: float
    opacity: float
    colormap: str
    gamma: float
    smooth: bool
    region: int
    picked: Picked = MappingProxyType({})
    contours: bool = False
    scale: str = "own"
    fill: str = "blur"
    live: bool = False


class Shown(NamedTuple):
    """The parts of a result that are drawn."""

    maps: Maps
    """In the orientation of the shown picture."""
    sign: str
    """The sign that the result suggests."""
    regions: Sequence[saliency.Region] | None
    rectangle: Sequence[float]
    """Rectangle of the maps in the picture: x, y, width, height in its pixels."""
    ends: tuple[float, float] | None = None
    """Ends of a shared colour scale; None if the map has its own."""


def sign_of(view: View, suggested: str) -> str:
    """Return the sign that is shown: the view's, or the suggested one if that is "auto"."""
    return suggested if view.sign == "auto" else view.sign


def selection(maps: Maps, view: View, suggested: str, regions: Sequence[saliency.Region] | None) -> np.ndarray:
    """Return the pixels that the area view keeps, bool (h, w)."""
    if (mask := mask_of(view.picked, maps.step, maps.values.shape)) is not None:
        return mask
    count = None if not regions else region_count(regions, view.region, view.keep)
    return kept(maps, sign_of(view, suggested), view.keep, count)


def selection_of(explanation: saliency.Explanation, view: View, placement: Placement) -> np.ndarray:
    """Return the selected pixels in the orientation of the model's input: bool (h, w)."""
    regions = None if explanation.regions is None else explanation.regions.table
    maps = maps_of(explanation)
    if "runs" in view.picked and (mask := _as_fed(view.picked, maps.values.shape, placement)) is not None:
        return mask
    return selection(maps, view, explanation.sign, regions)


def region_of(picked: Picked, picture: saliency.Picture, placement: Placement) -> np.ndarray | None:
    """Return a mask that was selected by hand on the picture's own pixels, bool (H, W); None if it is of other maps."""
    shape = picture.fed.shape[1:3]
    if (mask := _as_fed(picked, shape, placement)) is None:
        return None
    whole = saliency.Explanation(
        mask.astype(np.float32),
        method="",
        caption="",
        target=0,
        label="",
        picture=picture.shown,
        placement=picture.placement,
    )
    return whole.on_picture(smooth=False) > 0.5


def _as_fed(picked: Picked, shape: tuple[int, ...], placement: Placement) -> np.ndarray | None:
    """Return a mask that was selected by hand, in the orientation of the model's input; None if it is of other maps."""
    upright = placement.upright((shape[0], shape[1]))
    mask = mask_of(picked, None, shape if upright is None else upright.shape)
    if mask is None or upright is None:
        return mask
    turned = np.zeros(shape, bool)
    turned.flat[upright[mask & (upright >= 0)]] = True
    return turned


def draw(picture: np.ndarray, shown: Shown | None, view: View, width: int) -> Image.Image:
    """Return the picture with the result drawn over it, `width` pixels wide."""
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    background = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
    if shown is None:
        return background
    scale = (width / picture.shape[1], height / picture.shape[0])
    rectangle = tuple(edge * scale[i % 2] for i, edge in enumerate(shown.rectangle))
    canvas = _Canvas((width, height), rectangle)
    if view.mode == "heat":
        return _heat(background, shown, view, canvas)
    return _area(background, shown, view, canvas)


def png(image: Image.Image) -> bytes:
    """Return an image as a PNG file."""
    return encoded(image, "PNG", compress_level=4)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return an image as a file of Pillow's format `kind`."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def data_url(data: bytes, mime: str) -> str:
    """Return bytes as a data URL."""
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def shrunk(picture: np.ndarray, longest: int) -> np.ndarray:
    """Return a picture reduced to sides of at most `longest`."""
    height, width = picture.shape[:2]
    if max(height, width) <= longest:
        return picture
    factor = longest / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS, reducing_gap=GAP))


class _Canvas:
    """Canvas that resizes maps to their rectangle in the picture."""

    def __init__(self, size: tuple[int, int], rectangle: tuple[float, ...]) -> None:
        self._size, self._rectangle = size, rectangle

    def lay(self, image: Image.Image, smooth: bool, outside: tuple[int, ...] | int) -> Image.Image:
        x, y, width, height = self._rectangle
        across, down = image.width / width, image.height / height
        return image.transform(
            self._size,
            Image.Transform.AFFINE,
            (across, 0, -x * across, 0, down, -y * down),
            Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST,
            fillcolor=outside,
        )

    def lay_mask(self, mask: np.ndarray) -> np.ndarray:
        return np.asarray(self.lay(Image.fromarray(mask.astype(np.uint8) * 255), False, 0)) > 0

    def contoured(self, image: Image.Image, values: np.ndarray, ends: Sequence[Level]) -> Image.Image:
        """Return an image with contours over it, each on a wider dark line."""
        from contourpy import contour_generator  # comes with matplotlib

        x, y, width, height = self._rectangle
        down, across = values.shape
        if min(down, across) < 2:
            return image
        generator = contour_generator(z=values.astype(np.float64))
        for level, colour in ends:
            # a value is at the centre of its pixel
            found = (np.asarray(line, np.float64) for line in generator.lines(level))
            lines = [((line + 0.5) * (width / across, height / down) + (x, y)) * FINER for line in found]
            for stroke, opacity in LINES:
                alpha = Image.new("L", (self._size[0] * FINER, self._size[1] * FINER))
                pen = ImageDraw.Draw(alpha)
                for line in lines:
                    wide = max(1, round(stroke * FINER * max(1.0, self._size[0] / LINE_SIDE)))
                    pen.line([(float(a), float(b)) for a, b in line], 255, wide, "curve")
                share = np.asarray(alpha.reduce(FINER), np.float64) / 255 * opacity
                over = np.array(DARK if opacity < 1 else colour, np.float64)
                image = _blended(np.asarray(image, np.float64), over, share)
        return image


def _heat(background: Image.Image, shown: Shown, view: View, canvas: _Canvas) -> Image.Image:
    sign = sign_of(view, shown.sign)
    field = field_of(shown.maps, sign)
    signed = sign == "signed"
    table = _colours("RdBu_r" if signed else view.colormap, 255 if signed else 256)
    low, high = shown.ends or (field.low, field.high)
    scaled = np.clip((field.values.astype(np.float64) - low) / (high - low), 0, 1)
    if signed:
        # gamma applies on both sides of the middle, so that zero stays zero
        scaled = (1 + np.sign(2 * scaled - 1) * np.abs(2 * scaled - 1) ** view.gamma) / 2
    else:
        scaled **= view.gamma
    colours = table[(scaled * (len(table) - 1) + 0.5).astype(int)]
    colours[field.strength < np.float32(cut(field.table, view.threshold)), 3] = 0
    layer = np.asarray(canvas.lay(Image.fromarray(colours), view.smooth, (*SHADE, 255)), np.float64)
    grey = np.asarray(background, np.float64) @ np.array(LUMA)
    drawn = _blended(np.repeat(grey[..., None], 3, -1), layer[..., :3], layer[..., 3] / 255 * view.opacity)
    return canvas.contoured(drawn, blurred(field.values), levels(low, high)) if view.contours else drawn


def _area(background: Image.Image, shown: Shown, view: View, canvas: _Canvas) -> Image.Image:
    inside = selection(shown.maps, view, shown.sign, shown.regions)
    light = canvas.lay_mask(inside)
    picture = np.asarray(
        _blended(np.asarray(background, np.float64), np.array(SHADE), ~light * view.opacity), np.float64
    )
    picture = _outlined(picture, light, inside, WHITE)
    if shown.maps.step is not None and shown.regions:
        if view.picked:
            return Image.fromarray(np.rint(picture).astype(np.uint8))
        last = shown.maps.step == region_count(shown.regions, view.region, view.keep) - 1
        picture = _outlined(picture, canvas.lay_mask(last), last, WARM)
    return Image.fromarray(np.rint(picture).astype(np.uint8))


def _outlined(picture: np.ndarray, light: np.ndarray, cells: np.ndarray, colour: tuple[int, ...]) -> np.ndarray:
    """Return a picture with a line along the inner border of the lit pixels."""
    edges = sum(int(np.count_nonzero(np.diff(np.pad(cells, 1), axis=axis))) for axis in (0, 1))
    alpha = float(np.clip(2 * (1 - edges / (LONGEST_OUTLINE * sum(cells.shape) / 2)), 0, 1))
    # pixels outside the picture count as not lit
    lit = Image.fromarray(np.pad(light.astype(np.uint8) * 255, 1))
    line = light & (np.asarray(lit.filter(ImageFilter.MinFilter(3)))[1:-1, 1:-1] == 0)
    return np.asarray(_blended(picture, np.array(colour), line * alpha), np.float64)


def _blended(below: np.ndarray, above: np.ndarray, alpha: np.ndarray) -> Image.Image:
    mixed = below + (above - below) * alpha[..., None]
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


def _colours(name: str, length: int) -> np.ndarray:
    """Return a table of `length` colours, uint8 (length, 4)."""
    import matplotlib as mpl

    return np.asarray(mpl.colormaps[name](np.linspace(0, 1, length), bytes=True))
