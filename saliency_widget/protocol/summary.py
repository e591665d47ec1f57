"""Short representations of values, for errors and logs."""

from __future__ import annotations

import reprlib
from contextlib import suppress

LENGTH = 60
"""Maximum number of characters."""

_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxlong = 3, LENGTH, LENGTH


def summary(value: object) -> str:
    """Return the representation of a value, cut off at :data:`LENGTH` characters."""
    # fallback for a number with more digits than Python writes, and for a __repr__ that raises
    shown = f"a number of {value.bit_length()} bits" if isinstance(value, int) else type(value).__name__
    with suppress(Exception):
        shown = _REPR.repr(value)
    return shown if len(shown) <= LENGTH else shown[:LENGTH] + "…"
