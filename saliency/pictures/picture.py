"""Read a picture: from any type of image to the picture that is shown and the model's input."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from saliency import checks
from saliency.errors import BadImage, SaliencyError, unknown
from saliency.pictures.arrays import CHANNELS, LITTLE, WHITE_8, Values, bits_used, channel_axis, from_array
from saliency.pictures.files import from_file
from saliency.pictures.placement import (
    IDENTITY,
    LOST,
    Placed,
    Probe,
    Sizes,
    alike,
    composed,
    confirmed,
    find,
    nearby,
    resized,
)
from saliency.pictures.preprocessing import Prepare, in_type, of_8_bits, prepared
from saliency.pictures.presets import UNITS, Preprocess, Preprocessing, chosen_preprocess, no_unit

CLIPPED = (
    "preprocess maps most of the picture to one value, because PIL's convert clips values beyond 8 bits; scale them "
    "first, as in Image.fromarray(np.uint8(np.asarray(image) / 257))"
)

FILLS = ("black", "white", "grey", "mean", "blur", "noise")
"""Names of baselines."""

SCALED = " scaled to 0–1"


def fill(name: str, images: np.ndarray, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Return pictures with their content replaced by a named fill.

    Args:
        name: "black" and "white" are the ends of the range, "grey" its middle, "mean" each channel's mean, "blur" a
            Gaussian blur with a sigma of a sixteenth of the longer side, "noise" uniform noise over the range, the same
            in every call.
        images: (B, H, W, C) or (B, H, W).
        low: the value of black.
        high: the value of white.

    Returns:
        floating array of the shape of `images`.
    """
    pictures = np.asarray(images, np.result_type(images, np.float32))
    match name:
        case "black" | "white":
            return np.full_like(pictures, low if name == "black" else high)
        case "grey":
            return np.full_like(pictures, (low + high) / 2)
        case "mean":
            return np.broadcast_to(pictures.mean((1, 2), keepdims=True), pictures.shape).copy()
        case "blur":
            from scipy import ndimage

            sigma = max(pictures.shape[1:3]) / 16
            return np.asarray(ndimage.gaussian_filter(pictures, sigma, mode="nearest", axes=(1, 2)))
        case "noise":
            draw = np.random.default_rng(0).uniform(low, high, pictures.shape[1:])
            return np.broadcast_to(draw, pictures.shape).astype(pictures.dtype)
    raise unknown("baseline called", name, FILLS)


def beyond_pictures(baseline: np.ndarray, black: np.ndarray, white: np.ndarray) -> list[str]:
    """Return a note if a baseline is darker or brighter than every picture, otherwise nothing.

    Args:
        baseline: numbers in model space.
        black: the model's input for a black picture.
        white: the model's input for a white picture.
    """
    low, high = (float(end([black.min(), white.min(), black.max(), white.max()])) for end in (np.min, np.max))
    least, most, slack = float(baseline.min()), float(baseline.max()), 1e-3 * (high - low)
    if least >= low - slack and most <= high + slack:
        return []
    beyond = f"outside of the range of pictures ({low:.3g} to {high:.3g})"
    return [f"the baseline has values from {least:.3g} to {most:.3g}, {beyond}"]


