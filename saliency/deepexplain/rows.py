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
from saliency.model.inputs import Packing
from saliency.model.ops import NumpyOps
from saliency.model.protocols import Answer


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
        self._tried: set[str] = set()

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
        count = len(rows)
        if self._fixed is None or count >= self._fixed:
            return self._fetched(fetches, rows)
        missing = self._fixed - count
        filled = np.concatenate([rows, np.repeat(rows[-1:], missing, 0)])
        answers = [each[:count] for each in self._fetched(fetches, filled)]
        what = ", ".join(each.name for each in fetches)
        if what not in self._tried:
            self._tried.add(what)
            other = np.concatenate([rows, np.zeros_like(rows[:1]).repeat(missing, 0)])
            self._require_independent(fetches, answers, self._fetched(fetches, filled), self._fetched(fetches, other))
        return answers

    def _require_independent(self, fetches: list[Any], once: Any, again: Any, other: Any) -> None:
        """Refuse a graph whose answer for an example depends on those that fill up the batch.

        Raises:
            BadOutput: it does.
        """
        for tensor, first, *others in zip(fetches, once, again, other, strict=True):
            second, third = (each[: len(first)] for each in others)
            near = 1e-4 * np.abs(first).max(initial=0)
            repeats = np.allclose(first, second, rtol=0, atol=near, equal_nan=True)  # else it draws at random
            if repeats and not np.allclose(first, third, rtol=0, atol=near, equal_nan=True):
                raise BadOutput(
                    f"{tensor.name} takes {self._fixed} examples, {len(first)} were given, and its value for one "
                    f"example depends on the others, so the batch cannot be filled up. "
                    f"Give {self._fixed} examples, or build the graph with None as its first axis."
                )

    def _fetched(self, fetches: list[Any], rows: np.ndarray) -> list[Any]:
        question = self.question
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
        return list(answers)


def side_by_side(arrays: Sequence[np.ndarray], dtype: Any) -> np.ndarray:
    """Rows (N, D) of arrays (N, …)."""
    return np.concatenate([np.asarray(each, dtype).reshape(len(each), -1) for each in arrays], 1)
