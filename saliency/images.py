"""From whatever the user holds to two arrays: the picture that is shown, and what the model is fed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from saliency.errors import BadImage, unknown

FILLS = ("black", "white", "grey", "mean", "blur", "noise")
"""Baselines that have a name."""

SCALED = "uint8 scaled to 0–1"

CHANNELS = (1, 3, 4)
"""Counts of channels by which an axis is known to be the channels' one."""


def fill(name: str, images: np.ndarray, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Pictures with their content taken away, in the way that `name` says.

    Args:
        name: "black" and "white" are the range's ends, "grey" its middle, "mean" each channel's mean, "blur" a
            Gaussian blur of a sixteenth of the longer side, "noise" uniform noise over the range (always the same).
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
    """The sentence that a baseline is darker or brighter than any picture, if it is.

    Args:
        baseline: numbers in model space.
        black: what the model is fed of a black picture.
        white: and of a white one.
    """
    low, high = (float(end([black.min(), white.min(), black.max(), white.max()])) for end in (np.min, np.max))
    least, most, slack = float(baseline.min()), float(baseline.max()), 1e-3 * (high - low)
    if least >= low - slack and most <= high + slack:
        return []
    beyond = f"beyond what any picture is fed as ({low:.3g} to {high:.3g})"
    return [f"the baseline reaches from {least:.3g} to {most:.3g}, {beyond}"]


@dataclass
class Picture:
    """A picture as the user gave it, and the way from it to the model.

    Build it with :func:`read`.
    """

    values: np.ndarray
    """(H, W, C), in the user's own units."""
    low: float
    """The value of black."""
    high: float
    """The value of white."""
    enter: Callable[[np.ndarray], np.ndarray]
    """From `values`-like (H, W, C) to what the model is fed, (1, h, w, C) float32."""
    resampled: bool
    """Whether `enter` may move pixels (a preprocess of the user's)."""
    notes: list[str] = field(default_factory=list)
    scaled: bool = False
    """Whether `enter` scales 0–255 to 0–1, because nothing else was asked for."""
    _known: dict[Any, Any] = field(default_factory=dict, repr=False)
    """What was made of it before: whoever asks about one picture again and again asks for the same things."""

    @cached_property
    def fed(self) -> np.ndarray:
        """What the model is fed, (1, h, w, C) float32."""
        return self.enter(self.values)

    @cached_property
    def shown(self) -> np.ndarray:
        """What the screen shows, (H, W, 3) uint8."""
        span = (self.high - self.low) or 1.0
        scaled = np.clip((self.values.astype(np.float64) - self.low) / span, 0, 1)
        channels = scaled.shape[-1]
        rgb = scaled[..., :3] if channels >= 3 else np.repeat(scaled.mean(-1, keepdims=True), 3, -1)
        return np.asarray(np.rint(rgb * 255), np.uint8)

    def without(self, name: str) -> np.ndarray:
        """The baseline `name` of picture space, as the model would be fed it, (1, h, w, C)."""
        if name not in self._known:
            self._known[name] = self.enter(fill(name, self.values[None], self.low, self.high)[0])
        return np.asarray(self._known[name])

    @cached_property
    def placement(self) -> np.ndarray:
        """Where a pixel that the model is fed lies in the picture.

        (2, 3): picture (row, column) = placement @ (fed row, fed column, 1). Found by sending two ramps of coordinates
        through the preprocessing, beside black and white to undo its scaling.
        """
        height, width = self.values.shape[:2]
        if not self.resampled:
            return np.array([[1.0, 0, 0], [0, 1, 0]])
        down, across = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
        # tilted against the pixels' rows and columns, so that rounding to 256 levels averages out
        ramps = [0.9 * down + 0.1 * across, 0.1 * down + 0.9 * across]
        black, white, *seen = (
            self.enter(self.low + (self.high - self.low) * np.repeat(ramp[..., None], self.values.shape[-1], -1))
            for ramp in (np.zeros_like(down), np.ones_like(down), *ramps)
        )
        # per channel; one that says nothing (all zero, say) is left out
        told = white != black
        scale = np.where(told, white - black, 1.0)
        tilted = np.stack([(((ramp - black) / scale * told).sum(-1) / told.sum(-1).clip(1))[0] for ramp in seen])
        sides = np.array([height - 1, width - 1])
        at = np.einsum("ij,jhw->ihw", np.linalg.inv([[0.9, 0.1], [0.1, 0.9]]), tilted) * sides[:, None, None]
        # the middle half: no border of a letter box, no edge effect of a resize
        h, w = at.shape[1:]
        middle = np.s_[h // 4 : h - h // 4, w // 4 : w - w // 4]
        grid = np.stack([*(axis[middle].ravel() for axis in np.indices((h, w))), np.ones(at[0][middle].size)], 1)
        where = np.stack([axis[middle].ravel() for axis in at])
        found = np.stack([np.linalg.lstsq(grid, axis, rcond=None)[0] for axis in where])
        misfit = np.abs(found @ grid.T - where).max()
        if misfit > 0.05 * max(height, width) or abs(np.linalg.det(found[:, :2])) < 1e-6:
            self.notes.append("where the preprocessing puts the picture could not be found: shown as a plain resize")
            return np.array([[height / h, 0, (height / h - 1) / 2], [0, width / w, (width / w - 1) / 2]])
        return found


def read(image: Any, preprocess: Callable[..., Any] | None = None, *, channels_first: bool = False) -> Picture:
    """Read a picture.

    Args:
        image: PIL image, path, uint8 or float array or tensor; (H, W), (H, W, C) or (C, H, W), with or without a
            batch axis of one.
        preprocess: from the picture, in the kind it came, to what the model is fed (any layout, any framework).
            Without it uint8 and PIL images are scaled to 0–1, and float arrays are fed as they are.
        channels_first: how the model itself likes its images, for reading an ambiguous answer of `preprocess`.

    Raises:
        BadImage: wrong rank or dtype, more than one image, NaN or infinite values.
    """
    notes: list[str] = []
    values, rebuild = _values(image, notes)
    whole = values.dtype == np.uint8
    if whole:
        low, high = 0.0, 255.0
    else:
        low, high = _range(values, notes)

    if preprocess is None:

        def enter(picture: np.ndarray) -> np.ndarray:
            return np.asarray(picture[None] / 255.0 if whole else picture[None], np.float32)

        notes.append(SCALED if whole else "float image fed as it is")
    else:
        prepare = _preparer(preprocess)

        def enter(picture: np.ndarray) -> np.ndarray:
            if whole:
                picture = np.asarray(np.clip(np.rint(picture), 0, 255), np.uint8)
            return _fed(prepare(picture, rebuild), channels_first)

    return Picture(values, low, high, enter, preprocess is not None, notes, scaled=whole and preprocess is None)


def unscaled(picture: Picture) -> Picture:
    """The picture for a model that scales 0–255 itself; as it is, where the user has seen to that."""
    if not picture.scaled:
        return picture
    told = "uint8 fed as 0–255: the model scales it itself"
    notes = [told if note == SCALED else note for note in picture.notes]

    def enter(values: np.ndarray) -> np.ndarray:
        return np.asarray(picture.enter(values) * 255, np.float32)

    return Picture(picture.values, picture.low, picture.high, enter, picture.resampled, notes)


def fitted(picture: Picture, wants: Callable[[tuple[int, int, int]], tuple[int, int, int]]) -> Picture:
    """The picture as a model takes it: resized, or its grey repeated, where the model takes nothing else.

    Args:
        picture: as read.
        wants: from the (H, W, C) that the model would be fed to the (H, W, C) that it takes.
    """
    height, width, channels = (int(size) for size in picture.fed.shape[1:])
    to = wants((height, width, channels))
    if to == (height, width, channels) or (to[2] != channels and channels != 1):
        return picture
    if to not in picture._known:
        picture._known[to] = _refitted(picture, to)
    known: Picture = picture._known[to]
    return known


def _refitted(picture: Picture, to: tuple[int, int, int]) -> Picture:
    height, width, channels = (int(size) for size in picture.fed.shape[1:])
    notes = list(picture.notes)
    if to[2] != channels:
        notes.append(f"grey repeated to the model's {to[2]} channels")
    resized = to[:2] != (height, width)
    if resized:
        notes.append(f"resized from {height}×{width} to {to[0]}×{to[1]}, the size that the model takes")

    def enter(values: np.ndarray) -> np.ndarray:
        fed = picture.enter(values)
        if resized:
            from skimage.transform import resize

            # smoothed first when shrinking, as an image processor does
            fed = resize(fed[0], to[:2], order=1, anti_aliasing=True)[None]
        return np.asarray(np.broadcast_to(fed, (1, *to)), np.float32)

    return Picture(picture.values, picture.low, picture.high, enter, picture.resampled or resized, notes)


def channels_last(array: np.ndarray, first: bool, what: str = "image") -> np.ndarray:
    """(H, W), (H, W, C) or (C, H, W), with or without a batch axis of one, as (H, W, C).

    Args:
        array: the array.
        first: whether the channels come first where both readings are possible.
        what: what it is called in the error.
    """
    if array.ndim == 4:
        if len(array) != 1:
            raise BadImage(f"Expected one {what}, got a batch of {len(array)} with shape {array.shape}: pass one.")
        array = array[0]
    if array.ndim == 2:
        return array[..., None]
    if array.ndim != 3:
        raise BadImage(f"Expected an {what} of shape (H, W), (H, W, C) or (C, H, W), got shape {array.shape}.")
    if 0 in array.shape:
        raise BadImage(f"The {what} is empty: its shape is {array.shape}.")
    leading, trailing = array.shape[0] in CHANNELS, array.shape[-1] in CHANNELS
    if leading and (first or not trailing):
        return np.moveaxis(array, 0, -1)
    if trailing or not first:
        return array
    return np.moveaxis(array, 0, -1)


def held(value: Any) -> Any:
    """What a field of a method is given, as the methods hold it: of tensors arrays, torch's with the channels last.

    Args:
        value: a tensor, a list or tuple with tensors among its items, or anything else, which is left as it is.
    """
    if type(value) in (list, tuple):
        return type(value)(map(held, value))
    if isinstance(value, np.ndarray | np.generic) or not hasattr(value, "__array__"):
        return value
    if type(value).__module__.partition(".")[0] != "torch":
        return np.asarray(value)
    array = np.asarray(value.detach().cpu())
    first = array.ndim >= 3 and array.shape[-3] in CHANNELS
    return np.moveaxis(array, -3, -1) if first else array


def _values(image: Any, notes: list[str]) -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
    """(H, W, C) of anything, and the way back from such an array to the kind that came."""
    if isinstance(image, str | os.PathLike):
        from PIL import Image

        with Image.open(image) as opened:
            opened.load()
            return _values(opened, notes)
    module = type(image).__module__.partition(".")[0]
    if module == "PIL":
        return _from_pil(image, notes)
    if module == "torch":
        array = image.detach().cpu()
        array = array.float().numpy() if array.dtype.is_floating_point else array.numpy()
    else:
        array = np.asarray(image)
    if array.dtype == object or not np.issubdtype(array.dtype, np.number):
        raise BadImage(
            f"Expected a picture (PIL image, path, array or tensor of numbers), got {type(image).__name__}"
            + (f" of dtype {array.dtype}." if array.dtype != object else ".")
        )
    shape, first = array.shape, module == "torch"
    array = channels_last(array, first)
    swapped = array.shape != shape[-3:] and len(shape) >= 3
    if np.issubdtype(array.dtype, np.integer) and array.dtype != np.uint8:
        if array.min() < 0 or array.max() > 255:
            raise BadImage(
                f"An integer image must hold 0–255, got {array.dtype} from {array.min()} to {array.max()}: "
                "convert it to float, in the model's own range."
            )
        array = array.astype(np.uint8)
        notes.append("integers read as 0–255")
    if array.dtype != np.uint8:
        if not np.isfinite(array).all():
            raise BadImage(f"The image holds {np.count_nonzero(~np.isfinite(array))} NaN or infinite values.")
        array = array.astype(np.float32)

    def rebuild(picture: np.ndarray) -> Any:
        back = np.moveaxis(picture, -1, 0) if swapped else picture
        back = back.reshape(shape).astype(array.dtype)
        return image.new_tensor(back) if module == "torch" else back

    return array, rebuild


def _from_pil(image: Any, notes: list[str]) -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(image)
    if "A" in upright.getbands() or "transparency" in upright.info:
        ground = Image.new("RGBA", upright.size, "white")
        ground.alpha_composite(upright.convert("RGBA"))
        upright = ground
        notes.append("transparency laid on white")
    if upright.mode not in ("L", "RGB"):
        upright = upright.convert("L" if upright.mode in ("1", "I;16", "I", "F") else "RGB")
    array = np.asarray(upright)

    def rebuild(picture: np.ndarray) -> Any:
        return Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)

    return array.reshape(*array.shape[:2], -1), rebuild


def _range(values: np.ndarray, notes: list[str]) -> tuple[float, float]:
    """Black and white of a floating image, judged by its values. Decides how it is shown and named baselines only."""
    lowest, highest = float(values.min()), float(values.max())
    if lowest >= 0 and highest <= 1:
        return 0.0, 1.0
    if lowest >= 0 and highest <= 255:
        notes.append("float image shown as 0–255, and not scaled: preprocess=lambda x: x / 255 would feed it as 0–1")
        return 0.0, 255.0
    notes.append("float image looks normalised: black and white are its own lowest and highest values")
    return lowest, highest


def _preparer(preprocess: Callable[..., Any]) -> Callable[[np.ndarray, Callable[[np.ndarray], Any]], Any]:
    """Call the user's preprocessing the way its maker means it."""
    makers = {base.__module__.partition(".")[0] for base in type(preprocess).__mro__}
    own = getattr(preprocess, "__module__", None) or ""

    def as_pil(picture: np.ndarray) -> Any:
        from PIL import Image

        if picture.dtype != np.uint8:
            picture = np.asarray(np.clip(np.rint(picture * (255 if picture.max() <= 1 else 1)), 0, 255), np.uint8)
        return Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)

    if "transformers" in makers:
        return lambda picture, rebuild: preprocess(images=as_pil(picture), return_tensors="np")
    if makers & {"torchvision", "timm"}:
        return lambda picture, rebuild: preprocess(as_pil(picture))
    if own.startswith(("keras.", "tensorflow.", "tf_keras.")):
        # Keras' preprocess_input takes 0–255 floats and may work in place
        return lambda picture, rebuild: preprocess(np.array(picture, np.float32))
    return lambda picture, rebuild: preprocess(rebuild(picture))


def _fed(prepared: Any, channels_first: bool) -> np.ndarray:
    """(1, h, w, C) float32 of what a preprocessing answered."""
    if hasattr(prepared, "keys"):
        if "pixel_values" not in prepared:
            raise BadImage(f"preprocess gave a mapping without 'pixel_values': {sorted(prepared.keys())}.")
        prepared = prepared["pixel_values"]
    if type(prepared).__module__.partition(".")[0] == "PIL":
        prepared = np.asarray(prepared)
    elif hasattr(prepared, "detach"):
        prepared = prepared.detach().cpu()
        prepared = prepared.float() if prepared.dtype.is_floating_point else prepared
    array = np.asarray(prepared)
    if array.dtype == object or not np.issubdtype(array.dtype, np.number):
        raise BadImage(f"preprocess must give an array or tensor, got {type(prepared).__name__}.")
    scaled = array / 255.0 if array.dtype == np.uint8 else array
    fed = channels_last(np.asarray(scaled, np.float32), channels_first, "preprocessed image")[None]
    if not np.isfinite(fed).all():
        raise BadImage("preprocess gave NaN or infinite values.")
    return fed
