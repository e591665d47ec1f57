"""ONNX Runtime: a session as a black box that gives scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saliency.adapters.function import FunctionModel
from saliency.errors import BadOutput, Unsupported

TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
"""What an input may be fed."""

CHANNELS = (1, 3, 4)


class OnnxModel(FunctionModel):
    """An ``onnxruntime.InferenceSession`` with one image input, with targets bound.

    Args:
        session: open already.
        labels: names of the classes.
    """

    def __init__(self, session: Any, labels: Sequence[str] | None = None) -> None:
        super().__init__(self._run, labels)
        self.session = session
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
        self.channels_first = sizes[1] in CHANNELS or sizes[3] not in CHANNELS
        self._batch = sizes[0]
        self._shape = (sizes[2], sizes[3], sizes[1]) if self.channels_first else (sizes[1], sizes[2], sizes[3])
        self.notes.append(
            f"ONNX input {self._input} read as {'(N, C, H, W)' if self.channels_first else '(N, H, W, C)'}"
        )
        if self._type is np.uint8:
            self.notes.append("the model takes uint8: fed 0–255")

    @property
    def version(self) -> int:
        """A session's weights do not change."""
        return id(self.session)

    def wants(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """The (H, W, C) that it must be fed for a picture that comes as `shape`."""
        height, width, channels = (mine or theirs for mine, theirs in zip(self._shape, shape, strict=True))
        return height, width, channels if shape[2] == 1 else shape[2]

    def _run(self, images: np.ndarray) -> np.ndarray:
        fed = np.moveaxis(images, -1, 1) if self.channels_first else images
        fed = np.clip(np.rint(fed * 255), 0, 255) if self._type is np.uint8 else fed
        fed = np.ascontiguousarray(fed, self._type)
        # a model may be made for batches of one size alone: the last one is filled up, and cut again
        size = self._batch or len(fed)
        parts = [fed[start : start + size] for start in range(0, len(fed), size)]
        short = size - len(parts[-1])
        parts[-1] = np.concatenate([parts[-1], np.repeat(parts[-1][-1:], short, 0)])
        said = np.concatenate([self._scores(part) for part in parts])
        return said[: len(fed)]

    def _scores(self, fed: np.ndarray) -> np.ndarray:
        outputs = self.session.run(None, {self._input: fed})
        for each in outputs:
            array = np.asarray(each)
            if array.ndim == 2 and np.issubdtype(array.dtype, np.floating):
                return array.astype(np.float32)
        told = ", ".join(f"{each.name}: {each.type} {each.shape}" for each in self.session.get_outputs())
        raise BadOutput(f"No scores of shape (N, classes) were found in the ONNX model's outputs, {told}.")
