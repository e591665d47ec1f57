"""TensorFlow 2: any function of tensors, a ``tf.Module``, a SavedModel; and Keras on TensorFlow (keras.py).

A model is traced into a graph once per kind of call, for batches of any size. Every operator of the graph is visible,
so gradients, layers and the logits before a softmax are available. The classes are arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
import tensorflow as tf

from saliency.adapters.answers import indices
from saliency.adapters.host_random import NOTE, HostStreams
from saliency.adapters.layers import Surveyed
from saliency.adapters.tensorflow.compiled import Source, TailSource, TensorFlowCalls
from saliency.adapters.tensorflow.ops import TensorFlowOps
from saliency.adapters.tensorflow.state import copy_of, graph_of
from saliency.adapters.tensorflow.trace import ARRAYS, wide
from saliency.adapters.tensorflow.weights import named_weights, variables_of
from saliency.adapters.traced.model import TracedModel
from saliency.adapters.weights import NO_WEIGHTS, Weight, Weighted, by_tensor
from saliency.errors import UnknownName, Unsupported
from saliency.model.protocols import Attentive, Inspectable, Reweightable, Rewirable
from saliency.rules import Composite

HIDDEN_OPERATORS = "the operators inside a SavedModel are hidden: pass the original model"
HIDDEN = "the layers inside a SavedModel are hidden: pass the original model"


class TensorFlowModel(Weighted, TracedModel[TensorFlowCalls]):
    """A function of TensorFlow's tensors with targets and layers bound. Build it with :func:`saliency.adapt`.

    Args:
        model: from images (N, H, W, C) to scores (N, classes); a ``tf.function``, a ``tf.Module`` that can be called,
            or the result of ``tf.saved_model.load``.
        labels: names of the classes.
        source: how the model is called, if it is not a plain function.
        named: returns name and variable of each weight tensor; by default by TensorFlow's names.
    """

    traced, arrays = TensorFlowCalls, ARRAYS

    def __init__(
        self,
        model: Any,
        labels: Sequence[str] | None = None,
        *,
        source: Source | None = None,
        named: Callable[[], Iterable[tuple[str, Any]]] | None = None,
    ) -> None:
        if not callable(model) and not getattr(model, "signatures", None):
            raise Unsupported(
                f"Your {type(model).__name__} is not callable and has no signatures: pass the "
                "function that returns the scores."
            )
        self.source = source or Source(model)
        self._named = named or partial(named_weights, model)
        self._host_streams = HostStreams()
        # variables by the id of the handle that they replace, in a copy with other weights
        self._instead: dict[int, Any] = {}
        floats = [kind for each in variables_of(model) if (kind := tf.as_dtype(each.dtype)).is_floating]
        self._dtype = np.dtype(np.float64 if floats and floats[0] == tf.float64 else np.float32)
        super().__init__(model, labels, TensorFlowOps(self._dtype))
        if _is_saved(model):
            self.lacks = {Inspectable: HIDDEN, Attentive: HIDDEN, Rewirable: HIDDEN_OPERATORS}
        if not list(self._named()):
            why = f"{self.name} {NO_WEIGHTS} as variables: pass the model whose variables are its weights"
            self.lacks = {**self.lacks, Reweightable: why}

    @property
    def version(self) -> Hashable:
        """A value computed from the weights, since they may be written to in place."""
        variables = self._floats()
        if not variables:
            return hash(self._shared.number)
        # traced for the shapes of the variables, which are arguments: it must not keep them alive
        sums = self._shared.once("sums", lambda: tf.function(_sums))
        return hash((self._shared.number, sums(variables, tf.constant(1)).numpy().tobytes()))

    def _floats(self) -> list[Any]:
        kept = [each for each in self._variables() if "seed" not in str(each.name)]
        return [each for each in kept if tf.as_dtype(each.dtype).is_floating]

    def _variables(self) -> list[Any]:
        """Return the model's variables, or those that replace them in a copy."""
        found = [_own(each) for each in variables_of(self.model)]
        return [self._instead.get(id(each.handle), each) for each in found]

    def _weights(self) -> list[Weight]:
        found = [(name, _own(variable)) for name, variable in self._named()]
        return by_tensor(((name, id(each.handle), partial(self._on_host, each)) for name, each in found))

    def _on_host(self, variable: Any) -> np.ndarray:
        values = self._instead.get(id(variable.handle), variable).numpy()
        return np.array(values, np.float64 if values.dtype == np.float64 else np.float32)

    def _last_uses(self, images: Any) -> dict[str, int]:
        handles = {id(_own(variable).handle): name for name, variable in self._named()}
        found: dict[str, int] = self._inspected(lambda calls, images: calls.last_uses(images, handles), images)
        return found

    def _with_weights(self, values: Mapping[str, np.ndarray]) -> Self:
        view = self._copied()
        found = [_own(each) for each in variables_of(self.model)]
        view._instead = {id(each.handle): copy_of(self._instead.get(id(each.handle), each)) for each in found}
        for name, variable in self._named():
            if name in values:
                own = view._instead[id(_own(variable).handle)]
                own.assign(tf.cast(values[name], own.dtype))
        return view

    def outputs(self, images: Any) -> Any:
        """Return the model's class scores, (N, classes)."""
        run, calls = self._graph(TensorFlowCalls.outputs, images)
        with self.lock:
            outputs = run(images, tf.constant([], tf.int32), instead=self._instead)
        if self._undecided:
            self._decide(np.array(outputs), calls.ending, calls.chosen)
        return outputs

    def _operators(self, images: Any) -> frozenset[str]:
        followed, *_ = self._inspected(lambda calls, images: calls.followed(images, Composite(())), images)
        return frozenset(followed.kinds)

    def automatic_layers(self, images: Any) -> tuple[list[str], str]:
        """See :meth:`saliency.model.protocols.Adapted.automatic_layers`."""
        try:
            return super().automatic_layers(images)
        except UnknownName as error:
            raise UnknownName(f"{error} Operators inside a nested tf.function are not visible.") from None

    def _survey(self, images: Any) -> Surveyed:
        """See :class:`Adapter`."""
        found: Surveyed = self._inspected(lambda calls, images: calls.surveyed(images), images)
        return found

    def _paths(self, images: Any) -> tuple[bool, bool]:
        """See :class:`Adapter`."""
        found: tuple[bool, bool] = self._inspected(lambda calls, images: calls.paths(images), images)
        return found

    def _penultimate(self, images: Any) -> str | None:
        """See :class:`Adapter`."""
        found: str | None = self._inspected(lambda calls, images: calls.penultimate(images), images)
        return found

    def _tail(self, images: Any) -> Self:
        """See :class:`Adapter`."""
        view = self.at(self._targets)
        view.source = TailSource(self.source, self._layers[0], images)
        return view

    def _inspected(self, look: Callable[[TensorFlowCalls, Any], Any], images: Any) -> Any:
        """Trace the model and return the result of inspecting the graph."""
        seen: list[Any] = []

        def traced(images: Any) -> Any:
            seen[:] = [look(self._to_trace(), images)]
            return tf.constant(0)

        with self.lock, self._host_streams.used():
            graph_of(traced, images, with_classes=False)
        return seen[0]

    def _run(self, call: Callable[..., Any], images: Any, *beside: Any) -> Any:
        """See :class:`TracedModel`."""
        with self.lock:
            run, calls = self._graph(call, images, *beside)
            for note in calls.notes:
                self.note(note)
            return run(images, tf.constant(indices(self._targets), tf.int32), *beside, instead=self._instead)

    def _graph(self, call: Callable[..., Any], images: Any, *beside: Any) -> tuple[Any, TensorFlowCalls]:
        """Return the graph of a call, and the calls from which it was traced."""
        key = (self.source.signature, tuple(images.shape[1:]), images.dtype, *self._state(call))
        found: tuple[Any, TensorFlowCalls] = self._shared.once(key, lambda: self._traced(call, images, *beside))
        return found

    def _traced(self, call: Callable[..., Any], images: Any, *beside: Any) -> tuple[Any, TensorFlowCalls]:
        calls = self._to_trace()

        def widened(*arguments: Any) -> Any:
            return tf.nest.map_structure(wide, call(calls, *arguments))

        with self._host_streams.used():
            graph = graph_of(widened, images, *beside)
        if graph.draws or self._host_streams.drew:
            calls.notes.append(NOTE)
        return graph, calls


