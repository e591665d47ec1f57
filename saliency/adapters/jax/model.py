"""JAX: the adapter of any pure function from images to scores; also the base of Flax, Equinox and Keras models.

Each kind of call is compiled once per shape. Weights and classes are arguments, so neither a training step nor another
target causes a recompilation. A batch is padded to a size that is already compiled, or to the next power of two.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from saliency.adapters.answers import by_batch, indices
from saliency.adapters.callables.stateless import stateless
from saliency.adapters.jax.closure import closure_of
from saliency.adapters.jax.compiled import (
    ARRAYS,
    STATISTICS,
    Compiled,
    JaxCalls,
    Source,
    TailSource,
    is_floating,
    name_in,
)
from saliency.adapters.jax.ops import JaxOps
from saliency.adapters.jax.trace import Program
from saliency.adapters.layers import Surveyed
from saliency.adapters.traced.model import TracedModel
from saliency.adapters.weights import NO_WEIGHTS, Weight, Weighted, by_tensor
from saliency.model.head import Ending
from saliency.model.precision import precision_note
from saliency.model.protocols import Answer, Reweightable
from saliency.rules import Composite
from saliency.targets import OfScores


class PureFunction(Source):
    """``f(x)``, or ``f(params, x)``.

    Args:
        function: held weakly.
        bare: whether it takes no parameters.
    """

    channels_first = False
    notes: Sequence[str] = ()

    def __init__(self, function: Callable[..., Any], bare: bool) -> None:
        self._function, self.signature = _weakly(function), bare

    def call(self, weights: Any, images: Any) -> Any:
        """See :class:`Source`."""
        function = self._function()
        with stateless():
            if self.signature:
                return by_batch(function, images, "jax")
            return by_batch(partial(function, weights), images, "jax with weights")

    def weight_name(self, path: Sequence[Any]) -> str | None:
        """See :class:`Source`; Flax's running statistics are no weights."""
        if self.signature or (path and name_in(path[:1]) == STATISTICS):
            return None
        return name_in(path) or "params"


