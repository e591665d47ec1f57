"""The demo's network in Keras, TensorFlow and JAX: the same weights, channels last.

The forward pass of :class:`saliency.demo.network.DemoNet` is written once for any framework with the five
:class:`Operations`, and once as a Keras model with named layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Weights = Mapping[str, Any]

BLOCKS = {"features.3": 2, "features.4": 2, "features.5": 1, "features.6": 2}
"""The residual blocks, and the stride of each."""

EPSILON = 1e-5
"""Added to a batch norm's variance."""


class Operations(NamedTuple):
    """Functions of a framework; images are (N, H, W, C)."""

    conv: Callable[..., Any]
    """(x, kernel (h, w, in, out), stride) -> x, padded so that only the stride makes it smaller."""
    scale: Callable[..., Any]
    """(x, factor (C,), shift (C,)) -> x * factor + shift."""
    relu: Callable[..., Any]
    pool: Callable[..., Any]
    """(x, stride) -> the mean of each square of so many pixels."""
    mean: Callable[..., Any]
    """(N, H, W, C) -> (N, C)."""


def read(path: Path) -> dict[str, np.ndarray]:
    """Return the weights as float32, kernels as (h, w, in, out), each batch norm as a factor and a shift."""
    with np.load(path, allow_pickle=False) as arrays:
        raw = {name: arrays[name].astype(np.float32) for name in arrays.files}
    found = {"head.weight": raw["head.weight"].T, "head.bias": raw["head.bias"]}
    mean, std = (raw[f"normalise.{part}"].reshape(-1) for part in ("mean", "std"))
    found |= {"normalise.factor": 1 / std, "normalise.shift": -mean / std}
    for name, array in raw.items():
        if array.ndim == 4 and name.endswith(".weight"):
            found[name] = array.transpose(2, 3, 1, 0)
        elif name.endswith(".running_var"):
            norm = name.removesuffix(".running_var")
            factor = raw[f"{norm}.weight"] / np.sqrt(array + np.float32(EPSILON))
            found[f"{norm}.factor"] = factor
            found[f"{norm}.shift"] = raw[f"{norm}.bias"] - raw[f"{norm}.running_mean"] * factor
    return found


def logits(weights: Weights, x: Any, do: Operations) -> Any:
    """Return the logits (N, classes) of RGB pictures (N, H, W, 3) in 0-1."""

    def norm(x: Any, name: str) -> Any:
        return do.scale(x, weights[f"{name}.factor"], weights[f"{name}.shift"])

    def conv(x: Any, name: str, stride: int = 1) -> Any:
        return do.conv(x, weights[f"{name}.weight"], stride)

    x = do.relu(norm(conv(norm(x, "normalise"), "features.0", 2), "features.1"))
    for block, stride in BLOCKS.items():
        inner = do.relu(norm(conv(x, f"{block}.conv1", stride), f"{block}.norm1"))
        if f"{block}.shortcut.1.weight" in weights:
            x = norm(conv(do.pool(x, stride), f"{block}.shortcut.1"), f"{block}.shortcut.2")
        x = do.relu(norm(conv(inner, f"{block}.conv2"), f"{block}.norm2") + x)
    return do.mean(x) @ weights["head.weight"] + weights["head.bias"]


def jax_model(path: Path) -> tuple[Callable[[Any, Any], Any], dict[str, Any]]:
    """Return (f, weights) with f(weights, images)."""
    import jax
    import jax.numpy as jnp

    def pool(x: Any, stride: int) -> Any:
        count, height, width, channels = x.shape
        return x.reshape(count, height // stride, stride, width // stride, stride, channels).mean((2, 4))

    def conv(x: Any, kernel: Any, stride: int) -> Any:
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    do = Operations(conv, lambda x, a, b: x * a + b, jax.nn.relu, pool, lambda x: x.mean((1, 2)))

    def network(weights: Any, images: Any) -> Any:
        return logits(weights, images, do)

    return network, {name: jnp.asarray(value) for name, value in read(path).items()}


def tensorflow_model(path: Path) -> Any:
    """Return a ``tf.Module`` that is called with images."""
    import tensorflow as tf

    do = Operations(
        lambda x, kernel, stride: tf.nn.conv2d(x, kernel, stride, "SAME"),
        lambda x, factor, shift: x * factor + shift,
        tf.nn.relu,
        lambda x, stride: tf.nn.avg_pool2d(x, stride, stride, "VALID"),
        lambda x: tf.reduce_mean(x, (1, 2)),
    )

    class DemoNet(tf.Module):  # type: ignore[misc]  # TensorFlow is untyped
        def __init__(self) -> None:
            super().__init__()
            self.weights = {name: tf.Variable(value, name=name) for name, value in read(path).items()}

        @tf.function  # type: ignore[untyped-decorator]
        def __call__(self, images: Any) -> Any:
            return logits(self.weights, tf.convert_to_tensor(images, tf.float32), do)

    return DemoNet()


def keras_model(path: Path) -> Any:
    """Return a functional ``keras.Model`` whose layers are named like the torch module's."""
    import keras
    from keras import layers

    weights, held = read(path), dict[str, list[np.ndarray]]()

    def named(name: str) -> str:
        return name.replace(".", "_")

    def conv(x: Any, name: str, stride: int = 1) -> Any:
        kernel = weights[f"{name}.weight"]
        held[named(name)] = [kernel]
        size, outputs = kernel.shape[0], kernel.shape[3]
        layer = layers.Conv2D(outputs, size, stride, padding="same", use_bias=False, name=named(name))
        return layer(x)

    def norm(x: Any, name: str) -> Any:
        factor, shift = weights[f"{name}.factor"], weights[f"{name}.shift"]
        held[named(name)] = [factor, shift, np.zeros_like(factor), np.ones_like(factor)]
        return layers.BatchNormalization(epsilon=0.0, name=named(name))(x)

    def relu(x: Any, name: str) -> Any:
        return layers.ReLU(name=named(name))(x)

    inputs = keras.Input((None, None, 3), name="picture")
    x = relu(norm(conv(norm(inputs, "normalise"), "features.0", 2), "features.1"), "features.2")
    for block, stride in BLOCKS.items():
        inner = relu(norm(conv(x, f"{block}.conv1", stride), f"{block}.norm1"), f"{block}.relu1")
        if f"{block}.shortcut.1.weight" in weights:
            x = layers.AveragePooling2D(stride, name=named(f"{block}.shortcut.0"))(x)
            x = norm(conv(x, f"{block}.shortcut.1"), f"{block}.shortcut.2")
        inner = norm(conv(inner, f"{block}.conv2"), f"{block}.norm2")
        x = relu(layers.Add(name=named(f"{block}.add"))([inner, x]), f"{block}.relu2")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(inputs, layers.Dense(len(weights["head.bias"]), name="head")(x), name="demo")
    held["head"] = [weights["head.weight"], weights["head.bias"]]
    for name, values in held.items():
        model.get_layer(name).set_weights(values)
    return model


PORTS: dict[str, Callable[[Path], Any]] = {
    "keras": keras_model,
    "tensorflow": tensorflow_model,
    "jax": jax_model,
}
"""The functions that build the model, by framework."""
