"""Graphs of TensorFlow 1 for the tests of `saliency.deepexplain`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from saliency.deepexplain import DeepExplain

GRADIENT_METHODS = ("saliency", "grad*input", "intgrad", "elrp", "deeplift", "zero")
PERTURBATION_METHODS = ("occlusion", "shapley_sampling")


class Graph(NamedTuple):
    """A graph with its session, T and X (one, or a list)."""

    session: Any
    T: Any
    X: Any

    def explain(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """In a context of its own, which the graph was not built in."""
        with DeepExplain(session=self.session) as de:
            return de.explain(method, self.T, self.X, *args, **kwargs)

    def run(self, fetched: Any, xs: Any) -> Any:
        """A tensor's value."""
        feed = dict(zip(self.X, xs, strict=True)) if isinstance(self.X, list) else {self.X: xs}
        return self.session.run(fetched, feed)


def built(model: Callable[..., Any], *shapes: tuple[int | None, ...], dtype: str = "float32") -> Graph:
    """A graph of a model of placeholders of these shapes; of several, X is a list."""
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        inputs = [tf.compat.v1.placeholder(dtype, shape) for shape in shapes]
        target = model(*inputs)
        session = tf.compat.v1.Session(graph=graph)
        session.run(tf.compat.v1.global_variables_initializer())
    return Graph(session, target, inputs[0] if len(inputs) == 1 else inputs)


def two_relus(X: Any) -> Any:
    """relu(relu(x1 - 1) - relu(x2)), (N, 1)."""
    import tensorflow as tf

    return tf.nn.relu(tf.nn.relu(X[:, :1] - 1) - tf.nn.relu(X[:, 1:]))


SMALL = {
    "W1": np.array([[1.0, -1.0], [-1.0, 1.0]]),
    "b1": np.array([1.5, -1.0]),
    "W2": np.array([[1.1, 1.4], [-0.5, 1.0]]),
    "b2": np.array([0.0, 2.0]),
}


def small(X: Any, activation: Any = None) -> Any:
    """Two dense layers of two units, with variables, (N, 2)."""
    import tensorflow as tf

    w = {
        name: tf.compat.v1.get_variable(name, initializer=value.astype(X.dtype.as_numpy_dtype))
        for name, value in SMALL.items()
    }
    hidden = (activation or tf.nn.relu)(X @ w["W1"] + w["b1"])
    return hidden @ w["W2"] + w["b2"]


class Watched:
    """A session that records its batch sizes."""

    def __init__(self, session: Any, X: Any) -> None:
        self.graph = session.graph
        self.batches: list[int] = []
        self._session, self._X = session, X

    def run(self, fetches: Any, feed: Any) -> Any:
        """As a session's."""
        self.batches.append(len(feed[self._X]))
        return self._session.run(fetches, feed)
