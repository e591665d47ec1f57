"""Values in few words, however large, deep or long they are: for errors and logs."""

from __future__ import annotations

import reprlib

BRIEF = 60
"""Characters at most."""

_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxlong = 3, BRIEF, BRIEF


def brief(value: object) -> str:
    """What a value is, as Python writes it, cut off."""
    try:
        shown = _REPR.repr(value)
    except ValueError:
        # a number of more digits than Python writes
        shown = f"a number of {value.bit_length()} bits" if isinstance(value, int) else type(value).__name__
    return shown if len(shown) <= BRIEF else shown[:BRIEF] + "…"
