"""Arrays and tensors as (H, W, C): find the channel axis and the value of white, and convert back."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from saliency.errors import BadImage, brief

CHANNELS = (1, 3, 4)
"""Channel counts that identify the channel axis."""

LAYOUTS = ("auto", "HWC", "CHW")

WHITE_8, WHITE_16 = 255, 65_535
"""The largest values of 8 and 16 bits."""

LITTLE = 1 / 8
"""Share of the range; a picture whose maximum is below it gets a note."""


class Values(NamedTuple):
    """A picture as numbers, and the conversion back to the type that was passed."""

    array: np.ndarray
    """(H, W, C): uint8, uint16 or float32."""
    white: float | None
    """The maximum of the integer type; None for floats, which have none."""
    rebuild: Callable[[np.ndarray], Any]
    """Converts (h, w, C) of any size, in the units of `array`, to the type that was passed."""


def from_array(image: Any, notes: list[str], channels: int | None = None, layout: Any = "auto") -> Values:
    """Read an array, a tensor or nested lists of numbers.

    Args:
        image: (H, W), (H, W, C) or (C, H, W), with or without a batch axis of one.
        notes: receives the settings used, in sentences.
        channels: number of channels of the model's input, if known.
        layout: "HWC", "CHW", or "auto".

    Raises:
        BadImage: wrong rank or type, more than one image, undecidable layout, NaN or infinite values.
    """
    framework = type(image).__module__.partition(".")[0]
    given = _on_host(image)
    if given.ndim == 4 and len(given) != 1:
        raise BadImage(
            f"Expected one image, got a batch of {len(given)} with shape {given.shape}: pass one, or explain all with "
            "saliency.explain_each(model, images)."
        )
    first = _is_first(given, framework == "torch", channels, layout, notes)
    array = channels_last(given, first, axis=0 if first else 2)
    values, white = _integers(array, notes) if array.dtype.kind in "biu" else (_floats(array), None)

    def rebuild(picture: np.ndarray) -> Any:
        back = picture >= WHITE_8 / 2 if given.dtype.kind == "b" else picture.astype(given.dtype)
        if given.ndim == 2:
            back = back[..., 0]
        elif first:
            back = np.moveaxis(back, -1, 0)
        back = np.ascontiguousarray(back[None] if given.ndim == 4 else back)
        if framework == "torch":
            return image.new_tensor(back)
        if framework == "tensorflow":
            return sys.modules["tensorflow"].convert_to_tensor(back)
        return sys.modules["jax"].numpy.asarray(back) if framework in ("jax", "jaxlib") else back

    return Values(values, white, rebuild)


def channels_last(
    array: np.ndarray, first: bool, what: str = "image", channels: int | None = None, axis: int | None = None
) -> np.ndarray:
    """Return (H, W), (H, W, C) or (C, H, W), with or without a batch axis of one, as (H, W, C).

    Args:
        array: the array.
        first: whether the channels come first where the shape and `channels` allow both.
        what: name of the array in the error.
        channels: number of channels of the model's input, if known.
        axis: 0 or 2, if the channel axis is known.

    Raises:
        BadImage: wrong rank, empty, or more than one image.
    """
    if array.ndim == 4:
        if len(array) != 1:
            raise BadImage(f"Expected one {what}, got a batch of {len(array)} with shape {array.shape}: pass one.")
        array = array[0]
    if array.ndim not in (2, 3):
        raise BadImage(f"Expected an {what} of shape (H, W), (H, W, C) or (C, H, W), got shape {array.shape}.")
    if 0 in array.shape:
        raise BadImage(f"The {what} is empty: its shape is {array.shape}.")
    if array.ndim == 2:
        return array[..., None]
    if axis is None:
        axis = channel_axis(array.shape, first, channels)
    return np.moveaxis(array, 0, -1) if axis == 0 or (axis is None and first) else array


def channel_axis(shape: tuple[int, ...], first: bool, channels: int | None = None) -> int | None:
    """Return the channel axis of a shape with three axes: 0, 2, or None where it is ambiguous.

    Args:
        shape: (H, W, C) or (C, H, W).
        first: whether to choose axis 0 where both ends may be channels.
        channels: number of channels of the model's input, if known.
    """
    leading, trailing = shape[0] in CHANNELS, shape[2] in CHANNELS
    if leading != trailing:
        return 0 if leading else 2
    if channels is not None and (shape[0] == channels) != (shape[2] == channels):
        return 0 if shape[0] == channels else 2
    if leading:
        return 0 if first else 2
    # channels are few, rows and columns are many
    few = [axis for axis in (0, 2) if 2 * shape[axis] <= min(n for i, n in enumerate(shape) if i != axis)]
    # or the picture is square
    square = [axis for axis in (0, 2) if shape[1] == shape[2 - axis] != shape[axis]]
    return next(iter(few + square), None)


def _is_first(given: np.ndarray, habit: bool, channels: int | None, layout: Any, notes: list[str]) -> bool:
    """Return whether the channels of a picture come first."""
    if not isinstance(layout, str) or layout not in LAYOUTS:
        raise BadImage(f"layout must be one of {', '.join(LAYOUTS)}, got {brief(layout)}.")
    shape = given.shape[-3:]
    if given.ndim not in (3, 4):
        return False
    if layout != "auto":
        return layout == "CHW"
    axis = channel_axis(shape, habit, channels)
    if axis is None and not habit:
        raise BadImage(
            f'The channel axis of {shape} is ambiguous. Pass image=saliency.read(image, layout="CHW"), or "HWC".'
        )
    axis = 0 if axis is None else axis
    if shape[axis] not in (*CHANNELS, channels):
        read = "(C, H, W)" if axis == 0 else "(H, W, C)"
        notes.append(f'{shape} read as {read}: saliency.read(image, layout="HWC") or "CHW" overrules it')
    return axis == 0


def refuse_several(image: list[Any] | tuple[Any, ...]) -> None:
    """Raise if a list contains pictures: it is neither one picture nor the inputs of a multi-input model.

    Raises:
        BadImage: it does.
    """
    shapes = [tuple(each.shape) if hasattr(each, "shape") else None for each in image]
    if all(_is_photograph(each) for each in image) or all(_is_file(each) for each in image):
        listed = "" if None in shapes else f" of shapes {', '.join(map(str, shapes))}"
        raise BadImage(
            f"Got a list of {len(image)} pictures{listed}, but a list means the inputs of a multi-input model. For "
            "several pictures: saliency.explain_each(model, images)."
        )


def _is_photograph(image: Any) -> bool:
    """Return whether an array is a picture without a batch axis, or has 8 bits."""
    shape = tuple(getattr(image, "shape", ()))
    if len(shape) not in (3, 4) or (shape[-1] not in (3, 4) and shape[-3] not in (3, 4)):
        return False
    return "uint8" in str(image.dtype) or (len(shape) == 3 and shape[0] != 1)


def _is_file(image: Any) -> bool:
    module = type(image).__module__.partition(".")[0]
    return isinstance(image, str | bytes | bytearray | os.PathLike) or module == "PIL"


def _on_host(image: Any) -> np.ndarray:
    """Return any array-like of numbers as a NumPy array."""
    framework = type(image).__module__.partition(".")[0]
    if isinstance(image, list | tuple) and image:
        refuse_several(image)
    try:
        if framework == "torch" and hasattr(image, "detach"):
            host = image.detach().cpu()
            array = np.asarray(host.float() if str(host.dtype) == "torch.bfloat16" else host)
        else:
            array = np.asarray(image)
    except ValueError as error:  # nested lists of different lengths, a list of pictures of different sizes
        raise BadImage(f"{_expected(image)} {error}") from error
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if array.dtype.kind not in "biuf":
        raise BadImage(_expected(image) + (f" Its dtype is {array.dtype}." if array.dtype != object else ""))
    return array


def _expected(image: Any) -> str:
    return (
        "Expected a picture (a PIL image, a path, the bytes of a file, an open file, an array or tensor of numbers), "
        f"got {type(image).__name__}."
        + (" The model comes first: saliency.explain(model, image)." if callable(image) else "")
    )


def _floats(array: np.ndarray) -> np.ndarray:
    if not np.isfinite(array).all():
        raise BadImage(f"The image contains {np.count_nonzero(~np.isfinite(array))} NaN or infinite values.")
    return array.astype(np.float32)


def _integers(array: np.ndarray, notes: list[str]) -> tuple[np.ndarray, float]:
    """Return integers as uint8 or uint16, and the value of white."""
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(WHITE_8), WHITE_8
    if array.dtype in (np.uint8, np.uint16):
        return array, int(np.iinfo(array.dtype).max)
    least, most = int(array.min()), int(array.max())
    full = min(WHITE_16, int(np.iinfo(array.dtype).max))
    if least < 0 or most > full:
        raise BadImage(
            f"An integer image must contain 0–{full:,}, got {array.dtype} from {least:,} to {most:,}: convert it to "
            "float, in the model's own range, as (image - image.min()) / (image.max() - image.min())."
        )
    if most <= WHITE_8:
        notes.append("integers read as 0–255")
        return array.astype(np.uint8), WHITE_8
    notes.append(f"{array.dtype} read as 16 bits, 0–{full:,}")
    return array.astype(np.uint16), full


def bits_used(most: float) -> int:
    """Return the largest number with as many bits as `most`: 4,095 for 12 bits."""
    return (1 << int(most).bit_length()) - 1
