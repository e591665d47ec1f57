"""Notes on a model's numerical precision, and host arrays whose type NumPy has no arithmetic for."""

from __future__ import annotations

from typing import Any

import numpy as np

DIGITS = {"float16": "about 3 significant digits", "bfloat16": "2 to 3 significant digits"}
"""Precision in words of each 2-byte floating type."""


def precision_note(dtype: Any) -> str | None:
    """Return the note on a model's reduced precision; None for float32 and wider.

    Args:
        dtype: a type of any framework, or its name.
    """
    name = str(getattr(dtype, "name", dtype)).rpartition(".")[2]
    if name not in DIGITS:
        return None
    return (
        f"the model computes in {name} ({DIGITS[name]}): scores and gradients are rounded to it, sums and weights are "
        "computed in float32; the same model in float32 gives a less noisy map"
    )


def widened(host: np.ndarray) -> np.ndarray:
    """Return an array of 2-byte floating numbers as float32; all other types unchanged."""
    is_half = host.dtype == np.float16 or host.dtype.name in DIGITS
    return host.astype(np.float32) if is_half else host
