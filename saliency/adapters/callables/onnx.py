"""ONNX Runtime: a session as a black box that gives scores."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from saliency.adapters.answers import shape_error
from saliency.adapters.callables.function import FunctionModel
from saliency.adapters.callables.onnx_graph import last_operator
from saliency.adapters.declared import normalised_as
from saliency.adapters.per_model import shared_by
from saliency.errors import BadImage, Unsupported
from saliency.model.head import Ending
from saliency.model.precision import precision_note, widened
from saliency.pictures.arrays import channel_axis
from saliency.pictures.presets import PRESETS, Declared

TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
"""What an input may be fed."""

MOST_WHITE = 1.5
"""Beyond this a picture for a model of uint8 is no longer of 0–1."""

RANGES = {"normalized_0_1": "0..1", "normalized_1_1": "-1..1", "nominalrange_0_255": "0..255"}
"""By the value of ``Image.NominalPixelRange`` (docs/MetadataProps.md of ONNX), the preset."""

MEANS = ("mean", "image_mean", "input_mean", "pixel_mean", "img_mean")
STDS = ("std", "image_std", "input_std", "pixel_std", "img_std")
NAMES = ("names", "class_names", "classes", "labels")


class OnnxModel(FunctionModel):
    """An ``onnxruntime.InferenceSession`` with one image input, with targets bound.

    Args:
        session: open already.
        labels: names of the classes.
    """

    comparable = True

    def __init__(self, session: Any, labels: Sequence[str] | None = None) -> None:
        super().__init__(self._run, labels)
        # what is shared belongs to the session, not to this adapter
        self.session = self.model = session
        self._shared = shared_by(session)
        self.lock, self.batch_sizes = self._shared.lock, self._shared.batch_sizes
        self.compared, self.consistency = self._shared.compared, self._shared.consistency
        self._offers_only_scores("an ONNX Runtime session offers only scores")
        inputs = session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in TYPES:
            told = ", ".join(f"{each.name}: {each.type} {each.shape}" for each in inputs)
            raise Unsupported(
                f"Expected an ONNX model with one input of images, (N, C, H, W) or (N, H, W, C), got {told}. "
                "Wrap it: a function from images (N, H, W, C) to scores (N, classes) is a model too."
            )
        self._input, self._type = inputs[0].name, TYPES[inputs[0].type]
        sizes = [size if isinstance(size, int) else None for size in inputs[0].shape]
        self.channels_first = _is_first(sizes[1:])
        self._batch = sizes[0]
        self._shape = (sizes[2], sizes[3], sizes[1]) if self.channels_first else (sizes[1], sizes[2], sizes[3])
        self.channels = self._shape[2]
        self.notes.append(
            f"ONNX input {self._input} read as {'(N, C, H, W)' if self.channels_first else '(N, H, W, C)'}"
        )
        metadata = _metadata(session)
        if labels is None:
            self.labels = names_in(metadata)
        if (said := precision_note(np.dtype(self._type))) is not None:
            self.notes.append(said)
        if self._type is np.uint8:
            self.notes.append("the model takes uint8: fed 0–255")
            self.comparable = False  # its type says what it is fed
        else:
            self._declared = declared_in(metadata)

    @property
    def version(self) -> int:
        """A session's weights do not change."""
        return id(self.session)

    def wants(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """The (H, W, C) that it must be fed for a picture that comes as `shape`."""
        height, width, channels = (mine or theirs for mine, theirs in zip(self._shape, shape, strict=True))
        return height, width, channels if shape[2] == 1 else shape[2]

    def _run(self, images: np.ndarray) -> Any:
        fed = np.moveaxis(images, -1, 1) if self.channels_first else images
        if self._type is np.uint8:
            if fed.max() > MOST_WHITE:
                raise BadImage(
                    f"The ONNX model takes uint8, computed from images in 0–1, but the image has values up to "
                    f"{fed.max():.4g}. Pass it as uint8, or divide it by 255."
                )
            fed = np.clip(np.rint(fed * 255), 0, 255)
        fed = np.ascontiguousarray(fed, self._type)
        # a model may be made for batches of one size alone: the last one is filled up, and cut again
        size = self._batch or len(fed)
        parts = [fed[start : start + size] for start in range(0, len(fed), size)]
        short = size - len(parts[-1])
        parts[-1] = np.concatenate([parts[-1], np.repeat(parts[-1][-1:], short, 0)])
        names = [each.name for each in self.session.get_outputs()]
        several = zip(*map(self._outputs, parts), strict=True)
        said = {name: _joined(each, len(fed)) for name, each in zip(names, several, strict=True)}
        return next(iter(said.values())) if len(said) == 1 else said

    def _outputs(self, fed: np.ndarray) -> list[Any]:
        """What the session gives for images in its own layout, in the order of its outputs."""
        try:
            found: list[Any] = self.session.run(None, {self._input: fed})
        except Exception as error:
            shape = np.moveaxis(fed, 1, -1).shape if self.channels_first else fed.shape
            if (explained := shape_error(error, shape, self.session)) is None:
                raise
            raise explained from error
        return found

    def _ending(self, output: int | str | None) -> Ending:
        """The last node of the graph, where the session still has its file; its logits are not among its outputs."""
        names = [each.name for each in self.session.get_outputs()]
        if callable(self.output):
            return Ending()
        return Ending(last_operator(self.session, names[output] if isinstance(output, int) else output or names[0]))


def _joined(parts: Sequence[Any], count: int) -> Any:
    """What a session gave for each part of a batch, as one array of `count` images; anything else as it is."""
    if not all(isinstance(each, np.ndarray) and each.ndim for each in parts):
        return parts[0]
    return widened(np.concatenate(parts)[:count])


def _metadata(session: Any) -> dict[str, str]:
    """What whoever exported the model wrote beside it, by keys in lower case."""
    found = session.get_modelmeta().custom_metadata_map
    return {str(key).lower(): str(value) for key, value in found.items()}


def declared_in(metadata: Mapping[str, str]) -> Declared | None:
    """Return the preprocessing in a model's metadata: mean and std, or the range of the pixels; None without."""
    mean, std = (next((metadata[key] for key in keys if key in metadata), None) for keys in (MEANS, STDS))
    made = None
    if mean is not None and std is not None:
        made = normalised_as(_parsed(mean), _parsed(std))
    elif (preset := RANGES.get(metadata.get("image.nominalpixelrange", "").lower())) is not None:
        made = PRESETS[preset]
    if made is None:
        return None
    if metadata.get("image.bitmappixelformat", "").lower().startswith("bgr"):
        made = replace(made, reverse=True)
    return Declared(made, f"preprocessing of the ONNX file's metadata: {made.described()}")


def names_in(metadata: Mapping[str, str]) -> list[str] | None:
    """Return the names of the classes in a model's metadata: a list, or a dict by index; else None."""
    for key in NAMES:
        names = _parsed(metadata.get(key, ""))
        if isinstance(names, dict):
            by_index = {str(index): name for index, name in names.items()}
            names = [by_index.get(str(i)) for i in range(len(names))]
        if isinstance(names, list | tuple) and len(names) > 1 and all(isinstance(name, str) for name in names):
            return list(names)
    return None


def _parsed(text: str) -> Any:
    """JSON, a literal of Python, or numbers with commas or spaces between; None for anything else."""
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    try:
        return [float(each) for each in re.split(r"[,;\s]+", text.strip())]
    except ValueError:
        return None


def _is_first(sizes: Sequence[int | None]) -> bool:
    """Whether the channels of an input come first: where one end alone is fixed, it is theirs."""
    first, _, last = sizes
    if first is None or last is None:
        return last is None
    whole = [size or max(2 * first, 2 * last) for size in sizes]
    return channel_axis(tuple(whole), first=True) != 2