def _own(variable: Any) -> Any:
    """Return TensorFlow's own variable of a variable of Keras."""
    return variable if isinstance(variable, tf.Variable) else variable.value


def _sums(variables: Sequence[Any], one: Any) -> Any:
    """Return two sums of each variable, float64 (2 × variables,): traced, as operators take long one by one.

    Args:
        variables: floating-point variables.
        one: 1, unknown to the graph, which would otherwise store the ramp as a constant.
    """
    flat = [tf.reshape(tf.convert_to_tensor(each), [-1]) for each in variables]
    largest = tf.reduce_max([tf.size(each) for each in flat]) * one
    # a sum weighted by 1 to 2 depends on the values' order
    ramp = 1 + tf.range(tf.cast(largest, tf.float32)) / tf.cast(largest, tf.float32)
    weighted = [tf.tensordot(each, tf.cast(ramp[: tf.size(each)], each.dtype), 1) for each in flat]
    return tf.stack([tf.cast(each, tf.float64) for each in (*map(tf.reduce_sum, flat), *weighted)])


def _is_saved(model: Any) -> bool:
    """Return whether a model is a loaded SavedModel: a single operator with gradients but without named layers."""
    loaded = any(base.__module__.startswith("tensorflow.python.saved_model") for base in type(model).__mro__)
    return loaded or (hasattr(model, "structured_input_signature") and hasattr(model, "function_def"))