@dataclass
class Picture:
    """A picture as the user passed it, and its conversion to the model's input.

    Build it with :func:`read`.
    """

    values: np.ndarray
    """(H, W, C), in the user's own units."""
    low: float
    """The value of black."""
    high: float
    """The value of white."""
    enter: Callable[[np.ndarray], np.ndarray]
    """Converts (H, W, C) in the units of `values` to the model's input, (1, h, w, C) float32."""
    locate: Callable[[Picture], Placed] | None = None
    """Finds the placement of the model's input in the picture; None where the two are the same, pixel for pixel."""
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """Notes to be shown before the model is called."""
    scaled: bool = False
    """Whether `enter` scales integers to 0–1 by default, without a preprocess."""
    again: Callable[[Callable[..., Any]], Picture] | None = field(default=None, repr=False)
    """Returns the picture with a preprocess applied, where none was given."""
    _known: dict[Any, Any] = field(default_factory=dict, repr=False)
    """Pictures derived from this one, cached by key."""

    @cached_property
    def fed(self) -> np.ndarray:
        """The model's input, (1, h, w, C) float32.

        Raises:
            BadImage: it contains NaN or infinite values.
        """
        try:
            fed = self.enter(self.values)
        except (SaliencyError, MemoryError):
            raise
        except Exception as error:
            raise BadImage(f"preprocess fails on the picture: {type(error).__name__}: {error}") from error
        if not np.isfinite(fed).all():
            raise BadImage(f"preprocess returned {np.count_nonzero(~np.isfinite(fed))} NaN or infinite values.")
        if self.locate is not None and self.values.dtype != np.uint8 and _is_clipped(self.values, fed):
            self.notes.append(CLIPPED)
        return fed

    @cached_property
    def shown(self) -> np.ndarray:
        """The picture to show, (H, W, 3) uint8: three or four channels as RGB, the mean of any others as grey."""
        if self.values.dtype == np.uint8 and self.values.shape[-1] in (3, 4) and (self.low, self.high) == (0, 255):
            return self.values[..., :3].copy()
        span = (self.high - self.low) or 1.0
        channels = self.values.shape[-1]
        colours = self.values[..., :3] if channels in (3, 4) else self.values.mean(-1, keepdims=True, dtype=np.float64)
        scaled = colours.astype(np.float64)
        # in place: pages of new memory take longer than the arithmetic
        scaled -= self.low
        scaled /= span
        np.clip(scaled, 0, 1, out=scaled)
        scaled *= 255
        shown = np.rint(scaled, out=scaled).astype(np.uint8)
        return shown if shown.shape[-1] == 3 else np.repeat(shown, 3, -1)

    def once(self, key: Hashable, make: Callable[[], Picture]) -> Picture:
        """Return the derived picture for this key from the cache; `make` creates it the first time."""
        if key not in self._known:
            self._known[key] = make()
        known: Picture = self._known[key]
        return known

    def without(self, name: str) -> np.ndarray:
        """Return the baseline `name` of picture space as the model's input, (1, h, w, C).

        Where a standardization divides zero by zero, on a baseline of one colour, the result is zero.

        Raises:
            BadImage: preprocess fails on this baseline, or returns infinite values.
        """
        if name not in self._known:
            self._known[name] = self._emptied(name)
        return np.asarray(self._known[name])

    def _emptied(self, name: str) -> np.ndarray:
        baseline = fill(name, self.values[None], self.low, self.high)[0]
        way_out = "use baseline='blur', which is computed from the picture, or a number or an array."
        try:
            with np.errstate(all="ignore"):
                fed = self.enter(baseline)
        except SaliencyError:
            raise
        except Exception as error:
            raise BadImage(f"preprocess fails on the baseline {name!r} ({error!r}): {way_out}") from error
        if np.isinf(fed).any():
            raise BadImage(f"preprocess returns infinite values for the baseline {name!r}: {way_out}")
        if np.isnan(fed).any():
            self.notes.append(f"preprocess divides zero by zero on the baseline {name!r}: treated as zero")
        return np.nan_to_num(fed)

    @property
    def kind(self) -> tuple[int, np.dtype[Any]]:
        """The number of channels and the type of its values."""
        return self.values.shape[-1], self.values.dtype

    @property
    def sizes(self) -> Sizes:
        """Height and width of the picture, and of the model's input for it."""
        height, width = self.values.shape[:2]
        return (height, width), (self.fed.shape[1], self.fed.shape[2])

    @cached_property
    def placed(self) -> Placed:
        """The placement of the model's input in the picture, with notes."""
        placed = Placed(IDENTITY) if self.locate is None else self.locate(self)
        self.notes += [note for note in placed.notes if note not in self.notes]
        return placed

    @property
    def placement(self) -> np.ndarray:
        """The affine map (2, 3) from pixels of the model's input to pixels of the picture.

        picture (row, column) = placement @ (input row, input column, 1). See :mod:`saliency.pictures.placement`.
        """
        return self.placed.matrix


class Decoded(NamedTuple):
    """The numbers of a file or a PIL image, read before the layout of the model's input is known."""

    values: Values
    notes: Sequence[str]


def decoded(image: Any) -> Any:
    """Return a file or a PIL image as :class:`Decoded`, so that it is read once; anything else unchanged.

    Raises:
        BadImage: see :func:`read`.
        FileNotFoundError: there is no such file.
    """
    notes: list[str] = []
    values = from_file(image, notes)
    return image if values is None else Decoded(values, notes)


def read(
    image: Any,
    preprocess: Preprocess | None = None,
    *,
    channels_first: bool = False,
    channels: int | None = None,
    layout: str = "auto",
) -> Picture:
    """Read a picture.

    Args:
        image: PIL image, path, bytes of a file, open file, array or tensor of integers, floats or booleans; (H, W),
            (H, W, C) or (C, H, W), with or without a batch axis of one.
        preprocess: a callable from the picture, of the type that was passed, to the model's input (any layout, any
            framework); or a preset: "imagenet" (0–1, minus ImageNet's mean, divided by its standard deviation), "0..1",
            "0..255" or "-1..1", optionally followed by a size to which the whole picture is resized, "imagenet 224"; or
            a :class:`Preprocessing`; or torchvision's weights, or timm's configuration.
            By default, integers are scaled to 0–1 by the range of their type, and floats are fed unchanged.
        channels_first: whether the model takes (C, H, W), for reading an ambiguous result of `preprocess`.
        channels: number of channels of the model's input, if known; it decides where the shape is ambiguous.
        layout: layout of an array: "HWC", "CHW", or "auto".

    Raises:
        BadImage: not a picture, damaged, wrong rank or type, ambiguous layout, more than one image, or NaN.
        FileNotFoundError: there is no such file.
    """
    if channels is not None:
        channels = checks.whole(channels, "channels", 1)
    channels_first = checks.flag(channels_first, "channels_first")
    found, notes = decoded(image), list[str]()
    if isinstance(found, Decoded):
        values, notes = found.values, list(found.notes)
    else:
        values = from_array(found, notes, channels, layout)
    return _entering(values, chosen_preprocess(preprocess), notes, channels_first, channels)


