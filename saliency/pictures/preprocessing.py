"""Call a preprocessing with the type of picture that it expects, and read its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from saliency.errors import BadImage
from saliency.pictures.arrays import CHANNELS, WHITE_8, Values, channels_last

Prepare = Callable[[np.ndarray], np.ndarray]
"""A function from (h, w, C) in the picture's units to the model's input, (1, h, w, C) float32."""

TAKES_PIL = ("ToTensor", "PILToTensor", "MaybeToTensor")
"""Steps of torchvision and timm that create tensors, and therefore do not accept any."""


def prepared(
    preprocess: Callable[..., Any],
    values: Values,
    span: tuple[float, float],
    notes: list[str],
    channels_first: bool,
    channels: int | None,
) -> Prepare:
    """Return a preprocessing as a function of arrays.

    It is called with the type of picture that the user passed. Those of transformers, torchvision and timm are called
    with an 8-bit PIL image, and ``preprocess_input`` of Keras with floats in 0–255.

    Args:
        preprocess: the user's preprocessing.
        values: the picture.
        span: its black and white.
        notes: receives the settings used, in sentences.
        channels_first: whether the model takes (C, H, W).
        channels: number of channels of the model's input, if known.

    Raises:
        BadImage: it takes PIL images, and the picture cannot be converted to one.
    """
    makers = {base.__module__.partition(".")[0] for base in type(preprocess).__mro__}
    if makers & {"transformers", "torchvision", "timm"}:
        if type(values.rebuild(values.array)).__module__ == "torch" and _takes_tensors(preprocess, makers):
            convert, called = values.rebuild, preprocess
        else:
            convert = _to_pil(values, span, 3 if _wants_colour(preprocess) else None, notes)
            called = _image_processor(preprocess) if "transformers" in makers else preprocess
    elif getattr(preprocess, "__name__", "") == "preprocess_input" and "keras" in str(
        getattr(preprocess, "__module__", "")
    ):
        # it takes floats in 0–255, and may work in place
        convert, called = _to_255(values, span, notes), preprocess
    else:
        convert, called = values.rebuild, preprocess

    def prepare(picture: np.ndarray) -> np.ndarray:
        return fed_of(called(convert(in_type(picture, values))), channels_first, channels)

    return prepare


def of_8_bits(values: Values, notes: list[str]) -> Values:
    """Return a 16-bit picture with 8 bits, as a PIL image or an array as before; others unchanged."""
    if values.white is None or values.array.dtype == np.uint8:
        return values
    from PIL import Image

    notes.append("rounded to 8 bits for the model's own preprocessing")
    is_pil = isinstance(values.rebuild(values.array), Image.Image)

    def rebuild(picture: np.ndarray) -> Any:
        flat = picture[..., 0] if picture.shape[-1] == 1 else picture
        return Image.fromarray(flat) if is_pil else flat

    return Values(np.rint(values.array * (WHITE_8 / values.white)).astype(np.uint8), WHITE_8, rebuild)


def in_type(picture: np.ndarray, values: Values) -> np.ndarray:
    """Return numbers in the type of the picture, rounded for integer types."""
    if values.white is None or picture.dtype == values.array.dtype:
        return picture
    return np.asarray(np.clip(np.rint(picture), 0, values.white), values.array.dtype)


def fed_of(answer: Any, channels_first: bool, channels: int | None = None) -> np.ndarray:
    """Return the result of a preprocessing as (1, h, w, C) float32; uint8 is scaled to 0–1.

    Args:
        answer: an array, a tensor, a PIL image, or a mapping with "pixel_values".
        channels_first: the layout where both are possible.
        channels: number of channels of the model's input, if known.

    Raises:
        BadImage: it is none of these, or more than one image.
    """
    if hasattr(answer, "keys"):
        if "pixel_values" not in answer:
            raise BadImage(f"preprocess returned a mapping without 'pixel_values': {sorted(answer.keys())}.")
        answer = answer["pixel_values"]
    if hasattr(answer, "detach"):
        host = answer.detach().cpu()
        array = np.asarray(host.float() if host.dtype.is_floating_point else host)
    else:
        array = np.asarray(answer)
    array = array.astype(np.float32) if array.dtype.name == "bfloat16" else array
    if array.dtype.kind not in "biuf":
        raise BadImage(f"preprocess must return an array or tensor, got {type(answer).__name__}.")
    scaled = array / WHITE_8 if array.dtype == np.uint8 else array
    return channels_last(np.asarray(scaled, np.float32), channels_first, "preprocessed image", channels)[None]


def _is_of_keras(preprocess: Callable[..., Any]) -> bool:
    name, module = (getattr(preprocess, each, None) or "" for each in ("__name__", "__module__"))
    return name == "preprocess_input" and "keras" in module


def _image_processor(processor: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda picture: processor(images=picture, return_tensors="np")


def _steps(preprocess: Any) -> Iterator[Any]:
    """Yield a preprocessing and the steps it is composed of."""
    yield preprocess
    inside = getattr(preprocess, "transforms", None)
    for each in inside if isinstance(inside, list | tuple) else ():
        yield from _steps(each)


def _takes_tensors(preprocess: Any, makers: set[str]) -> bool:
    return "transformers" not in makers and not any(type(each).__name__ in TAKES_PIL for each in _steps(preprocess))


def _wants_colour(preprocess: Any) -> bool:
    """Return whether it normalizes three channels."""
    means = (getattr(each, name, None) for each in _steps(preprocess) for name in ("image_mean", "mean"))
    return any(mean is not None and np.size(mean) == 3 for mean in means)


def _to_pil(
    values: Values, span: tuple[float, float], channels: int | None, notes: list[str]
) -> Callable[[np.ndarray], Any]:
    """Return the conversion from the picture's numbers to an 8-bit PIL image.

    Args:
        values: the picture.
        span: its black and white.
        channels: 3 if a grey picture is to become one with three equal channels.
        notes: receives the settings used, in sentences.
    """
    from PIL import Image

    count = values.array.shape[-1]
    if count not in CHANNELS:
        raise BadImage(
            f"This preprocess takes PIL images with 1, 3 or 4 channels, but the picture has {count}: pass "
            "preprocess=… that works on the array."
        )
    scale = _to_255(values, span, notes)
    if values.array.dtype != np.uint8:
        notes.append("rounded to 8 bits for preprocess, which takes PIL images")
    repeats = 3 if count == 1 and channels == 3 else 1
    if repeats == 3:
        notes.append("grey repeated to 3 channels for preprocess")

    def convert(picture: np.ndarray) -> Any:
        flat = picture if picture.dtype == np.uint8 else np.rint(scale(picture)).astype(np.uint8)
        flat = np.repeat(flat, repeats, -1)
        return Image.fromarray(flat[..., 0] if flat.shape[-1] == 1 else flat)

    return convert


def _to_255(values: Values, span: tuple[float, float], notes: list[str]) -> Callable[[np.ndarray], np.ndarray]:
    """Return the conversion from the picture's numbers to floats in 0–255.

    Raises:
        BadImage: they are floats in neither 0–1 nor 0–255.
    """
    low, high = span if values.white is None else (0, values.white)
    if low != 0 or (values.white is None and high not in (1, WHITE_8)):
        raise BadImage(
            f"This preprocess takes a picture in 0–255, but the image has floats from {low:.3g} to {high:.3g}, as "
            "if already normalized: pass the original picture, or omit preprocess."
        )
    if high != WHITE_8:
        notes.append(f"0–{high:,.0f} scaled to 0–255 for preprocess")
    # the blur of a baseline may exceed the range slightly
    return lambda picture: np.clip(np.asarray(picture, np.float32) * np.float32(WHITE_8 / high), 0, WHITE_8)
