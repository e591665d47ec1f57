"""Values with checked fields: the base of methods and metrics."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, ClassVar, Self

import numpy as np

from saliency import checks
from saliency.errors import BadField, brief, unknown
from saliency.pictures.picture import held

LARGEST_SEED = 2**63 - 1
"""The largest seed: NumPy accepts larger ones, but JSON and JavaScript do not."""


def parameter(
    default: Any,
    meaning: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] | None = None,
) -> Any:
    """Return a dataclass field with a description and limits, for input controls and for checking values.

    Args:
        default: its default; a callable is called for the default (as ``default_factory``).
        meaning: label or short sentence.
        low: smallest allowed number.
        high: largest allowed number.
        choices: allowed names.
    """
    description = {"help": meaning, "low": low, "high": high, "choices": choices}
    if callable(default):
        return field(default_factory=default, metadata=description)
    return field(default=default, metadata=description)


@dataclass(eq=False, repr=False)
class Parameters:
    """A dataclass whose fields are checked, described and hashed: a method or a metric with its parameters.

    Treat an instance as immutable; :meth:`but` returns a changed copy.
    """

    id: ClassVar[str] = ""
    """Stable, explicit name."""

    def __post_init__(self) -> None:
        for each in fields(self):
            setattr(self, each.name, self._checked(each, held(getattr(self, each.name))))

    def but(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        known = {each.name for each in fields(self)}
        for name in changes:
            if name not in known:
                raise unknown(f"field of {self.id or type(self).__name__}", name, known)
        return replace(self, **changes)

    def key(self) -> str:
        """A digest of the method and all its fields: equal if and only if the masks are."""
        digest = hashlib.sha256(repr(type(self)).encode())
        for each in fields(self):
            digest.update(each.name.encode())
            _digest(getattr(self, each.name), digest.update)
        return digest.hexdigest()[:16]

    def changed(self) -> dict[str, Any]:
        """The fields that differ from their defaults."""
        return {
            each.name: value for each in fields(self) if not _same(value := getattr(self, each.name), default_of(each))
        }

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={_brief(value)}" for name, value in self.changed().items())
        return f"{type(self).__name__}({shown})"

    def _checked(self, each: Field[Any], value: Any) -> Any:
        """Return the value of a field made by :func:`parameter`, converted to its annotated type.

        Raises:
            SaliencyError: the value is not allowed.
        """
        description, types, who = each.metadata, types_of(each), f"{type(self).__name__}.{each.name}"
        if is_default(each, value):
            return value
        low, high, choices = description["low"], description["high"], description["choices"]
        if choices is not None and (isinstance(value, str) or types <= {"str", "None"}):
            return checks.choice(value, f"value for {who}:", choices)
        if "bool" in types:
            return checks.flag(value, who)
        if "str" in types and isinstance(value, bool | np.bool_ | float):
            raise BadField(f"{who} must be text, got {brief(value)}.")
        if low is None and high is None and not types & {"int", "float"}:
            return value
        check = checks.whole if "int" in types else checks.number
        if isinstance(value, list | tuple | np.ndarray) and np.ndim(value) > 0 and any("tuple" in one for one in types):
            return tuple(check(one, who, low, high) for one in value)
        return check(value, who, low, high)


def is_default(each: Field[Any], value: Any) -> bool:
    """Return whether a value needs no check: of a plain field, or None where that is allowed."""
    return "help" not in each.metadata or (value is None and (each.default is None or "None" in types_of(each)))


def types_of(each: Field[Any]) -> set[str]:
    """Return the names of the types in a field's annotation: two for "int | None"."""
    # annotations are strings, or types in a user's module without postponed evaluation
    return set(str(each.type if isinstance(each.type, str) else getattr(each.type, "__name__", each.type)).split(" | "))


def default_of(each: Field[Any]) -> Any:
    """Return the default of a dataclass field, calling its factory if there is one."""
    return each.default_factory() if callable(each.default_factory) else each.default


def described(method: Parameters) -> list[Mapping[str, Any]]:
    """Return the fields of a method or metric for a control panel: name, value, help, low, high, choices."""
    if not isinstance(method, Parameters):
        raise BadField(f"Expected a method, such as saliency.GradCam(), got {brief(method)}.")
    return [{"name": each.name, "value": getattr(method, each.name), **each.metadata} for each in fields(method)]


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, Parameters) and isinstance(other, Parameters):
        return value.key() == other.key()
    if isinstance(value, np.ndarray) or isinstance(other, np.ndarray):
        return isinstance(value, np.ndarray) and isinstance(other, np.ndarray) and np.array_equal(value, other)
    if type(value) is not type(other):
        return False
    if isinstance(value, list | tuple):
        return len(value) == len(other) and all(map(_same, value, other))
    return bool(value == other)


def _brief(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"array{value.shape}"
    if isinstance(value, list | tuple) and any(isinstance(each, np.ndarray) for each in value):
        return f"[{', '.join(map(_brief, value[:3]))}{', …' if len(value) > 3 else ''}]"
    with suppress(Exception):  # a user's own __repr__ may fail
        return getattr(value, "__name__", None) or repr(value)
    return brief(value)


def _digest(value: Any, update: Callable[[bytes], None]) -> None:
    if isinstance(value, np.ndarray):
        update(f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Parameters):
        update(value.key().encode())
    elif isinstance(value, list | tuple):
        update(f"[{len(value)}".encode())
        for part in value:
            _digest(part, update)
    else:
        update(repr(value).encode())
