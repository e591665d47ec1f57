"""Plain functions of JAX as functions of the arrays that they refer to."""

from __future__ import annotations

import inspect
import types
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from saliency.adapters.callables.stateless import stateless
from saliency.adapters.jax.compiled import STATISTICS, Source, is_floating, name_in


class Closure(Source):
    """``f(x)`` as a function of the floating arrays that its closure and its globals hold, and of x.

    All of them with more than one value count as weights, constants too: a function does not tell them apart.

    Args:
        function: a function or a jitted function; it is held weakly.
    """

    channels_first = False
    notes: Sequence[str] = ()
    signature = "closure"

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = weakref.ref(inspect.unwrap(function))

    def arrays(self) -> dict[str, dict[str, Any]]:
        """Return the floating arrays: by the name of the variable, and by their path in its tree."""
        found = {name: _floating(value) for name, value in _variables(self._function())}
        return {name: arrays for name, arrays in found.items() if arrays}

    def call(self, weights: Any, images: Any) -> Any:
        """See :class:`Source`."""
        function: Any = self._function()
        given = {name: _with(value, weights[name]) for name, value in _variables(function) if name in weights}
        names = function.__code__.co_freevars
        cells = tuple(
            types.CellType(given[name]) if name in given else cell
            for name, cell in zip(names, function.__closure__ or (), strict=True)
        )
        around = {**function.__globals__, **{name: each for name, each in given.items() if name not in names}}
        own = types.FunctionType(function.__code__, around, function.__name__, function.__defaults__, cells)
        own.__kwdefaults__ = function.__kwdefaults__
        with stateless():
            return own(images)

    def weight_name(self, path: Sequence[Any]) -> str | None:
        """See :class:`Source`; Flax's running statistics are no weights."""
        name = name_in(path).rstrip(".")
        return None if STATISTICS in name.split(".") else name


def closure_of(function: Any) -> Closure | None:
    """Return a function with the arrays that it refers to; None if it is none, or refers to none."""
    plain = inspect.unwrap(function)
    found = Closure(plain) if isinstance(plain, types.FunctionType) else None
    return found if found is not None and found.arrays() else None


def _variables(function: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of every variable that a function reads from its closure or its globals."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for name in function.__code__.co_names:
        if name in function.__globals__:
            yield name, function.__globals__[name]


def _floating(value: Any) -> dict[str, Any]:
    """Return the floating arrays in a tree by their path; none in modules of flax.nnx, which must be passed alone."""
    if any(base.__module__.startswith("flax.nnx") for base in type(value).__mro__):
        return {}
    try:
        found = jax.tree_util.tree_flatten_with_path(value)[0]
    except Exception:  # noqa: BLE001  # a variable that is no tree: a dict whose keys cannot be sorted
        return {}
    return {name_in(path): leaf for path, leaf in found if _is_weight(leaf)}


def _is_weight(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray) and is_floating(leaf) and leaf.size > 1


def _with(value: Any, arrays: Mapping[str, Any]) -> Any:
    """Return a tree with other floating arrays."""
    found, tree = jax.tree_util.tree_flatten_with_path(value)
    return jax.tree.unflatten(tree, [arrays.get(name_in(path), leaf) for path, leaf in found])
