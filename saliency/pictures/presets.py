"""Preprocessing as a value: resize, crop and normalize; the named presets, and a model's declared preprocessing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from saliency import checks
from saliency.errors import BadField, BadImage, brief, unknown
from saliency.pictures.placement import composed, resized

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's pictures in 0–1: red, green and blue."""

INTERPOLATIONS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
"""Pillow's interpolation constants, by name."""

CROPS = ("center", "squash", "border")


LARGEST = 1 << 15
"""Maximum number of pixels along a side after resizing."""


def _require_sequence(values: Any, name: str, count: int | None) -> Sequence[Any]:
    """Return a tuple or list, of `count` numbers unless `count` is None."""
    if not isinstance(values, tuple | list) or not values or len(values) != (count or len(values)):
        wanted = "(height, width)" if count else "a tuple with one number, or one per channel"
        raise BadField(f"{name} must be {wanted}, got {brief(values)}.")
    return values


@dataclass(frozen=True)
class Preprocessing:
    """A preprocessing that resizes a picture, crops it, and normalizes it to ``(x - mean) / std`` with x in 0–1.

    Called with (H, W, C), uint8 or floats in 0–1, it returns (h, w, C) float32.
    """

    size: tuple[int, int] | None = None
    """Height and width of the central crop; None for the whole picture. A crop larger than the picture is padded with
    black, or with the mean if crop="border"."""
    resize: int | tuple[int, int] | None = None
    """Before the crop: length of the shorter side, or height and width (see `crop`)."""
    crop: Literal["center", "squash", "border"] = "center"
    """How height and width of `resize` are used: "center" scales until both are reached, "border" until one is,
    "squash" to exactly these."""
    interpolation: str = "bicubic"
    """As in Pillow: "nearest", "bilinear", "bicubic", "lanczos", "box" or "hamming"; antialiased when shrinking."""
    mean: tuple[float, ...] = (0.0,)
    """One number for all channels, or one per channel."""
    std: tuple[float, ...] = (1.0,)
    """One number for all channels, or one per channel."""
    reverse: bool = False
    """Whether the channels are reversed (BGR); mean and std are then in that order."""

    def __post_init__(self) -> None:
        checks.choice(self.interpolation, "interpolation", INTERPOLATIONS)
        checks.choice(self.crop, "crop", CROPS)
        checks.flag(self.reverse, "reverse")
        for name, sides in (("size", self.size), ("resize", self.resize)):
            if sides is not None and not (name == "resize" and isinstance(sides, int)):
                _require_sequence(sides, name, 2)
            for side in sides if isinstance(sides, tuple | list) else () if sides is None else (sides,):
                checks.whole(side, name, 1, LARGEST)
        for name, values in (("mean", self.mean), ("std", self.std)):
            for each in _require_sequence(values, name, None):
                checks.number(each, name)
        if not all(self.std):
            raise BadField(f"std must not be zero, got {self.std}.")

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Return (h, w, C) float32 from (H, W, C).

        Raises:
            BadImage: it has neither one channel nor as many as `mean`.
        """
        if np.ndim(picture) != 3:
            raise BadImage(f"A preprocess takes a picture (H, W, C), got {brief(picture)}.")
        picture = self._coloured(picture)
        if self.resize is not None:
            picture = self._cut(_resampled(picture, self._resized(*picture.shape[:2]), self.interpolation))
        elif self.size is not None:
            picture = self._cut(picture)
        unit = picture / np.float32(255) if picture.dtype == np.uint8 else picture
        channels = unit[..., ::-1] if self.reverse else unit
        mean, std = (np.asarray(each, np.float32) for each in (self.mean, self.std))
        return np.asarray((channels - mean) / std, np.float32)

    def described(self) -> str:
        """Return a description in words."""
        steps = []
        if isinstance(self.resize, int):
            steps.append(f"shorter side to {self.resize} ({self.interpolation})")
        elif self.resize is not None:
            steps.append(f"{self.crop} resize to {self.resize[0]}×{self.resize[1]} ({self.interpolation})")
        if self.size is not None:
            steps.append(f"central {self.size[0]}×{self.size[1]}")
        if (name := next((name for name, each in PRESETS.items() if each == self._range), None)) is not None:
            steps.append({"imagenet": "ImageNet's mean and std"}.get(name, f"fed as {name}"))
        else:
            mean, std = (", ".join(f"{value:.3g}" for value in each) for each in (self.mean, self.std))
            steps.append(f"mean {mean}, std {std}")
        return ", ".join([*steps, *["channels reversed"] * self.reverse])

    @property
    def moves(self) -> bool:
        """Whether it resizes or crops the picture."""
        return self.resize is not None or self.size is not None

    def placement(self, height: int, width: int) -> np.ndarray:
        """Return the placement (2, 3) of the result in a picture, see :mod:`saliency.pictures.placement`."""
        to = (height, width) if self.resize is None else self._resized(height, width)
        before, _, first = self._crop(*to)
        moved = np.array([[1.0, 0, first[0] - before[0]], [0, 1, first[1] - before[1]]])
        return composed(resized((height, width), to), moved)

    @property
    def _range(self) -> Preprocessing:
        """The same normalization without resizing and cropping."""
        mean, std = (each[:1] if len(set(each)) == 1 else each for each in (self.mean, self.std))
        return Preprocessing(mean=mean, std=std)

    def _coloured(self, picture: np.ndarray) -> np.ndarray:
        """Return the picture with as many channels as there are means."""
        count, wanted = picture.shape[-1], max(len(self.mean), len(self.std))
        if wanted in (1, count):
            return picture
        if count != 1:
            raise BadImage(f"This preprocess takes pictures with 1 or {wanted} channels, got {count}.")
        return np.repeat(picture, wanted, -1)

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width before the crop."""
        if isinstance(self.resize, int):
            short, long = sorted((height, width))
            longer = int(self.resize * long / short)
            return (self.resize, longer) if height == short else (longer, self.resize)
        assert self.resize is not None
        if self.crop == "squash":
            return self.resize
        ratios = height / self.resize[0], width / self.resize[1]
        ratio = max(ratios) if self.crop == "border" else min(ratios)
        return max(round(height / ratio), 1), max(round(width / ratio), 1)

    def _cut(self, picture: np.ndarray) -> np.ndarray:
        """Return the central crop, padded where the picture is smaller."""
        if self.size is None:
            return picture
        before, after, (top, left) = self._crop(*picture.shape[:2])
        if any(before) or any(after):
            empty = (*(have + less + more for have, less, more in zip(picture.shape, before, after, strict=False)), 1)
            padded = np.ones(empty, picture.dtype) * self._border(picture.dtype, picture.shape[-1])
            padded[before[0] : before[0] + len(picture), before[1] : before[1] + picture.shape[1]] = picture
            picture = padded
        return picture[top : top + self.size[0], left : left + self.size[1]]

    def _crop(self, height: int, width: int) -> tuple[list[int], list[int], list[int]]:
        """Return the pixels to pad before and after each side, and the first ones of the crop then."""
        sides = list(zip(self.size or (height, width), (height, width), strict=True))
        before = [max(to - have, 0) // 2 for to, have in sides]
        after = [max(to - have, 0) - less for (to, have), less in zip(sides, before, strict=True)]
        return before, after, [round((max(have, to) - to) / 2) for to, have in sides]

    def _border(self, dtype: np.dtype[Any], channels: int) -> np.ndarray:
        border = np.broadcast_to(np.asarray(self.mean if self.crop == "border" else 0, np.float32), channels)
        return np.rint(border * 255).astype(dtype) if dtype == np.uint8 else border.astype(dtype)


PRESETS: Mapping[str, Preprocessing] = {
    "imagenet": Preprocessing(mean=IMAGENET_MEAN, std=IMAGENET_STD),
    "0..1": Preprocessing(),
    "0..255": Preprocessing(std=(1 / 255,)),
    "-1..1": Preprocessing(mean=(0.5,), std=(0.5,)),
}
"""Presets for `preprocess`; with a size, as in "imagenet 224", the whole picture is resized to 224×224 first."""


def preset(name: str) -> Preprocessing:
    """Return a preset by name, such as "imagenet" or "imagenet 224".

    Raises:
        UnknownName: there is no such preset.
    """
    known, _, size = name.partition(" ")
    if known not in PRESETS or (size and not (size.isdecimal() and len(size) <= 5 and 0 < int(size) <= LARGEST)):
        raise unknown("preset of preprocess called", name, [*PRESETS, *(f"{known} 224" for known in PRESETS)])
    return replace(PRESETS[known], resize=(int(size), int(size)), crop="squash") if size else PRESETS[known]


UNITS = ((0.0, 1.0), (0.0, 255.0))
"""Black and white of the floating pictures that a preset accepts."""


def no_unit(low: float, high: float) -> BadImage:
    """Return the error for a preset and a floating picture in neither 0–1 nor 0–255."""
    return BadImage(
        f"A preset of preprocess takes a picture in 0–1 or 0–255, got floats from {low:.3g} to {high:.3g}, as if "
        "already normalized: pass the original picture, or omit preprocess."
    )


Preprocess = str | Callable[..., Any] | Preprocessing | Any
"""The types of `preprocess`; the last one is for torchvision's weights or timm's configuration."""


class Declared(NamedTuple):
    """A model's declared preprocessing, and where it is declared."""

    preprocess: Callable[..., Any]
    note: str


def chosen_preprocess(given: Any) -> Callable[..., Any] | None:
    """Return the callable for `preprocess=`: a preset by name, the transforms of torchvision's weights, or as given.

    Raises:
        UnknownName: no such preset.
        BadField: it is not callable.
    """
    if given is None or isinstance(given, Preprocessing):
        return given
    if isinstance(given, str):
        return preset(given)
    if isinstance(given, Mapping) or (not callable(given) and hasattr(given, "mean") and hasattr(given, "input_size")):
        return from_timm(given)
    if not isinstance(given, type) and hasattr(given, "meta") and callable(getattr(given, "transforms", None)):
        made = given.transforms()
        return made if callable(made) else None
    if not callable(given):
        raise BadField(
            f"preprocess must be a function from the image to the model's input, a preset "
            f"({', '.join(map(repr, PRESETS))}), a processor, or torchvision's weights, got {brief(given)}."
        )
    return checks.function(given, "preprocess", ("picture",))


def from_timm(config: Any) -> Preprocessing:
    """Return the evaluation transform of a timm configuration, equal to ``timm.data.create_transform``'s.

    Args:
        config: a dict, or an object with the attributes input_size (C, H, W), crop_pct, crop_mode, interpolation,
            mean, std.

    Raises:
        BadField: it has no input size, or one that is not (C, H, W).
    """
    values = config if isinstance(config, Mapping) else {name: getattr(config, name, None) for name in TIMM}
    sizes = values.get("input_size")
    if not isinstance(sizes, Sequence) or len(sizes) != 3:
        raise BadField(f"Expected timm's configuration with input_size=(C, H, W), got {brief(sizes)}.")
    size = checks.whole(sizes[1], "input_size", 1, LARGEST), checks.whole(sizes[2], "input_size", 1, LARGEST)
    share = float(values.get("crop_pct") or TIMM["crop_pct"])
    crop: Any = values.get("crop_mode") or "center"
    before = int(size[0] / share), int(size[1] / share)
    interpolation = str(values.get("interpolation") or TIMM["interpolation"])
    return Preprocessing(
        size=size,
        resize=before[0] if crop == "center" and before[0] == before[1] else before,
        crop=crop if crop in CROPS else "center",
        interpolation=interpolation if interpolation in INTERPOLATIONS else "bilinear",
        mean=_numbers(values.get("mean"), IMAGENET_MEAN, int(sizes[0])),
        std=_numbers(values.get("std"), IMAGENET_STD, int(sizes[0])),
    )


TIMM: Mapping[str, Any] = {
    "input_size": None,
    "crop_pct": 0.875,
    "crop_mode": "center",
    "interpolation": "bicubic",
    "mean": None,
    "std": None,
}
"""The fields of timm's configurations that are read, with timm's own defaults."""


def _numbers(given: Any, default: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Return mean or std, one number per channel."""
    values = default if given is None else tuple(map(float, np.atleast_1d(given)))
    return values if len(values) in (1, channels) else (float(np.mean(values)),)


def _resampled(picture: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """Resize (H, W, C) by Pillow, channel by channel; floats stay within their range."""
    from PIL import Image

    if picture.shape[:2] == size:
        return picture
    if picture.dtype != np.uint8:
        picture = np.asarray(picture, np.float32)
    way = Image.Resampling(INTERPOLATIONS[interpolation])
    planes = [
        Image.fromarray(np.ascontiguousarray(plane)).resize(size[::-1], way) for plane in np.moveaxis(picture, -1, 0)
    ]
    resized = np.stack([np.asarray(plane) for plane in planes], -1)
    # Pillow clips 8-bit values to 0–255, where sharp edges overshoot
    return resized if picture.dtype == np.uint8 else np.clip(resized, picture.min(), picture.max())
