"""Several inputs, or one that is no picture, packed into one row of numbers.

The inputs of one example are packed into one array (N, D), so that methods, samples and sessions need not know their
number or shapes. Only the model's adapter unpacks the inputs, and the explanation unpacks the mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from saliency.errors import BadField, BadImage, BadShape
from saliency.pictures.arrays import refuse_several

Reshape = Callable[[Any, tuple[int, ...]], Any]


class Packing:
    """The position of each input in a row of numbers.

    Args:
        shapes: shape of one example of each input, without the batch axis.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]]) -> None:
        self.shapes = tuple(shapes)
        ends = np.cumsum([0, *map(prod, self.shapes)])
        self.places = [slice(int(a), int(b)) for a, b in pairwise(ends)]

    def split(self, rows: Any, reshape: Reshape) -> list[Any]:
        """Split rows (N, D), in any framework's arrays, into the inputs, (N, …) each."""
        return [reshape(rows[:, place], (-1, *shape)) for place, shape in zip(self.places, self.shapes, strict=True)]

    def described(self) -> str:
        """Return the shapes as text, with the batch axis."""
        return ", ".join("(" + ", ".join(["N", *map(str, shape)]) + ")" for shape in self.shapes)


class Inputs:
    """One example of the inputs of a model; used like a :class:`~saliency.pictures.picture.Picture`.

    Args:
        given: arrays or tensors, each with its batch axis of one, as the model is called with them.

    Raises:
        BadImage: an input has integers, is not finite, or is not one example.
    """

    def __init__(self, given: Sequence[Any]) -> None:
        arrays = [_read(each, i) for i, each in enumerate(given, 1)]
        self.packing = Packing([each.shape[1:] for each in arrays])
        self.fed = np.concatenate([each.reshape(1, -1) for each in arrays], 1)
        """(1, D) float32."""
        self.shown = np.zeros((0, 0, 3), np.uint8)
        self.placement = np.array([[1.0, 0, 0], [0, 1, 0]])
        self.notes = ["the inputs are passed to the model unchanged"]

    def without(self, name: str) -> np.ndarray:
        """Return the baseline of a name: only "black", which is zero, exists for such inputs."""
        if name != "black":
            raise BadField(
                f"{name!r} is a baseline of pictures. For other inputs pass numbers or arrays, one per input: "
                "baseline=[0.0, …]."
            )
        return np.zeros_like(self.fed)

    def baseline(self, given: Any) -> Any:
        """Return a user's baseline as packed rows.

        Args:
            given: a name or a number for all inputs; a sequence of numbers and arrays, one per input, where an array
                with more than one row stands for several baselines; or a sequence of such sequences: several baselines.

        Raises:
            BadShape: it does not fit the inputs.
        """
        listed = isinstance(given, list | tuple)
        if isinstance(given, str) or (listed and all(isinstance(each, str) for each in given)):
            return given
        if not listed:
            if np.ndim(given) == 0:
                return given
            given = [given]
        if any(isinstance(each, list | tuple) for each in given):
            return [self.baseline(list(each)) for each in given]
        shapes = self.packing.shapes
        if len(given) != len(shapes):
            raise BadShape(f"Expected a baseline for each of the {len(shapes)} inputs, got {len(given)}.")
        rows = [_rows(each, shape, i) for i, (each, shape) in enumerate(zip(given, shapes, strict=True), 1)]
        count = max(map(len, rows))
        if any(len(each) not in (1, count) for each in rows):
            raise BadShape(f"All inputs need the same number of baselines, got {[len(each) for each in rows]}.")
        joined = np.concatenate([np.broadcast_to(each, (count, each.shape[1])) for each in rows], 1)
        return joined[0] if count == 1 else joined

    def split(self, mask: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the mask of each input, from a packed mask (D,)."""
        for each in self.packing.split(mask[None], np.reshape):
            yield each[0]


def inputs_of(image: Any) -> Any:
    """Return a list or tuple of arrays as :class:`Inputs`, anything else unchanged.

    Raises:
        BadImage: it is a list of pictures.
    """
    if isinstance(image, list | tuple) and image:
        refuse_several(image)
        if all(hasattr(each, "shape") for each in image):
            return Inputs(image)
    return image


def _read(given: Any, number: int) -> np.ndarray:
    """Return the input as (1, …) float32."""
    host = given.detach().cpu() if hasattr(given, "detach") else given
    host = host.float() if str(host.dtype) == "torch.bfloat16" else host
    array = np.asarray(host)
    if array.dtype.kind != "f":
        raise BadImage(
            f"Input {number} has {array.dtype.name} values, which cannot be differentiated. Pass the floating values "
            "that the model computes from them (such as embeddings) and a function from these to the scores, or fix "
            "the input: saliency.explain(lambda x: model(x, tokens), [x])."
        )
    if array.ndim < 2 or len(array) != 1:
        raise BadImage(
            f"Expected one example with its batch axis, (1, …), as the model is called; input {number} has the shape "
            f"{array.shape}. x[None] adds the axis, x[:1] selects the first example of several."
        )
    if not np.isfinite(array).all():
        raise BadImage(f"Input {number} has {np.count_nonzero(~np.isfinite(array))} NaN or infinite values.")
    return np.asarray(array, np.float32)


def _rows(given: Any, shape: tuple[int, ...], number: int) -> np.ndarray:
    """Return the baselines of one input, (n, D)."""
    host = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given, np.float32)
    if host.ndim == 0 or host.shape == shape:
        return np.broadcast_to(host, shape).reshape(1, -1)
    if host.shape[1:] != shape or not len(host):
        raise BadShape(f"The baseline of input {number} must have the shape {shape}, got {host.shape}.")
    return host.reshape(len(host), -1)
