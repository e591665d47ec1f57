"""Separate random streams for models that draw from NumPy's and Python's global generators."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

NOTE = "the model draws random numbers in its forward pass: the mask depends on them; your random state is unchanged"


class HostStreams:
    """States of NumPy's and Python's global generators, separate from the user's."""

    def __init__(self) -> None:
        self.drew = False
        """Whether any numbers were drawn so far."""
        self._own: tuple[Any, Any] | None = None

    @contextmanager
    def used(self) -> Iterator[None]:
        """Set the generators to these states for the length of the context; they start as copies of the user's."""
        before = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002  # the model's draws are watched
        if self._own is not None:
            _put(*self._own)
        try:
            yield
        finally:
            after = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
            if self._own is not None or not _same(before, after):
                self._own, self.drew = after, True
                _put(*before)


def _put(of_numpy: Any, of_python: Any) -> None:
    np.random.set_state(of_numpy)  # noqa: NPY002
    random.setstate(of_python)


def _same(one: Any, other: Any) -> bool:
    (one_numpy, one_python), (other_numpy, other_python) = one, other
    ours, theirs = one_numpy["state"], other_numpy["state"]
    return one_python == other_python and ours["pos"] == theirs["pos"] and np.array_equal(ours["key"], theirs["key"])
