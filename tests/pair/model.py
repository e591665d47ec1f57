"""A two-layer model with hand-written gradients, small enough to be read and the same on every NumPy.

Pixels pass a strided 3×3 convolution and softplus (the "layer"), are pooled under a smooth window and passed through a
second softplus layer to three scores. No term is linear, so that paths, noise and occlusion all have something to find.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

KERNEL, STRIDE, CHANNELS, FILTERS, HIDDEN, CLASSES = 3, 2, 3, 4, 5, 3


@dataclass(frozen=True)
class Call:
    """One call of the model: the batch's shape and dtype, and the expected keys."""

    shape: tuple[int, ...]
    dtype: str
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """Equal calls in a row."""

    times: int
    call: Call

    def to_json(self) -> dict[str, Any]:
        """As it stands in calls.json."""
        return {"times": self.times, **asdict(self.call)}

    @staticmethod
    def from_json(entry: Mapping[str, Any]) -> Run:
        """The inverse of :meth:`to_json`."""
        return Run(entry["times"], Call(tuple(entry["shape"]), entry["dtype"], tuple(entry["keys"])))


class Model:
    """The model as PAIR's `call_model_function`; records its calls.

    It computes in float64 and answers in the dtype it was handed, so that its answers to float32 images are the same
    on all machines but for the rarest last bit.
    """

    def __init__(self) -> None:
        random = np.random.RandomState(20190707)  # the legacy generator: its stream is frozen for good
        self.kernel = random.normal(0, 0.8, (KERNEL, KERNEL, CHANNELS, FILTERS))
        self.bias = random.normal(0, 0.5, FILTERS)
        self.hidden = random.normal(0, 1.2, (FILTERS, HIDDEN))
        self.offset = random.normal(0, 0.5, HIDDEN)
        self.readout = random.normal(0, 1.0, (HIDDEN, CLASSES))
        self.calls: list[Call] = []

    def __call__(
        self, x_value_batch: Any, call_model_args: Mapping[str, int] | None = None, expected_keys: Sequence[str] = ()
    ) -> dict[str, Array]:
        """PAIR's contract. `call_model_args` may name the "target"; the default is class 1."""
        batch = np.asarray(x_value_batch)
        self.calls.append(Call(batch.shape, str(batch.dtype), tuple(expected_keys)))
        answers = self.answers(batch, (call_model_args or {}).get("target", 1))
        return {key: answers[key].astype(batch.dtype) for key in expected_keys}

    def answers(self, batch: Array, target: int) -> dict[str, Array]:
        """All four answers in float64, by PAIR's keys. `batch`: (N, H, W, 3), or (N, H, W) which counts as grey."""
        images = batch.astype(np.float64)
        if batch.ndim == 3:
            images = np.repeat(images[..., None], CHANNELS, axis=-1)
        raw = self.bias + sum(tap @ self.kernel[i, j] for i, j, tap in taps(images))
        layer = softplus(raw)
        window = smooth_window(layer.shape[1:3])[None, :, :, None]
        raw_hidden = (layer * window).sum(axis=(1, 2)) @ self.hidden + self.offset
        scores = softplus(raw_hidden) @ self.readout[:, target]
        per_filter = (sigmoid(raw_hidden) * self.readout[:, target]) @ self.hidden.T
        layer_gradients = per_filter[:, None, None, :] * window
        gradients = np.zeros_like(images)
        for i, j, tap in taps(gradients):
            tap[...] += layer_gradients * sigmoid(raw) @ self.kernel[i, j].T
        return {
            "INPUT_OUTPUT_GRADIENTS": gradients.sum(axis=-1) if batch.ndim == 3 else gradients,
            "OUTPUT_LAYER_VALUES": scores,
            "CONVOLUTION_LAYER_VALUES": layer,
            "CONVOLUTION_OUTPUT_GRADIENTS": layer_gradients,
        }

    def predict(self, batch: Array) -> list[float]:
        """Scores in (0, 1) of uint8 images (N, H, W, 3), PIC's `pred_func`: steep where blur moves class 2; rounded."""
        scores = self.answers(np.asarray(batch) / 255.0, 2)["OUTPUT_LAYER_VALUES"]
        return [round(float(score), 9) for score in sigmoid(20.0 * (scores - 2.56))]

    def runs(self) -> list[Run]:
        """Return all calls so far, with equal calls counted."""
        runs: list[Run] = []
        for call in self.calls:
            times = runs.pop().times if runs and runs[-1].call == call else 0
            runs.append(Run(times + 1, call))
        return runs


def taps(images: Array) -> list[tuple[int, int, Array]]:
    """For each place of the kernel the view of the images (N, h, w, C) which that place sees."""
    height, width = ((side - KERNEL) // STRIDE + 1 for side in images.shape[1:3])
    return [
        (i, j, images[:, i : i + STRIDE * height : STRIDE, j : j + STRIDE * width : STRIDE])
        for i in range(KERNEL)
        for j in range(KERNEL)
    ]


def smooth_window(shape: tuple[int, ...]) -> Array:
    """A bump (h, w) of sum 1, left of the middle and below it, so that no two pixels weigh the same."""
    rows, columns = np.indices(shape, dtype=np.float64)
    height, width = shape
    bump = np.exp(-(((rows / height - 0.6) / 0.4) ** 2) - ((columns / width - 0.4) / 0.35) ** 2)
    return np.asarray(bump / bump.sum())


def softplus(x: Array) -> Array:
    """ln(1 + eˣ) without overflow."""
    return np.logaddexp(0.0, x)


def sigmoid(x: Array) -> Array:
    """The derivative of softplus."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))
