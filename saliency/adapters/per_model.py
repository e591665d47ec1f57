"""The lock and the caches of a model, shared by all its adapters."""

from __future__ import annotations

import copy
import itertools
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from typing import Any, Self

from saliency.threads import lock


class Shared:
    """The lock and the caches of a model. They must not hold a reference to the model."""

    MOST, FACTS = 24, 256
    """Largest number of cached values, and of facts; the least recently used is dropped first."""

    def __init__(self) -> None:
        self.lock = lock()
        self.batch_sizes: dict[Hashable, Any] = {}
        self.heads: dict[Hashable, Any] = {}
        self._made: OrderedDict[Hashable, Any] = OrderedDict()
        self.number: int | None = None
        """Distinguishes copies with other weights from each other; None for the model itself."""
        self._begin()

    def _begin(self) -> None:
        self.compared: dict[Hashable, Any] = {}
        self.consistency: dict[Hashable, Any] = {}
        self._weights: list[weakref.ref[Any]] = []
        self._facts: OrderedDict[Hashable, Any] = OrderedDict()
        self._version = 0

    def reweighted(self) -> Self:
        """Return the one of a copy with other weights.

        It has the same lock, timings, heads and compiled calls, and none of the results that depend on weights.
        """
        other = copy.copy(self)
        other._begin()
        other.number = next(_NUMBERS)
        return other

    def version(self, weights: Sequence[Any]) -> Hashable:
        """Return a value that changes whenever one of these objects was replaced since the last call."""
        with self.lock:
            if len(weights) != len(self._weights) or any(
                seen() is not now for seen, now in zip(self._weights, weights, strict=True)
            ):
                # not by id: a new array may reuse the id of a deleted one
                self._weights = [weakref.ref(each) for each in weights]
                self._version += 1
            return self._version if self.number is None else (self.number, self._version)

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the cached value of this key, such as a compiled call; `make` creates it the first time."""
        return self._cached(self._made, self.MOST, key, make)

    def fact(self, key: Hashable, find: Callable[[], Any]) -> Any:
        """Return a cached small fact about the model, such as the names of its layers; `find` finds it the first time.

        A key that cannot be hashed is not cached.
        """
        try:
            hash(key)
        except TypeError:
            return find()
        return self._cached(self._facts, self.FACTS, key, find)

    def known(self, key: Hashable) -> Any:
        """Return a cached fact; None if it was not found yet, or if the key cannot be hashed."""
        with self.lock, suppress(TypeError):
            return self._facts.get(key)
        return None

    def _cached(self, values: OrderedDict[Hashable, Any], most: int, key: Hashable, make: Callable[[], Any]) -> Any:
        with self.lock:
            if key not in values:
                values[key] = make()
            values.move_to_end(key)
            while len(values) > most:
                values.popitem(last=False)
            return values[key]


_NUMBERS = itertools.count()

_SHARED: dict[int, tuple[weakref.ref[Any], Shared]] = {}


def shared_by(model: Any) -> Shared:
    """Return the :class:`Shared` of an object for its lifetime; a new one if it supports no weak references.

    Objects are compared by identity: many models cannot be hashed.
    """
    kept = _SHARED.get(id(model))
    if kept is not None and kept[0]() is model:
        return kept[1]
    shared, key = Shared(), id(model)

    def forget(gone: weakref.ref[Any]) -> None:
        if key in _SHARED and _SHARED[key][0] is gone:
            del _SHARED[key]

    try:
        reference = weakref.ref(model, forget)
    except TypeError:
        return shared
    _SHARED[key] = (reference, shared)
    return shared
