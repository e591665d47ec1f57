"""Baselines: what a picture is compared with, by name, number or array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np


class Tensor(Protocol):
    """Any framework's array, which NumPy can read."""

    def __array__(self) -> np.ndarray: ...


Baseline = str | float | np.ndarray | Tensor | Sequence[Any]
"""A name ("black", "white", "grey", "mean", "blur", "noise": in picture space), a number or an array (in model space),
or several: a sequence of these, or an array with one axis more (a data set of images). Several are averaged."""


def baseline_count(baseline: Baseline, shape: tuple[int, ...] = ()) -> int:
    """How many baselines are meant: a sequence is several, and so is an array of as many axes as a batch's `shape`."""
    if isinstance(baseline, list | tuple):
        return sum(baseline_count(each, shape) for each in baseline)
    return len(baseline) if isinstance(baseline, np.ndarray) and baseline.ndim == len(shape) > 0 else 1
