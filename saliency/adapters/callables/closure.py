"""The objects that a function refers to: its instance, closure, bound arguments and globals."""

from __future__ import annotations

import functools
import types
from typing import Any

ROOTS = frozenset({"torch", "tensorflow", "jax", "jaxlib", "keras", "flax", "equinox", "transformers", "timm"})
"""Top-level modules of frameworks and of libraries built on them."""

MOST_PARTS = 1000
"""Longer lists are taken for data and not searched."""


def held(function: Any) -> list[Any]:
    """Return the objects that a function refers to: its instance, bound arguments, closure cells and globals."""
    if isinstance(function, functools.partial):
        return [*function.args, *function.keywords.values(), *held(function.func)]
    found = [getattr(function, "__self__", None)]
    function = getattr(function, "__func__", function)
    found += [cell.cell_contents for cell in getattr(function, "__closure__", None) or () if _filled(cell)]
    if (code := getattr(function, "__code__", None)) is not None:
        found += [function.__globals__[name] for name in code.co_names if name in function.__globals__]
    return [each for each in found if each is not None]


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def touches_a_framework(value: Any, depth: int = 5, seen: set[int] | None = None) -> bool:
    """Return whether a function refers to any object of a framework, within `depth` references.

    Args:
        value: a function, or an object that it refers to.
        depth: largest number of references to follow.
        seen: ids of the objects that were searched already.
    """
    seen = set() if seen is None else seen
    if id(value) in seen:
        return False
    seen.add(id(value))
    module = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
    roots = [each.__module__ for each in type(value).__mro__] + [str(module)]
    if any(root.partition(".")[0] in ROOTS for root in roots):
        return True
    if isinstance(value, type | types.ModuleType) or depth == 0:
        return False
    code = getattr(getattr(value, "__func__", value), "__code__", None)
    if code is not None and not ROOTS.isdisjoint(code.co_names):  # imported inside
        return True
    inside = [*held(value), *held(type(value).__call__ if code is None and callable(value) else None)]
    inside += list(getattr(value, "__dict__", {}).values())
    inside += [getattr(value, name, None) for name in ("func", "__wrapped__")]
    if isinstance(value, list | tuple | dict) and len(value) <= MOST_PARTS:
        inside += list(value.values() if isinstance(value, dict) else value)
    return any(touches_a_framework(each, depth - 1, seen) for each in inside if each is not None)
