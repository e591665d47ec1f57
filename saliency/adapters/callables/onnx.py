"""ONNX Runtime sessions as black boxes that return scores."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np

from saliency.adapters.answers import shape_error
from saliency.adapters.callables.function import ARRAYS, FunctionModel
from saliency.adapters.callables.onnx_graph import last_operator
from saliency.adapters.callables.onnx_weights import weighted_graph
from saliency.adapters.callables.untouched import left_alone
from saliency.adapters.declared import normalised_as
from saliency.adapters.per_model import shared_by
from saliency.adapters.weights import Weight, Weighted
from saliency.errors import BadImage, Unsupported
from saliency.model.head import Ending
from saliency.model.precision import precision_note, widened
from saliency.model.protocols import Reweightable
from saliency.pictures.arrays import channel_axis
from saliency.pictures.presets import PRESETS, Declared
from saliency.targets import OfScores

TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
"""NumPy types by the type of an ONNX input."""

MOST_WHITE = 1.5
"""Largest value of a picture that counts as in 0–1 for a uint8 model."""

RANGES = {"normalized_0_1": "0..1", "normalized_1_1": "-1..1", "nominalrange_0_255": "0..255"}
"""By the value of ``Image.NominalPixelRange`` (docs/MetadataProps.md of ONNX), the preset."""

MEANS = ("mean", "image_mean", "input_mean", "pixel_mean", "img_mean")
STDS = ("std", "image_std", "input_std", "pixel_std", "img_std")
NAMES = ("names", "class_names", "classes", "labels")


UNREADABLE = "cannot be read: its file was deleted, or is in ONNX Runtime's own format"


class OnnxModel(Weighted, FunctionModel):
    """An ``onnxruntime.InferenceSession`` with one image input, with targets bound.

    Args:
        session: an open session.
        labels: names of the classes.
    """

    comparable = True

    def __init__(self, session: Any, labels: Sequence[str] | None = None) -> None:
        super().__init__(self._run, labels)
        # the shared state belongs to the session, not to this adapter
        self.session = self.model = session
        self._share(shared_by(session))
        self._offers_only_scores("an ONNX Runtime session offers only scores")
        inputs = session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in TYPES:
            described = ", ".join(f"{each.name}: {each.type} {each.shape}" for each in inputs)
            raise Unsupported(
                f"Expected an ONNX model with one input of images, (N, C, H, W) or (N, H, W, C), got {described}. "
                "Wrap it: a function from images (N, H, W, C) to scores (N, classes) is a model too."
            )
        self._graph = weighted_graph(session)
        why = UNREADABLE if self._graph is None else self._graph.unchangeable()
        del self.lacks[Reweightable]
        if why is not None:
            self.lacks[Reweightable] = f"your ONNX model {why}"
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
        if (text := precision_note(np.dtype(self._type))) is not None:
            self.notes.append(text)
        if self._type is np.uint8:
            self.notes.append("the model takes uint8: fed 0–255")
            self.comparable = False  # the input's type determines its range
        else:
            self._declared = declared_in(metadata)

    @property
    def version(self) -> int:
        """A constant: a session's weights do not change."""
        return id(self.session)

    def wants(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return the input shape (H, W, C) for a picture of shape `shape`."""
        height, width, channels = (mine or theirs for mine, theirs in zip(self._shape, shape, strict=True))
        return height, width, channels if shape[2] == 1 else shape[2]

    def _weights(self) -> list[Weight]:
        graph = self._graph
        assert graph is not None
        return [Weight((name,), (layer,), partial(graph.read, name)) for name, layer in graph.layers.items()]

    def _last_uses(self, images: np.ndarray) -> dict[str, int]:
        assert self._graph is not None
        return self._graph.last_uses(list(self._graph.layers), self._explained(images))

    def _explained(self, images: np.ndarray) -> list[str]:
        """Return the names of the outputs that the scores are computed from."""
        names = [each.name for each in self.session.get_outputs()]
        if len(names) == 1 or callable(self.output) or not all(isinstance(each, OfScores) for each in self._targets):
            return names
        key = self._choice(ARRAYS).chosen(self._call_on(images), len(images)).key
        return [key if isinstance(key, str) else names[key or 0]]

    def _with_weights(self, values: Mapping[str, np.ndarray]) -> Self:
        assert self._graph is not None
        view, session = self._copied(), self._graph.copied(values)
        view.session = view.model = session
        view._graph = weighted_graph(session)
        view.function = view._run
        view._call = left_alone(view._run)
        return view

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
        # a model may take one batch size only: the last batch is padded, and its result cut
        size = self._batch or len(fed)
        parts = [fed[start : start + size] for start in range(0, len(fed), size)]
        short = size - len(parts[-1])
        parts[-1] = np.concatenate([parts[-1], np.repeat(parts[-1][-1:], short, 0)])
        names = [each.name for each in self.session.get_outputs()]
        several = zip(*map(self._outputs, parts), strict=True)
        outputs = {name: _joined(each, len(fed)) for name, each in zip(names, several, strict=True)}
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    def _outputs(self, fed: np.ndarray) -> list[Any]:
        """Return the session's outputs for images in its own layout, in order."""
        try:
            found: list[Any] = self.session.run(None, {self._input: fed})
        except Exception as error:
            shape = np.moveaxis(fed, 1, -1).shape if self.channels_first else fed.shape
            if (explained := shape_error(error, shape, self.name)) is None:
                raise
            raise explained from error
        return found

    def _ending(self, output: int | str | None) -> Ending:
        """Return the last node of the graph, if the session's file is readable; logits before it are not available."""
        names = [each.name for each in self.session.get_outputs()]
        if callable(self.output):
            return Ending()
        return Ending(last_operator(self.session, names[output] if isinstance(output, int) else output or names[0]))


def _joined(parts: Sequence[Any], count: int) -> Any:
    """Join the outputs of the parts of a batch to one array of `count` images; return other outputs unchanged."""
    if not all(isinstance(each, np.ndarray) and each.ndim for each in parts):
        return parts[0]
    return widened(np.concatenate(parts)[:count])


def _metadata(session: Any) -> dict[str, str]:
    """Return the metadata of the exported model, with keys in lower case."""
    found = session.get_modelmeta().custom_metadata_map
    return {str(key).lower(): str(value) for key, value in found.items()}


def declared_in(metadata: Mapping[str, str]) -> Declared | None:
    """Return the preprocessing in a model's metadata: mean and std, or the range of the pixels; None without any."""
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
    """Parse JSON, a Python literal, or numbers separated by commas or spaces; return None for other text."""
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
    """Return whether an input's channels come first: if only one end has a fixed size, it is the channels'."""
    first, _, last = sizes
    if first is None or last is None:
        return last is None
    whole = [size or max(2 * first, 2 * last) for size in sizes]
    return channel_axis(tuple(whole), first=True) != 2
