"""Calls of a Keras model's layers, by the layers' names."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from saliency.threads import lock, uninterrupted

_WATCHING = lock()


@contextmanager
def watched(model: Any, around: Callable[[str, Callable[[], Any]], Any]) -> Iterator[None]:
    """Route each call of a layer inside a model's call through `around` (its name, the call).

    The name includes the outer layers: "inner/conv". Other threads are not affected.

    Args:
        model: its layers' calls are routed.
        around: returns the layer's output.
    """
    original, mine, path = keras.Layer.__call__, threading.get_ident(), []

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != mine or layer is model:
            return original(layer, *args, **kwargs)
        path.append(layer.name)
        try:
            return around("/".join(path), lambda: original(layer, *args, **kwargs))
        finally:
            path.pop()

    with _WATCHING, uninterrupted():
        keras.Layer.__call__ = call
        try:
            yield
        finally:
            keras.Layer.__call__ = original