def _entering(
    values: Values, preprocess: Callable[..., Any] | None, read: list[str], channels_first: bool, channels: int | None
) -> Picture:
    """Return a picture with its conversion to the model's input; `read` has the notes on reading its values."""
    notes = list(read)
    low, high = _span(values, not isinstance(preprocess, Preprocessing | None), notes)
    if (count := values.array.shape[-1]) not in CHANNELS:
        notes.append(f"a picture of {count} channels: shown as their mean")
    if isinstance(preprocess, Preprocessing):
        enter = _normalised(preprocess, values, (low, high))
        height, width = values.array.shape[:2]
        locate = (lambda _: Placed(preprocess.placement(height, width))) if preprocess.moves else None
        return Picture(values.array, low, high, enter, locate, [*notes, f"preprocess: {preprocess.described()}"])
    if preprocess is not None:
        enter = prepared(preprocess, values, (low, high), notes, channels_first, channels)
        return Picture(values.array, low, high, enter, partial(_located, preprocess), notes)
    white = values.white
    notes.append("float image fed unchanged" if white is None else _kind(values) + SCALED)

    def as_it_is(picture: np.ndarray) -> np.ndarray:
        return np.asarray(picture[None] if white is None else picture[None] / white, np.float32)

    def again(preprocess: Callable[..., Any]) -> Picture:
        chosen, more = chosen_preprocess(preprocess), list(read)
        # a model's declared preprocessing is for 8-bit photographs
        made_for = values if isinstance(chosen, Preprocessing) else of_8_bits(values, more)
        return _entering(made_for, chosen, more, channels_first, channels)

    return Picture(values.array, low, high, as_it_is, None, notes, scaled=white is not None, again=again)


def _normalised(preprocess: Preprocessing, values: Values, span: tuple[float, float]) -> Prepare:
    """Return a preset as a function of the picture's own values.

    Raises:
        BadImage: they are floats in neither 0–1 nor 0–255.
    """
    if values.white is None and span not in UNITS:
        raise no_unit(*span)
    white = np.float32(span[1] if values.white is None else values.white)

    def enter(picture: np.ndarray) -> np.ndarray:
        picture = in_type(picture, values)
        return preprocess(picture if picture.dtype == np.uint8 else picture / white)[None]

    return enter


def _is_clipped(values: np.ndarray, fed: np.ndarray) -> bool:
    """Return whether most of the input has one value, its maximum, while few pixels of the picture have theirs."""
    return bool((fed == fed.max()).mean() > 0.5 > 5 * (values == values.max()).mean())


def _located(preprocess: Callable[..., Any], picture: Picture) -> Placed:
    """Find the placement of a preprocessing; the result is cached for all pictures of the same size."""
    probe = _probe(picture)
    try:
        known = _PLACED.setdefault(preprocess, {})
    except TypeError:  # unhashable, or without weak references
        known = {}
    same = known.setdefault(picture.kind, {})
    if picture.sizes not in same and (guess := guessed(picture, same)) is not None:
        same[picture.sizes] = guess
    # a cached result may predate a change of the preprocessing
    for fresh in (False, True) if picture.sizes in same else (True,):
        if fresh:
            same[picture.sizes] = find(probe, *picture.sizes)
        if LOST in same[picture.sizes].notes or confirmed(probe, same[picture.sizes]):
            return same[picture.sizes]
    return Placed(resized(*picture.sizes), (LOST,))


def guessed(picture: Picture, known: Mapping[Sizes, Placed]) -> Placed | None:
    """Return the placement of a picture that follows from those of other sizes, as patterns show; else None.

    Args:
        picture: its placement is not known.
        known: placements of the same preprocessing.
    """
    guesses = alike(known, *picture.sizes) if known else ()
    refined = (nearby(_probe(picture), *picture.sizes, guess) for guess in guesses)
    return next((each for each in refined if each is not None), None)


def _probe(picture: Picture) -> Probe:
    return Probe(picture.enter, (picture.low, picture.high), picture.values, picture.fed[0])


