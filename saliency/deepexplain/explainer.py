"""Methods bound to tensors, to be run on arrays."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from saliency.core.method import run
from saliency.deepexplain.errors import DeepExplainError
from saliency.deepexplain.fetches import Fetches
from saliency.deepexplain.methods import Attribution
from saliency.deepexplain.rows import RowModel, packed
from saliency.errors import BadShape
from saliency.model.inputs import Packing
from saliency.session.session import Session


class Explainer:
    """A method bound to tensors. Its operations are already in the graph: running it adds none.

    Args:
        method: the method.
        fetches: the tensors to feed and to fetch.
        session: runs the graph.
        target: T.
        inputs: X, one or several.
        listed: whether X was given as a list; then the result is a list.
        feed: additional values for every run.
    """

    def __init__(
        self,
        method: Attribution,
        fetches: Fetches,
        session: Any,
        target: Any,
        inputs: Sequence[Any],
        *,
        listed: bool,
        feed: Mapping[Any, Any],
    ) -> None:
        self.method = method
        self._fetches, self._session, self._feed = fetches, session, feed
        self._target, self._inputs, self._listed = target, inputs, listed
        self._batch_sizes: dict[Hashable, Any] = {}

    def __repr__(self) -> str:
        names = ", ".join(x.name for x in self._inputs)
        return f"<{self.method!r} of {self._target.name} by {names}>"

    def run(
        self, xs: Any, ys: Any = None, batch_size: int | None = None, feed_dict: Mapping[Any, Any] | None = None
    ) -> Any:
        """Return the attributions of examples.

        Args:
            xs: the values of X, (N, ...); a list of such arrays if X is a list.
            ys: weights of T, of T's shape with N examples: T * ys is explained, summed. One-hot rows choose each
                example's output. None is ones: the sum of all of T's values for an example.
            batch_size: examples, or perturbed copies of them, in one run of the session. None or 0: measured for speed,
                and reduced if memory runs out. It affects only time.
            feed_dict: other values that the graph needs, the same in each run.

        Returns:
            Attributions of xs' shape; a list of such arrays if X is a list. (``shapley_sampling``: (N, sampled axes).)

        Raises:
            DeepExplainError: xs, ys and batch_size do not fit each other or the tensors.
        """
        arrays = self._checked(xs)
        weights = None if ys is None else np.asarray(ys)
        count = len(arrays[0])
        if weights is not None and (weights.ndim == 0 or len(weights) != count):
            raise DeepExplainError(
                "When provided, the number of elements in ys must equal the number of elements in xs: ys must have "
                f"the same batch size, {count}, got shape {weights.shape}."
            )
        if weights is not None and not self._target.shape.is_compatible_with((None, *weights.shape[1:])):
            raise BadShape(f"ys must have T's shape {self._target.shape}, got {weights.shape}.")
        fixed = self._fixed(batch_size)
        floats = [_floating(x, array) for x, array in zip(self._inputs, arrays, strict=True)]
        dtype = np.result_type(np.float32, *floats, *(x.dtype.as_numpy_dtype for x in self._inputs))
        laid = arrays if weights is None else [*arrays, weights]
        packing, shapes = Packing([each.shape[1:] for each in laid]), [each.shape[1:] for each in arrays]
        feed = {**self._feed, **(feed_dict or {}), **self.method.feed(self._fetches, shapes)}
        model = RowModel(self._session, self._fetches, packing, dtype, feed, fixed, self._batch_sizes)
        found = Packing(self.method.found(shapes))
        if not count:
            return self._restored([np.zeros((0, *shape)) for shape in found.shapes], floats)
        session: Session[np.ndarray] = Session(model, batch_size=fixed or batch_size or "auto", literal=True)
        *_, masks = run(self.method, session, packed(laid, dtype))
        return self._restored(found.split(masks[0], np.reshape), floats)

    def _restored(self, masks: Sequence[np.ndarray], floats: Sequence[Any]) -> Any:
        """Return the attributions in the given floating types, in a list if X was one."""
        found = [mask.astype(each) for mask, each in zip(masks, floats, strict=True)]
        return found if self._listed else found[0]

    def _checked(self, xs: Any) -> list[np.ndarray]:
        if self._listed and len(xs) != len(self._inputs):
            raise DeepExplainError(
                "List of input tensors and input data have different lengths "
                f"({len(self._inputs)} and {len(xs)}): xs must hold one array for each of X."
            )
        arrays = [np.asarray(each) for each in (xs if self._listed else [xs])]
        for x, array in zip(self._inputs, arrays, strict=True):
            if array.ndim == 0 or not x.shape[1:].is_compatible_with(array.shape[1:]):
                raise BadShape(
                    f"xs must have the shape of X, {x.shape}, with any number of examples; got {array.shape}."
                )
        if len({len(array) for array in arrays}) > 1:
            raise DeepExplainError(f"All of xs must have as many examples, got {[len(array) for array in arrays]}.")
        return arrays

    def _fixed(self, batch_size: int | None) -> int | None:
        """Return the fixed batch size of the tensors; None if it is free."""
        for tensor in (self._target, *self._inputs):
            # as_list has numbers and None, also if TensorFlow 2 is switched off and shapes hold Dimensions
            if tensor.shape.rank and (length := tensor.shape.as_list()[0]) is not None:
                if batch_size is not None and batch_size > 0 and batch_size != length:
                    raise DeepExplainError(
                        f"When using batch evaluation, the first dimension of {tensor.name} must be compatible with "
                        f"the batch size {batch_size}; found {length} instead."
                    )
                return int(length)
        return None


def _floating(x: Any, array: np.ndarray) -> Any:
    """Return the floating type of an input's attributions: float64 where the examples are, else its tensor's own."""
    if not x.dtype.is_floating:
        return np.float32
    return np.float64 if array.dtype == np.float64 else x.dtype.as_numpy_dtype
