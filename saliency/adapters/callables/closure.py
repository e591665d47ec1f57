"""What a function holds: its object, closure, bound arguments and the globals that it names."""

from __future__ import annotations

import functools
import types
from typing import Any

ROOTS = frozenset({"torch", "tensorflow", "jax", "jaxlib", "keras", "flax", "equinox", "transformers", "timm"})
"""Modules of frameworks, and of what is made of them."""

MOST_PARTS = 1000
"""Longer lists are data."""


def held(function: Any) -> list[Any]:
    """What a function keeps: its object, its bound arguments, what is in its closure, and the globals that it names."""
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
    """Whether a function keeps or names anything of a framework, within so many steps.

    Args:
        value: a function, or anything that it keeps.
        depth: steps from one thing to what that keeps.
        seen: what was looked at already, by id.
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
