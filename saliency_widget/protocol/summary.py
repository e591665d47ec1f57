"""Values in few words, however large, deep or long they are: for errors and logs."""

from __future__ import annotations

import reprlib
from contextlib import suppress

BRIEF = 60
"""Characters at most."""

_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxlong = 3, BRIEF, BRIEF


def brief(value: object) -> str:
    """What a value is, as Python writes it, cut off."""
    # a number of more digits than Python writes, or what a user's own __repr__ raises for
    shown = f"a number of {value.bit_length()} bits" if isinstance(value, int) else type(value).__name__
    with suppress(Exception):
        shown = _REPR.repr(value)
    return shown if len(shown) <= BRIEF else shown[:BRIEF] + "…"
