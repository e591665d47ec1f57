"""The inputs of each example and the weights of its outputs, packed into one row.

The engine takes one array of images; rows are batched, perturbed and summed like any other array, and the weights stay
with each perturbed copy.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from saliency.deepexplain.fetches import Fetches
from saliency.errors import BadOutput
from saliency.model.inputs import Packing
from saliency.model.ops import NumpyOps
from saliency.model.protocols import Answer


class RowModel:
    """The tensors to fetch and the session that runs them, as a differentiable model of rows, with one target.

    Args:
        session: a ``tf.compat.v1.Session``.
        fetches: the tensors to fetch.
        packing: the columns of each input and, after them, of the weights, if there are any.
        dtype: of the rows.
        feed: additional values to feed.
        fixed: the fixed batch size of the tensors, or None; smaller batches are padded to it.
        batch_sizes: batch sizes measured by earlier runs.
    """

    def __init__(
        self,
        session: Any,
        fetches: Fetches,
        packing: Packing,
        dtype: Any,
        feed: Mapping[Any, Any],
        fixed: int | None,
        batch_sizes: dict[Hashable, Any],
    ) -> None:
        self.fetches, self._packing = fetches, packing
        self.shapes = packing.shapes[: len(fetches.inputs)]
        """The shapes of the inputs, without the batch axis."""
        self.width = packing.places[len(fetches.inputs) - 1].stop
        """The number of columns of the inputs."""
        self.ops = NumpyOps(dtype)
        self.lacks: Mapping[type, str] = {}
        self.lock: AbstractContextManager[Any] = nullcontext()
        self.batch_sizes = batch_sizes
        self._session, self._feed, self._fixed = session, dict(feed), fixed
        self._tried: set[str] = set()

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Return the scores, (1, n)."""
        (scores,) = self._run([self.fetches.scores], rows)
        return np.asarray(scores)[None]

    def gradients(self, rows: np.ndarray) -> Answer[np.ndarray]:
        """Return scores (1, n), if there are any, and gradients (1, n, D); those by the weights are zero."""
        fetches = self.fetches
        scored = fetches.scores is not None
        tensors = [*fetches.gradients, fetches.scores] if scored else list(fetches.gradients)
        results = self._run(tensors, rows)
        found = np.zeros((1, *rows.shape), rows.dtype)
        found[0, :, : self.width] = packed(results[: len(fetches.gradients)], rows.dtype)
        return Answer(np.asarray(results[-1])[None] if scored else None, found)

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
        """Refuse a graph whose result for an example depends on the padding of the batch.

        Raises:
            BadOutput: it depends on it.
        """
        for tensor, first, *others in zip(fetches, once, again, other, strict=True):
            second, third = (each[: len(first)] for each in others)
            near = 1e-4 * np.abs(first).max(initial=0)
            repeats = np.allclose(first, second, rtol=0, atol=near, equal_nan=True)  # else it is random
            if repeats and not np.allclose(first, third, rtol=0, atol=near, equal_nan=True):
                raise BadOutput(
                    f"{tensor.name} takes {self._fixed} examples, {len(first)} were given, and its value for one "
                    f"example depends on the others, so the batch cannot be padded. "
                    f"Give {self._fixed} examples, or build the graph with None as its first axis."
                )

    def _fetched(self, fetches: list[Any], rows: np.ndarray) -> list[Any]:
        fed = (*self.fetches.inputs, self.fetches.weights)
        arrays = self._packing.split(rows, np.reshape)
        feed = dict(self._feed)
        for tensor, array in zip(fed, arrays, strict=False):  # weights, if there are any
            feed[tensor] = array.astype(tensor.dtype.as_numpy_dtype, copy=False)
        answers = self._session.run(fetches, feed)
        for tensor, answer in zip(fetches, answers, strict=True):
            if np.ndim(answer) == 0 or len(answer) != len(rows):
                raise BadOutput(
                    f"{tensor.name} must hold one entry per example, ({len(rows)}, …), got shape {np.shape(answer)}. "
                    "The first axis of T and X must be the batch."
                )
        return list(answers)


def packed(arrays: Sequence[np.ndarray], dtype: Any) -> np.ndarray:
    """Pack arrays (N, …) into rows (N, D)."""
    return np.concatenate([np.asarray(each, dtype).reshape(len(each), -1) for each in arrays], 1)
