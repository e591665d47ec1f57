"""Baselines that an image is compared with: names, numbers or arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np


class Tensor(Protocol):
    """An array of any framework that NumPy can read."""

    def __array__(self) -> np.ndarray: ...


Baseline = str | float | np.ndarray | Tensor | Sequence[Any]
"""A name ("black", "white", "grey", "mean", "blur", "noise": in picture space), a number or an array (in model space),
or several: a sequence of these, or an array with one axis more (a data set of images). Several are averaged."""


class Passed(NamedTuple):
    """How baselines, which are given in the space of the input, become values of a layer."""

    images: Any
    """The model's input, (B, H, W, C)."""
    head: Callable[[Any], Any]
    """From inputs (N, H, W, C) to the values of the layer, (N, …)."""


def baseline_count(baseline: Baseline, shape: tuple[int, ...] = ()) -> int:
    """Return the number of baselines: several for a sequence, or an array with as many axes as a batch's `shape`."""
    if isinstance(baseline, list | tuple):
        return sum(baseline_count(each, shape) for each in baseline)
    return len(baseline) if isinstance(baseline, np.ndarray) and baseline.ndim == len(shape) > 0 else 1
