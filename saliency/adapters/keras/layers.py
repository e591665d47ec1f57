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
    """While a model is called, each call of a layer inside goes through `around` (its name, the call).

    The name is that of the layer within the layers it is called in: "inner/conv". Other threads notice nothing.

    Args:
        model: whose call is watched.
        around: gives the layer's output.
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
