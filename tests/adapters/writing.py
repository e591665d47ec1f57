"""Models that write to their own state whenever they are called, and everything of them that a call could change.

Run as a script it explains Keras' on the backend of the environment, and prints what was changed:
``python -m tests.adapters.writing``
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np

import saliency
from saliency.core.catalogue import METHODS
from tests.nets import CLASSES, few, picture

IMAGE = picture()
FAMILIES = {cls().family: name for name, cls in reversed(METHODS.items()) if cls().family != "attention"}
CHEAP = ("gradient", "grad_cam", "occlusion")

Kind = tuple[Any, Callable[[], list[Any]]]
"""A model, and what gives the values that must not change."""


def tensorflow_module() -> Kind:
    """A ``tf.Module`` that counts its calls, and adds noise of its own generator and of TensorFlow's global one."""
    import tensorflow as tf

    class Counting(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            draw = np.random.default_rng(0)
            self.kernel = tf.Variable(draw.normal(size=(3, 3, 3, 4)).astype(np.float32))
            self.head = tf.Variable(draw.normal(size=(4, CLASSES)).astype(np.float32))
            self.calls, self.mean = tf.Variable(0), tf.Variable(tf.zeros(4), trainable=False)
            self.generator = tf.random.Generator.from_seed(1)

        def __call__(self, x: Any) -> Any:
            self.calls.assign_add(1)
            seen = tf.nn.relu(tf.nn.conv2d(x + 1e-3 * self.generator.normal(tf.shape(x)), self.kernel, 1, "SAME"))
            self.mean.assign(0.9 * self.mean + 0.1 * tf.reduce_mean(seen, (0, 1, 2)))
            seen += 1e-3 * tf.random.get_global_generator().normal(tf.shape(seen))
            return tf.reduce_mean(seen - self.mean, (1, 2)) @ self.head

    net = Counting()

    def state() -> list[Any]:
        states = [each.state.numpy() for each in (net.generator, tf.random.get_global_generator())]
        return [*(each.numpy() for each in net.variables), *states, sorted(vars(net))]

    return net, state


def tensorflow_function() -> Kind:
    """A ``tf.function`` inside a function, which writes to what it closes over."""
    import tensorflow as tf

    net, state = tensorflow_module()
    inner = tf.function(net.__call__)
    return (lambda x: 2 * inner(x)), state


def nnx_module() -> Kind:
    """An nnx module whose batch norm and dropout stay in training, and which counts its calls."""
    import jax
    from flax import nnx

    class Count(nnx.Variable):  # type: ignore[type-arg]
        pass

    class Writing(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.conv = nnx.Conv(3, 4, (3, 3), rngs=rngs)
            self.norm, self.drop = nnx.BatchNorm(4, rngs=rngs), nnx.Dropout(0.3, rngs=rngs)
            self.head, self.count = nnx.Linear(4, CLASSES, rngs=rngs), Count(jax.numpy.zeros(()))
            self.calls = 0

        def __call__(self, x: Any) -> Any:
            self.count[...] += 1
            self.calls += 1
            x = jax.nn.relu(self.norm(self.conv(x), use_running_average=False))
            return self.head(self.drop(x.mean((1, 2)), deterministic=False))

    net = Writing(nnx.Rngs(0))

    def state() -> list[Any]:
        keys = jax.dtypes.prng_key
        leaves = jax.tree.leaves(nnx.state(net))
        values = [np.array(jax.random.key_data(x) if jax.numpy.issubdtype(x.dtype, keys) else x) for x in leaves]
        return [*values, net.calls, net.norm.use_running_average, net.drop.deterministic, type(net).__call__]

    return net, state


def linen_module() -> Kind:
    """A linen module whose batch norm stays in training, and which counts its calls."""
    import jax
    from flax import linen

    class Writing(linen.Module):
        @linen.compact
        def __call__(self, x: Any) -> Any:
            count = self.variable("state", "count", lambda: jax.numpy.zeros(()))
            count.value = count.value + 1
            x = linen.BatchNorm(use_running_average=False)(linen.Conv(4, (3, 3))(x))
            return linen.Dense(CLASSES)(jax.nn.relu(x).mean((1, 2)))

    net = Writing()
    variables = net.init(jax.random.key(0), IMAGE[None].astype(np.float32))
    return (net, variables), lambda: [np.array(each) for each in jax.tree.leaves(variables)]


def equinox_module() -> Kind:
    """An Equinox module with a state: statistics of batches, and a counter."""
    import equinox
    import jax

    class Writing(equinox.Module):
        conv: Any
        norm: Any
        head: Any
        count: Any

        def __init__(self, key: Any) -> None:
            self.conv = equinox.nn.Conv2d(3, 4, 3, key=key)
            self.norm = equinox.nn.BatchNorm(4, "batch", mode="batch")
            self.head = equinox.nn.Linear(4, CLASSES, key=key)
            self.count = equinox.nn.StateIndex(jax.numpy.zeros(()))

        def __call__(self, x: Any, state: Any) -> Any:
            x, state = self.norm(self.conv(x), state, inference=False)
            return self.head(jax.nn.relu(x).mean((1, 2))), state.set(self.count, state.get(self.count) + 1)

    net, held = equinox.nn.make_with_state(Writing)(jax.random.key(0))
    return (net, held), lambda: [np.array(each) for each in jax.tree.leaves((net, held)) if hasattr(each, "shape")]


def keras_model() -> Kind:
    """A Keras model whose batch norm and dropout stay in training, on whatever backend."""
    import keras

    class Writing(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization()
            self.drop, self.head = keras.layers.Dropout(0.3), keras.layers.Dense(CLASSES)

        def call(self, x: Any, training: bool = False) -> Any:
            x = keras.ops.relu(self.norm(self.conv(x), training=True))
            return self.head(self.drop(keras.ops.mean(x, (1, 2)), training=True))

    net = Writing()
    net(IMAGE[None].astype(np.float32))
    return net, lambda: [np.array(keras.ops.convert_to_numpy(each.value)) for each in net.variables]


def keras_function() -> Kind:
    """A function that calls a Keras model in training mode."""
    net, state = keras_model()
    return (lambda x: net(x, training=True)), state


KINDS: dict[str, Callable[[], Kind]] = {
    "tf.Module": tensorflow_module,
    "function of a tf.Module": tensorflow_function,
    "nnx": nnx_module,
    "linen": linen_module,
    "Equinox": equinox_module,
    "Keras": keras_model,
    "function of a Keras model": keras_function,
}


OF_KERAS = ("Keras", "function of a Keras model")


def changes(kind: str, methods: tuple[str, ...] = CHEAP) -> Iterator[str]:
    """Yield what was changed of a model, or of the random states of NumPy and Python, and by what."""
    net, state = KINDS[kind]()
    explained = 0
    for method in methods:
        for outcome in ("success", "error", "cancel"):
            before, drawn = state(), (np.random.get_state()[1].tolist(), random.getstate())  # type: ignore[index]  # noqa: NPY002
            explained += _run(net, method, outcome)
            now, draws = state(), (np.random.get_state()[1].tolist(), random.getstate())  # type: ignore[index]  # noqa: NPY002
            if drawn != draws or not all(map(np.array_equal, before, now)):
                yield f"{kind}, {method}, {outcome}"
    if not explained:
        yield f"{kind}: nothing was explained"


def _run(net: Any, method: str, outcome: str) -> bool:
    """Explain, or fail or be cancelled at the second model call; returns whether a method came to its end."""
    done: list[int] = []

    def progress(*_: Any) -> None:
        done.append(1)
        if outcome == "error" and len(done) > 1:
            raise ZeroDivisionError("stopped on purpose")

    cheap = METHODS[method](**few(METHODS[method], IMAGE.shape))
    stops: dict[str, Any] = {"progress": progress, "cancelled": lambda: outcome == "cancel" and len(done) > 1}
    size: dict[str, Any] = {} if outcome == "success" else {"batch_size": 1}
    with suppress(ZeroDivisionError, saliency.SaliencyError):
        saliency.explain(net, IMAGE, cheap, 1, **{**stops, **size})
        return True
    return False


if __name__ == "__main__":
    for each in OF_KERAS:
        for line in changes(each, tuple(FAMILIES.values())):
            sys.stdout.write(line + "\n")
