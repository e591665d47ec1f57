"""The context ``with DeepExplain(session=…) as de``, in which a graph is explained."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any, Self

from saliency.deepexplain.errors import DeepExplainError
from saliency.deepexplain.explainer import Explainer
from saliency.deepexplain.fetches import Build, Fetches
from saliency.deepexplain.methods import METHODS
from saliency.errors import unknown


class DeepExplain:
    """Explanations of a graph and its session.

    The graph is the default one within the context. It may be built there, as DeepExplain requires, or before. Rules of
    a method apply only in a copy of the operations between X and T, which is added to the same graph and reused.

    Args:
        graph: a ``tf.Graph``; the session's by default.
        session: a ``tf.compat.v1.Session``; the default one by default.

    Raises:
        DeepExplainError: there is no session.
    """

    def __init__(self, graph: Any = None, session: Any = None) -> None:
        import tensorflow as tf

        session = tf.compat.v1.get_default_session() if session is None else session
        if session is None:
            raise DeepExplainError(
                "DeepExplain: could not retrieve a session. Use DeepExplain(session=your_session), "
                "a tf.compat.v1.Session; models of TensorFlow 2 are explained by saliency.explain."
            )
        self.session = session
        self.graph = session.graph if graph is None else graph
        self._entered = contextlib.ExitStack()
        self._on = False
        self._cached: dict[Any, Fetches] = {}

    def __enter__(self) -> Self:
        if self._on:
            raise DeepExplainError("This DeepExplain context is entered already.")
        self._entered.enter_context(self.graph.as_default())
        self._on = True
        return self

    def __exit__(self, *error: object) -> None:
        self._on = False
        self._entered.close()

    def explain(
        self,
        method: str,
        T: Any,
        X: Any,
        xs: Any,
        ys: Any = None,
        batch_size: int | None = None,
        feed_dict: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Return attributions: :meth:`get_explainer` followed by :meth:`~saliency.deepexplain.Explainer.run`.

        Args:
            method: see :meth:`get_explainer`.
            T: see :meth:`get_explainer`.
            X: see :meth:`get_explainer`.
            xs: see :meth:`~saliency.deepexplain.Explainer.run`.
            ys: see :meth:`~saliency.deepexplain.Explainer.run`.
            batch_size: see :meth:`~saliency.deepexplain.Explainer.run`.
            feed_dict: see :meth:`~saliency.deepexplain.Explainer.run`.
            **kwargs: the method's parameters.
        """
        return self.get_explainer(method, T, X, **kwargs).run(xs, ys, batch_size, feed_dict)

    def get_explainer(self, method: str, T: Any, X: Any, **kwargs: Any) -> Explainer:
        """Return a method bound to tensors.

        Args:
            method: one of :data:`~saliency.deepexplain.METHODS`.
            T: the tensor to explain; its first axis is the batch.
            X: the inputs, a tensor or, for gradient methods, a list of tensors: placeholders, or any other tensors that
                T depends on.
            **kwargs: the method's parameters.

        Raises:
            DeepExplainError: there is no active context or no such method, or T or X are not tensors of the graph.
            NoGradient: T cannot be differentiated by X.
            Unsupported: a rule would have to apply within a loop.
        """
        if not self._on:
            raise DeepExplainError(
                "Explain can be called only within a DeepExplain context: with DeepExplain(session=session) as de: …"
            )
        if method not in METHODS:
            error = unknown("method", method, METHODS)
            raise DeepExplainError(f"Method must be in {list(METHODS)}. {error}")
        listed = isinstance(X, list | tuple)
        inputs = list(X) if listed else [X]
        self._require_tensors(T, inputs)
        made = METHODS[method](**kwargs)
        if len(inputs) > 1 and not made.several:
            raise DeepExplainError(
                f"Multiple inputs not yet supported for perturbation methods: {method} takes one X, got {len(inputs)}."
            )
        fetches = self._fetches(METHODS[method].build, T, inputs)
        if where := fetches.untouched:
            warnings.warn(
                f"DeepExplain detected that {method} changes gradients, but the original gradient was used instead at "
                f"{', '.join(where[:3])}{', …' if len(where) > 3 else ''}: no rule applies within a branch "
                "(tf.cond), to an operator that defines its own gradient (SiLU, tf.custom_gradient), or to one that is "
                "not an activation by itself (GELU). Results are not reliable there.",
                stacklevel=2,
            )
        return Explainer(made, fetches, self.session, T, inputs, listed=listed, feed=self._inference())

    def _fetches(self, build: Build, T: Any, inputs: list[Any]) -> Fetches:
        """Return the tensors of a method, built once: methods that differ only in numbers share them."""
        key = (build, T.name, *(x.name for x in inputs))
        if key not in self._cached:
            self._cached[key] = build(self.graph, T, inputs)
        return self._cached[key]

    def _inference(self) -> dict[Any, Any]:
        """Return the feed for Keras 2's learning-phase placeholder: inference."""
        try:
            phase = self.graph.get_tensor_by_name("keras_learning_phase:0")
        except KeyError:
            return {}
        return {phase: False}

    def _require_tensors(self, T: Any, inputs: list[Any]) -> None:
        if not self._has(T):
            raise DeepExplainError(f"T must be a Tensorflow Tensor object, of the context's graph; got {_name(T)}.")
        if not inputs or not all(map(self._has, inputs)):
            raise DeepExplainError(
                "X must be a Tensorflow Tensor object or a list of them, of the context's graph; got "
                f"{' and '.join(map(_name, inputs)) or 'an empty list'}."
            )

    def _has(self, value: Any) -> bool:
        import tensorflow as tf

        return isinstance(value, tf.Tensor) and getattr(value, "graph", None) is self.graph


def _name(value: Any) -> str:
    kind = type(value).__name__
    if kind == "KerasTensor":
        return "a KerasTensor: call the Keras model on a tf.compat.v1.placeholder, and use its result"
    if kind == "EagerTensor":
        return "an eager tensor: build the model within tf.Graph().as_default()"
    return f"{kind} {getattr(value, 'name', '')}".rstrip()
