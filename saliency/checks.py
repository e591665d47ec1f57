"""Checks of arguments: one function for each kind of value.

Each check returns the value in the package's own form, or raises an error that names what was expected, what was given
and, where it is not obvious, how to fix it.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

from saliency.errors import BadField, BadShape, SaliencyError, brief, unknown

Kind = type[SaliencyError]

LARGEST = float(np.finfo(np.float64).max)
"""The largest finite number."""


def bounds(low: float | None, high: float | None) -> str:
    """Return the range from `low` to `high` in words; empty if both are None."""
    if low is None and high is None:
        return ""
    return f"at least {low}" if high is None else f"at most {high}" if low is None else f"{low} to {high}"


def number(value: Any, what: str, low: float | None = None, high: float | None = None, error: Kind = BadField) -> Any:
    """Return a finite number; from an array or tensor without axes, the number in it.

    Args:
        value: what was given.
        what: its name, as written in Python.
        low: smallest allowed value.
        high: largest allowed value.
        error: class of the error that is raised.
    """
    scalar = _scalar(value)
    if isinstance(scalar, bool | np.bool_) or not isinstance(scalar, int | float | np.integer | np.floating):
        raise error(f"{what} must be a number{_within(low, high)}, got {brief(value)}.")
    found: Any = scalar
    if (low is not None and not found >= low) or (high is not None and not found <= high):
        raise error(f"{what} must be {bounds(low, high)}, got {brief(value)}.")
    if not abs(found) <= LARGEST:
        raise error(f"{what} must be a finite number, got {brief(value)}.")
    return found


def whole(value: Any, what: str, low: float | None = None, high: float | None = None, error: Kind = BadField) -> int:
    """Return a whole number as an int, see :func:`number`; 25.0 is one."""
    found = number(value, what, low, high, error)
    if found % 1 != 0:
        raise error(f"{what} must be a whole number, got {brief(value)}.")
    return int(found)


def flag(value: Any, what: str) -> bool:
    """Return True or False; no other value is accepted."""
    if not isinstance(found := _scalar(value), bool | np.bool_):
        raise BadField(f"{what} must be True or False, got {brief(value)}.")
    return bool(found)


def choice(value: Any, kind: str, names: Collection[str]) -> str:
    """Return `value` if it is one of `names`; `kind` is what a name stands for, as in "There is no fill 'gray'"."""
    if not isinstance(value, str) or value not in names:
        raise unknown(kind, value, names)
    return value


def batch_size(value: Any) -> int | str:
    """Return "auto" or a whole number of at least 1."""
    if isinstance(value, str) and value == "auto":
        return value
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= LARGEST:
        raise BadField(f'batch_size must be "auto" or a whole number of at least 1, got {brief(value)}.')
    return int(value)


def text(value: Any, what: str) -> str:
    """Return a string."""
    if not isinstance(value, str):
        raise BadField(f"{what} must be text, got {brief(value)}.")
    return value


def function(value: Any, what: str, takes: Sequence[str] = (), error: Kind = BadField) -> Callable[..., Any]:
    """Return a function that accepts as many arguments as `takes` has names, as far as its signature is known."""
    wanted = f"a function of ({', '.join(takes)})"
    if not callable(value):
        raise error(f"{what} must be {wanted}, got {brief(value)}.")
    if isinstance(value, type):
        raise error(f"{what} must be {wanted}, got the class {value.__name__}: pass an instance or a function.")
    # reading a signature takes longer than all other checks of an explanation; attributes may replace it
    code = value.__code__ if type(value) is FunctionType and not vars(value) else None
    if code is not None and code.co_argcount == len(takes) and not code.co_kwonlyargcount:
        return value
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return value  # some built-in functions have no signature
    try:
        signature.bind(*takes)
    except TypeError:
        raise error(f"{what} must be {wanted}, got one of {signature}.") from None
    return value


CALLBACKS: Mapping[str, Sequence[str]] = {
    "progress": ("done", "total"),
    "cancelled": (),
    "shared": (),
    "partial": ("found",),
}
"""The arguments of each callback of the public functions."""


def callbacks(*, bar: bool = False, **given: Any) -> None:
    """Raise unless each callback is None, or a function that accepts its arguments.

    Args:
        bar: whether `progress` may also be True or False, for a progress bar or none.
        **given: by the names of :data:`CALLBACKS`.
    """
    for name, value in given.items():
        if bar and name == "progress" and value is not None and not callable(value):
            flag(value, name)
        elif value is not None:
            function(value, name, CALLBACKS[name])


def names(value: Any, what: str = "labels") -> Sequence[str] | None:
    """Return the class names in class order; None if there are none.

    Args:
        value: a list, tuple, array, Series or Index of strings; or a dict from each class index to its name.
        what: the name of the argument.
    """
    if value is None or (type(value) in (list, tuple) and value and all(type(each) is str for each in value)):
        return value
    way = f"{what} must be a sequence of names, one per class, in class order"
    if isinstance(value, Mapping):
        if set(value) != set(range(len(value))):
            raise BadField(f"{way}, or a dict by index, {{0: 'cat', 1: 'dog'}}, got {brief(value)}.")
        value = [value[index] for index in range(len(value))]
    if isinstance(value, AbstractSet):
        raise BadField(f"{way}; a set has no order, got {brief(value)}: pass a list.")
    if isinstance(value, Iterator):
        raise BadField(f"{way}, got {brief(value)}, which can be read only once: {what}=list(…).")
    try:
        if isinstance(value, str | bytes | bytearray) or np.ndim(value) > 1:
            raise TypeError
        found = tuple(value)
    except (TypeError, ValueError):
        raise BadField(f"{way}, got {brief(value)}.") from None
    if not found:
        raise BadField(f"{way}, got an empty one: omit {what} if the classes have no names.")
    if wrong := [each for each in found if not isinstance(each, str)]:
        raise BadField(f"{way}, got {brief(wrong[0])} among them: use {what}=[str(each) for each in names].")
    return tuple(map(str, found))


def several(value: Any, what: str) -> list[Any]:
    """Return the items of a list, tuple, array or other ordered collection."""
    ordered = (
        isinstance(value, Sequence)
        or (isinstance(value, np.ndarray) and value.ndim > 0)
        or type(value).__name__ in ("dict_keys", "dict_values")
    )
    if not ordered or isinstance(value, str | bytes | bytearray):
        raise BadField(f"{what} must be a list, got {brief(value)}.")
    return list(value)


def array(value: Any, what: str, error: Kind = BadField) -> np.ndarray:
    """Return finite real numbers or booleans as an array; tensors of any framework are accepted."""
    host = value.detach().cpu() if hasattr(value, "detach") and hasattr(value, "cpu") else value
    try:
        found = np.asarray(host)
    except Exception as reason:  # any error of the framework or of the user's own class
        raise error(f"{what} must be an array of numbers, got {brief(value)}.") from reason
    if found.dtype.kind not in "biuf":
        raise error(f"{what} must be an array of real numbers, got {brief(value)} of type {found.dtype}.")
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise error(f"{what} contains {np.count_nonzero(~np.isfinite(found))} NaN or infinite values.")
    return found


def selection(value: Any, what: str) -> np.ndarray:
    """Return a boolean mask (h, w). Numbers must be 0 or 1: other values need a threshold first."""
    found = array(value, what)
    if found.ndim != 2 or not found.size:
        raise BadShape(f"{what} must be a mask (h, w), got {brief(value)}.")
    if found.dtype != bool and not ((found == 0) | (found == 1)).all():
        raise BadField(
            f"{what} must be a mask of True and False, got values from {found.min():.3g} to {found.max():.3g}: "
            "compare them with a threshold, or use exp.top(30)."
        )
    return found.astype(bool)


def path(value: Any, what: str = "path", error: Kind = BadField) -> Path:
    """Return the path of a file."""
    try:
        found = os.fspath(value)
    except TypeError:
        found = None
    if not isinstance(found, str):
        raise error(f"{what} must be a path as text or a pathlib.Path, got {brief(value)}.")
    try:
        is_name = bool(found) and b"\0" not in os.fsencode(found)
    except UnicodeEncodeError:
        is_name = False
    if not is_name:
        raise error(f"{what} must name a file, got {brief(found)}.")
    return Path(found)


@contextmanager
def opening(file: Path, error: Kind) -> Iterator[None]:
    """Report a system error on opening a file as `error`; a missing file raises FileNotFoundError as usual."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as reason:
        raise error(f"{brief(str(file))} cannot be opened: {reason.strerror or reason}.") from reason


def _within(low: float | None, high: float | None) -> str:
    within = bounds(low, high)
    return f", {within}" if within else ""


def _scalar(value: Any) -> Any:
    """Return the number in an array without axes; any other value unchanged."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return value.item()
    return value
