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
from saliency.inputs import Packing
from saliency.model import Answer
from saliency.ops import NumpyOps


class RowModel:
    """A question and the session that answers it, as a differentiable model of rows, with one target.

    Args:
        session: a ``tf.compat.v1.Session``.
        question: what is fetched.
        packing: where in a row each input lies, and after them the weights, if there are any.
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
        self.question, self._packing = question, packing
        self.shapes = packing.shapes[: len(question.inputs)]
        """Of the inputs, without the examples' axis."""
        self.width = packing.places[len(question.inputs) - 1].stop
        """How many columns the inputs take."""
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
        found[0, :, : self.width] = side_by_side(answers[: len(question.gradients)], rows.dtype)
        return Answer(np.asarray(answers[-1])[None] if told else None, found)

    def _run(self, fetches: list[Any], rows: np.ndarray) -> list[Any]:
        count, question = len(rows), self.question
        if self._fixed is not None and count < self._fixed:
            rows = np.concatenate([rows, np.repeat(rows[-1:], self._fixed - count, 0)])
        arrays = self._packing.split(rows, np.reshape)
        feed = dict(self._feed)
        for tensor, array in zip(
            (*question.inputs, question.weights), arrays, strict=False
        ):  # weights, if there are any
            feed[tensor] = array.astype(tensor.dtype.as_numpy_dtype, copy=False)
        answers = self._session.run(fetches, feed)
        for tensor, answer in zip(fetches, answers, strict=True):
            if np.ndim(answer) == 0 or len(answer) != len(rows):
                raise BadOutput(
                    f"{tensor.name} must hold one entry per example, ({len(rows)}, …), got shape {np.shape(answer)}. "
                    "T and X must have the examples for their first axis."
                )
        return [answer[:count] for answer in answers]


def side_by_side(arrays: Sequence[np.ndarray], dtype: Any) -> np.ndarray:
    """Rows (N, D) of arrays (N, …)."""
    return np.concatenate([np.asarray(each, dtype).reshape(len(each), -1) for each in arrays], 1)