_PLACED: weakref.WeakKeyDictionary[Callable[..., Any], dict[Any, dict[Sizes, Placed]]] = weakref.WeakKeyDictionary()
"""Placements by preprocessing, by kind of picture, and by sizes of picture and input."""


def unscaled(picture: Picture) -> Picture:
    """Return the picture for a model that scales 0–255 itself; unchanged if the user passed a preprocess."""
    if not picture.scaled:
        return picture
    notes = [note.replace(SCALED, " fed as 0–255: the model scales it itself") for note in picture.notes]

    def enter(values: np.ndarray) -> np.ndarray:
        return np.asarray(picture.enter(values) * 255, np.float32)

    return Picture(picture.values, picture.low, picture.high, enter, lambda _: picture.placed, notes)


def fitted(picture: Picture, wants: Callable[[tuple[int, int, int]], tuple[int, int, int]]) -> Picture:
    """Return the picture resized, or with grey repeated, where the model accepts nothing else.

    Args:
        picture: the picture as read.
        wants: from the (H, W, C) of the current input to the (H, W, C) that the model accepts.
    """
    height, width, channels = (int(size) for size in picture.fed.shape[1:])
    to = wants((height, width, channels))
    if to == (height, width, channels) or (to[2] != channels and channels != 1):
        return picture
    return picture.once(to, lambda: _refitted(picture, to))


def _refitted(picture: Picture, to: tuple[int, int, int]) -> Picture:
    height, width, channels = (int(size) for size in picture.fed.shape[1:])
    notes = list(picture.notes)
    if to[2] != channels:
        notes.append(f"grey repeated to the model's {to[2]} channels")
    other_size = to[:2] != (height, width)
    if other_size:
        notes.append(f"resized from {height}×{width} to {to[0]}×{to[1]}, the input size of the model")

    def enter(values: np.ndarray) -> np.ndarray:
        fed = picture.enter(values)
        if other_size:
            from skimage.transform import resize

            # smoothed when shrinking, as an image processor does
            fed = resize(fed[0], to[:2], order=1, anti_aliasing=True)[None]
        return np.asarray(np.broadcast_to(fed, (1, *to)), np.float32)

    def locate(_: Picture) -> Placed:
        return Placed(composed(picture.placement, resized((height, width), to[:2])), picture.placed.notes)

    # the user gave no preprocess, so that the input may still be compared with the presets
    return Picture(
        picture.values, picture.low, picture.high, enter, locate, notes, scaled=picture.scaled, again=picture.again
    )


def held(value: Any) -> Any:
    """Return the value of a method's field with tensors as arrays, torch's with channels last.

    Args:
        value: a tensor, a list or tuple that contains tensors, or anything else, which is returned unchanged.
    """
    if type(value) in (list, tuple):
        return type(value)(map(held, value))
    if isinstance(value, np.ndarray | np.generic) or not hasattr(value, "__array__"):
        return value
    if type(value).__module__.partition(".")[0] != "torch":
        return np.asarray(value)
    array = np.asarray(value.detach().cpu())
    first = array.ndim >= 3 and channel_axis(array.shape[-3:], first=True) == 0
    return np.moveaxis(array, -3, -1) if first else array


def _span(values: Values, preprocessed: bool, notes: list[str]) -> tuple[float, float]:
    """Return the values of black and white of a picture.

    Integers have the range of their type; a note reports a picture that uses little of it.
    """
    if values.white is None:
        return _range(values.array, notes)
    most, white = int(values.array.max()), values.white
    if 0 < most <= LITTLE * white:
        note, full = f"the largest value is {most:,} of {white:,.0f}", bits_used(most)
        if not preprocessed:
            way = f"preprocess=lambda image: np.asarray(image, np.float32) / {full}"
            notes.append(f"{note}, fed as {most / white:.2g}; if white is {full:,}, pass {way}")
        elif white > WHITE_8:
            # the user's preprocess scales the input; white is only for display and for baselines
            white = full
            notes.append(f"{note}: {white:,} is used as white for display and baselines")
    return 0.0, float(white)


def _kind(values: Values) -> str:
    return "uint8" if values.white == WHITE_8 else "16 bits"


def _range(values: np.ndarray, notes: list[str]) -> tuple[float, float]:
    """Return black and white of a floating image from its values; used only for display and for named baselines."""
    lowest, highest = float(values.min()), float(values.max())
    if lowest >= 0 and highest <= 1:
        return 0.0, 1.0
    if lowest >= 0 and highest <= 255:
        notes.append("float image shown as 0–255, and not scaled: preprocess=lambda x: x / 255 would feed it as 0–1")
        return 0.0, 255.0
    notes.append("float image looks normalized: its minimum and maximum are used as black and white")
    return lowest, highest
