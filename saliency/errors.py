"""Every error the package raises on purpose: what was expected, what was given, and how to fix it.

Each class derives from :class:`SaliencyError` and from the matching built-in, so that ``except ValueError`` catches
a bad value as usual.
"""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterable
from contextlib import suppress

from saliency.hints import argument_hint, method_hint


class SaliencyError(Exception):
    """Base of all errors raised on purpose by this package."""


class BadImage(SaliencyError, ValueError):
    """The image cannot be explained as it is: wrong rank, channels, dtype, or not finite."""


class BadShape(SaliencyError, ValueError):
    """Two arrays that must fit together do not."""


class BadTarget(SaliencyError, ValueError):
    """The target is no class of this model, or does not yield one number per image."""


class BadOutput(SaliencyError, ValueError):
    """The model's output cannot be used: it has no scores, the wrong shape, or values that are not finite."""


class BadField(SaliencyError, ValueError):
    """A field of a method has a value that is not allowed."""


class BadArgument(SaliencyError, TypeError):
    """An argument does not exist, or two arguments exclude each other."""


class UnknownName(SaliencyError, ValueError):
    """A method, field, label or layer does not exist."""


class Unsupported(SaliencyError, TypeError):
    """The model does not support what this method needs."""


class NoGradient(SaliencyError, RuntimeError):
    """The score does not depend on the image in a way that can be differentiated."""


class MissingPackage(SaliencyError, ImportError):
    """An optional dependency is not installed."""


class NotReached(SaliencyError, RuntimeError):
    """No change that was evaluated within the budget gives the answer that was looked for."""


class Cancelled(SaliencyError, RuntimeError):
    """The explanation was cancelled between two batches. The model is unchanged."""


def unknown(kind: str, name: object, known: Iterable[str]) -> UnknownName:
    """Return the error for a name that does not exist, with the closest names that do.

    Args:
        kind: what the name stands for, as in "no such method".
        name: what was given.
        known: the existing names.
    """
    names = list(known)
    hint = _hint(kind, name[:LONGEST_NAME], names) if isinstance(name, str) else ""
    shown = ", ".join(names[:40]) + (", …" if len(names) > 40 else "")
    return UnknownName(f"There is no {kind} {brief(name)}.{hint} Available: {shown or 'none'}.")


LONGEST_NAME = 200
"""Maximum number of characters of an unknown name that are compared with the existing names."""

_REPR = reprlib.Repr()
_REPR.maxstring, _REPR.maxother, _REPR.maxlong, _REPR.maxlevel = 200, 200, 60, 3


def brief(value: object) -> str:
    """Return a short repr of a value, for error messages; never fails."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{type(value).__name__} of shape {shape}"[:200]
    with suppress(Exception):  # a user's own __repr__ may fail, as does that of an int of 5,000 digits
        return _REPR.repr(value)
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _hint(kind: str, name: str, names: list[str]) -> str:
    """Return the suggestion for an unknown name, as a sentence after a space; empty where no name is close."""
    elsewhere = None
    if kind == "method":
        elsewhere = method_hint(name, names)
    elif kind.startswith("field of"):
        elsewhere = argument_hint(name)
    if elsewhere is not None:
        return f" {elsewhere}"
    near = containing(name, names)[:5] if kind == "label" else []
    near = near or difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def containing(word: str, names: Iterable[str]) -> list[str]:
    """Return the names with `word` as whole words, in any case: "Cat" is in "tabby cat", and not in "crate"."""
    whole = re.compile(rf"(?<!\w){re.escape(word.strip())}(?!\w)", re.IGNORECASE)
    return [each for each in names if word.strip() and whole.search(str(each))]
