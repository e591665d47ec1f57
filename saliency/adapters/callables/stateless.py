"""Keep Keras' variables as they are while a model is called."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any


def stateless() -> AbstractContextManager[Any]:
    """A context in which Keras' variables keep their values, whatever a call of a model assigns to them."""
    keras = sys.modules.get("keras")
    return nullcontext() if keras is None else keras.StatelessScope()