class JaxModel(Weighted, TracedModel[JaxCalls]):
    """A function of JAX arrays with targets and layers bound. Build it with :func:`saliency.adapt`.

    Args:
        function: from images (N, H, W, C) to scores (N, classes); a jitted one too. With `params`: from these and
            images.
        labels: names of the classes.
        params: the tree of arrays that is the first argument of `function`.
        source: how the model is called, if it is not a plain function.
        weights: returns the model's current tree of arrays, if it is not a plain function.
    """

    traced, arrays = JaxCalls, ARRAYS

    def __init__(
        self,
        function: Any,
        labels: Sequence[str] | None = None,
        *,
        params: Any = None,
        source: Source | None = None,
        weights: Callable[[], Any] | None = None,
    ) -> None:
        self.weights = weights or (lambda: params)
        floats = [each.dtype for each in jax.tree.leaves(self.weights()) if is_floating(each)]
        self._dtype = np.dtype(np.float64 if floats and floats[0] == np.float64 else np.float32)
        super().__init__(function, labels, JaxOps(self._dtype))
        self.source: Source = source or PureFunction(function, bare=params is None)
        self.notes += self.source.notes
        self._held: Composite | None = None
        if (why := self._unchangeable()) is not None:
            self.lacks = {Reweightable: why}

    def _unchangeable(self) -> str | None:
        """Return the reason why no weights can be changed; None if they can."""
        if self._weights():
            return None
        if isinstance(self.source, PureFunction) and self.source.signature:
            return "no arrays were found in the function's closure: pass (f, params), with f(params, images)"
        return f"{self.name} {NO_WEIGHTS}"

    @property
    def channels_first(self) -> bool:
        """Whether the model's own images are (C, H, W)."""
        return self.source.channels_first

    @property
    def version(self) -> Hashable:
        """A number that changes whenever a weight is replaced: JAX arrays are immutable."""
        return self._shared.version(jax.tree.leaves(self.weights()))

    def outputs(self, images: Any) -> Any:
        """Return the model's class scores, (N, classes)."""
        outputs = self._run(JaxCalls.outputs, images)
        if self._undecided:
            self._decide(np.asarray(outputs), *self._ending(images[:1]))
        return outputs

    def _ending(self, images: Any) -> tuple[Ending, str]:
        """See :meth:`JaxCalls.ending`; the program is traced, not run."""
        key = ("ending", self.source.signature, tuple(images.shape), self._choice(self.arrays))
        with self.lock:
            found: tuple[Ending, str] = self._shared.once(key, lambda: self._to_trace().ending(self.weights(), images))
        return found

    def gradients(self, images: Any) -> Answer[Any]:
        """Return scores (k, N) and gradients (k, N, H, W, C), from one forward pass."""
        if self._rules is not None and self._held is not self._rules:
            self._hold(self._rules, images)
        return super().gradients(images)

    def _operators(self, images: Any) -> frozenset[str]:
        with self.lock:
            return frozenset(self._to_trace().followed(self.weights(), images[:1], Composite(())).kinds)

    def _hold(self, rules: Composite, images: Any) -> None:
        """Refuse rules that match no operator, and note unknown operators."""
        one = images[:1, 0] if rules.references else images[:1]
        with self.lock:
            followed = self._to_trace().followed(self.weights(), one, rules)
        followed.require()
        self._held = rules
        for note in followed.notes():
            self.note(note)

    def _survey(self, images: Any) -> Surveyed:
        """See :class:`Adapter`."""
        with self.lock:
            return self._to_trace().surveyed(self.weights(), images[:1])

    def _paths(self, images: Any) -> tuple[bool, bool]:
        """See :class:`Adapter`."""
        with self.lock:
            return self._to_trace().paths(self.weights(), images[:1])

    def _penultimate(self, images: Any) -> str | None:
        """See :class:`Adapter`."""
        with self.lock:
            return self._to_trace().penultimate(self.weights(), images[:1])

    def _tail(self, images: Any) -> Self:
        """See :class:`Adapter`."""
        view = self.at(self._targets)
        view.source = TailSource(self.source, self._layers[0], images)
        return view

    def _program(self, images: Any) -> Program:
        """Return the program from the image to the class scores, or the bound targets if it returns no class scores."""
        calls = self._to_trace()
        callables = self._targets and not any(isinstance(each, OfScores) for each in self._targets)
        with self.lock:
            return Program(calls.parts if callables else calls.class_scores, self.weights(), images)

    def _precision(self, images: Any) -> str | None:
        """Return the note on the type that the model computes in."""
        one = images[:1, 0] if self._rules is not None and self._rules.references else images[:1]
        return precision_note(self._program(one).precision)

    def _opened(self) -> Self:
        """Return the model with the arrays to which a plain function refers as its weights."""
        bare = isinstance(self.source, PureFunction) and self.source.signature
        closure = closure_of(self.model) if bare else None
        if closure is None:
            return self
        view = copy.copy(self)
        view.source, view.weights = closure, closure.arrays
        return view

    def _named(self) -> list[tuple[str | None, Any]]:
        """Return every leaf of the tree of arrays with its name; None for leaves that are no weights."""
        found = jax.tree_util.tree_flatten_with_path(self.weights())[0]
        return [(self.source.weight_name(path) if is_floating(leaf) else None, leaf) for path, leaf in found]

    def _weights(self) -> list[Weight]:
        named = self._opened()._named()
        return by_tensor((name, id(leaf), partial(_on_host, leaf)) for name, leaf in named if name is not None)

    def _last_uses(self, images: Any) -> dict[str, int]:
        opened = self._opened()
        steps = opened._to_trace().last_uses(opened.weights(), images)
        pairs = zip(opened._named(), steps, strict=True)
        return {name: step for (name, _), step in pairs if name is not None and step is not None}

    def _with_weights(self, values: Mapping[str, np.ndarray]) -> Self:
        view, changed = self._opened()._copied(), dict[int, Any]()
        leaves, tree = jax.tree.flatten(view.weights())
        for name, leaf in view._named():
            if name is not None and name in values:
                changed[id(leaf)] = jnp.asarray(values[name], leaf.dtype)
        made = jax.tree.unflatten(tree, [changed.get(id(leaf), leaf) for leaf in leaves])
        view.weights = lambda: made
        return view

    def _run(self, call: Callable[..., Any], images: Any, *beside: Any) -> Any:
        """See :class:`TracedModel`."""
        own = (self.source.signature, self._dtype)
        compiled = self._shared.once((*own, *self._state(call)), lambda: Compiled(call, self._to_trace()))
        with self.lock:
            weights = self.weights()
            # a function may be called with weights of several types
            types = frozenset(str(each.dtype) for each in jax.tree.leaves(weights) if hasattr(each, "dtype"))
            text = self._shared.once(("precision", types, *own, images.shape[1:]), lambda: self._precision(images))
            if text:
                self.note(text)
            return compiled(weights, images, np.asarray(indices(self._targets), np.int32), *beside)


def _on_host(leaf: Any) -> np.ndarray:
    return np.array(leaf, np.float64 if leaf.dtype == np.float64 else np.float32)


def _weakly(function: Any) -> Callable[[], Any]:
    """Return a weak reference to a function, if it supports one."""
    try:
        return weakref.ref(function)
    except TypeError:
        return lambda: function
