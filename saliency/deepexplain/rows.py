"""Several inputs of each example and the weights of its outputs, side by side in one row.

So the engine, whose images are one array, batches, perturbs and adds them up as any other; and the weights go along
with each perturbed copy.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from saliency.deepexplain.questions import Question
from saliency.errors import BadOutput
from saliency.model import Answer
from saliency.ops import NumpyOps


class Packing:
    """Which columns of a row are what.

    Args:
        shapes: of each input, without the examples' axis.
        weights: shape of an example's weights, or None if there are none.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], weights: tuple[int, ...] | None) -> None:
        self.shapes, self.weights = list(shapes), weights
        self.width = sum(size(shape) for shape in shapes)
        """How many columns the inputs take."""

    def packed(self, arrays: Sequence[np.ndarray], dtype: Any) -> np.ndarray:
        """(N, D) from one array (N, ...) for each input, and the weights' after them."""
        count = len(arrays[0])
        return np.concatenate([np.asarray(each, dtype).reshape(count, -1) for each in arrays], 1)

    def unpacked(self, rows: np.ndarray) -> tuple[list[np.ndarray], np.ndarray | None]:
        """The inputs, (n, ...) each, and the weights, (n, ...) or None."""
        weights = rows[:, self.width :]
        return split(rows, self.shapes), None if self.weights is None else weights.reshape(-1, *self.weights)


class RowModel:
    """A question and the session that answers it, as a differentiable model of rows, with one target.

    Args:
        session: a ``tf.compat.v1.Session``.
        question: what is fetched.
        packing: what the rows are made of.
        dtype: of the rows.
        feed: what is fed beside them.
        fixed: the only number of examples that the tensors take, or None; others are filled up to it.
        batch_sizes: what earlier runs found.
    """

    def __init__(
        self,
        session: Any,
        question: Question,
        packing: Packing,
        dtype: Any,
        feed: Mapping[Any, Any],
        fixed: int | None,
        batch_sizes: dict[Hashable, Any],
    ) -> None:
        self.packing, self.question = packing, question
        self.ops = NumpyOps(dtype)
        self.lacks: Mapping[type, str] = {}
        self.lock: AbstractContextManager[Any] = nullcontext()
        self.batch_sizes = batch_sizes
        self._session, self._feed, self._fixed = session, dict(feed), fixed

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """(1, n)."""
        (scores,) = self._run([self.question.scores], rows)
        return np.asarray(scores)[None]

    def gradients(self, rows: np.ndarray) -> Answer[np.ndarray]:
        """Scores (1, n), where there are any, and gradients (1, n, D); those by the weights are zero."""
        question = self.question
        told = question.scores is not None
        fetches = [*question.gradients, question.scores] if told else list(question.gradients)
        answers = self._run(fetches, rows)
        found = np.zeros((1, *rows.shape), rows.dtype)
        found[0, :, : self.packing.width] = self.packing.packed(answers[: len(question.gradients)], rows.dtype)
        return Answer(np.asarray(answers[-1])[None] if told else None, found)

    def _run(self, fetches: list[Any], rows: np.ndarray) -> list[Any]:
        count, question = len(rows), self.question
        if self._fixed is not None and count < self._fixed:
            rows = np.concatenate([rows, np.repeat(rows[-1:], self._fixed - count, 0)])
        arrays, weights = self.packing.unpacked(rows)
        feed = dict(self._feed)
        for tensor, array in zip(question.inputs, arrays, strict=True):
            feed[tensor] = array.astype(tensor.dtype.as_numpy_dtype, copy=False)
        if weights is not None:
            feed[question.weights] = weights
        answers = self._session.run(fetches, feed)
        for tensor, answer in zip(fetches, answers, strict=True):
            if np.ndim(answer) == 0 or len(answer) != len(rows):
                raise BadOutput(
                    f"{tensor.name} must hold one entry per example, ({len(rows)}, …), got shape {np.shape(answer)}. "
                    "T and X must have the examples for their first axis."
                )
        return [answer[:count] for answer in answers]


def split(rows: np.ndarray, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """(n, D) cut into (n, *shape) of each shape; columns beyond them are left out."""
    stops = np.cumsum([size(shape) for shape in shapes])
    starts = [0, *stops[:-1]]
    return [rows[:, a:b].reshape(-1, *shape) for a, b, shape in zip(starts, stops, shapes, strict=True)]


def size(shape: Sequence[int]) -> int:
    """How many values a shape holds; one, if it has no axes."""
    return int(np.prod(shape, dtype=int))
