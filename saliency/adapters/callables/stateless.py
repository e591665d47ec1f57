"""Prevent a call of a Keras model from changing its variables."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any


def stateless() -> AbstractContextManager[Any]:
    """Return a context that discards assignments to Keras variables."""
    keras = sys.modules.get("keras")
    return nullcontext() if keras is None else keras.StatelessScope()
