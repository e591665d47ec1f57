"""The same little CNN from the same weights in every framework: torch's `SmallNet` is the pattern.

Each function imports its own framework, so that a process needs only the one it tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Weights = dict[str, np.ndarray]


def weights(dtype: str = "float32") -> Weights:
    """Return SmallNet's weights; convolutions as (h, w, in, out), the dense layer as (in, out)."""
    from tests.nets import small_net

    tensors = {name: tensor for name, tensor in small_net().state_dict().items() if "tracked" not in name}
    state = {name: tensor.numpy().astype(dtype) for name, tensor in tensors.items()}
    for name in ("stem.weight", "block.weight"):
        state[name] = state[name].transpose(2, 3, 1, 0)
    return {**state, "head.weight": state["head.weight"].T}


def pure_jax(params: Any, x: Any) -> Any:
    """f(params, x) in jax.numpy."""
    import jax
    import jax.numpy as jnp

    def conv(x: Any, name: str) -> Any:
        numbers = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(x, params[f"{name}.weight"], (1, 1), "SAME", dimension_numbers=numbers)
        return y + params[f"{name}.bias"]

    x = conv(x, "stem") - params["norm.running_mean"]
    x = x / jnp.sqrt(params["norm.running_var"] + 1e-5) * params["norm.weight"] + params["norm.bias"]
    x = jax.nn.relu(x)
    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = jax.nn.relu(conv(x, "block") + x)
    return x.mean((1, 2)) @ params["head.weight"] + params["head.bias"]


def linen(w: Weights, softmax: bool = False) -> tuple[Any, Any]:
    """(module, variables)."""
    from flax import linen as nn

    pool: Any = nn.max_pool

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x: Any, train: bool = True) -> Any:
            x = nn.Conv(6, (3, 3), name="stem")(x)
            x = nn.relu(nn.BatchNorm(use_running_average=not train, epsilon=1e-5, name="norm")(x))
            x = pool(x, (2, 2), (2, 2))
            x = nn.relu(nn.Conv(6, (3, 3), name="block")(x) + x)
            x = nn.Dense(4, name="head")(nn.Dropout(0.5, deterministic=not train)(x.mean((1, 2))))
            return nn.softmax(x) if softmax else x

    params = {name: {"kernel": w[f"{name}.weight"], "bias": w[f"{name}.bias"]} for name in ("stem", "block", "head")}
    params["norm"] = {"scale": w["norm.weight"], "bias": w["norm.bias"]}
    running = {"norm": {"mean": w["norm.running_mean"], "var": w["norm.running_var"]}}
    import jax
    import jax.numpy as jnp

    return Net(), jax.tree.map(jnp.asarray, {"params": params, "batch_stats": running})


def nnx(w: Weights) -> Any:
    """A module in training mode, whose batch norm and dropout must not be noticed."""
    import jax.numpy as jnp
    from flax import nnx

    pool: Any = nnx.max_pool

    class Net(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.stem = nnx.Conv(3, 6, (3, 3), rngs=rngs)
            self.norm = nnx.BatchNorm(6, epsilon=1e-5, rngs=rngs)
            self.block = nnx.Conv(6, 6, (3, 3), rngs=rngs)
            self.drop = nnx.Dropout(0.5, rngs=rngs)
            self.head = nnx.Linear(6, 4, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            x = nnx.relu(self.norm(self.stem(x)))
            x = pool(x, (2, 2), (2, 2))
            x = nnx.relu(self.block(x) + x)
            return self.head(self.drop(x.mean((1, 2))))

    net: Any = Net(nnx.Rngs(0))
    for name in ("stem", "block", "head"):
        getattr(net, name).kernel.set_value(jnp.asarray(w[f"{name}.weight"]))
        getattr(net, name).bias.set_value(jnp.asarray(w[f"{name}.bias"]))
    net.norm.scale.set_value(jnp.asarray(w["norm.weight"]))
    net.norm.bias.set_value(jnp.asarray(w["norm.bias"]))
    net.norm.mean.set_value(jnp.asarray(w["norm.running_mean"]))
    net.norm.var.set_value(jnp.asarray(w["norm.running_var"]))
    return net


def equinox(w: Weights) -> Any:
    """A module of one image (C, H, W); its norm as a fixed scale, and its head in a Sequential."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    class Norm(eqx.Module):
        scale: Any
        shift: Any

        def __call__(self, x: Any) -> Any:
            return x * self.scale[:, None, None] + self.shift[:, None, None]

    class Net(eqx.Module):
        stem: Any
        norm: Any
        pool: Any
        block: Any
        head: Any

        def __call__(self, x: Any, key: Any = None) -> Any:
            x = self.pool(jax.nn.relu(self.norm(self.stem(x))))
            x = jax.nn.relu(self.block(x) + x)
            return self.head(x.mean((1, 2)))

    def conv(name: str, channels: int) -> Any:
        made = eqx.nn.Conv2d(channels, 6, 3, padding=1, key=jax.random.PRNGKey(0))
        values = (jnp.asarray(w[f"{name}.weight"].transpose(3, 2, 0, 1)), jnp.asarray(w[f"{name}.bias"])[:, None, None])
        return eqx.tree_at(lambda m: (m.weight, m.bias), made, values)

    scale = w["norm.weight"] / np.sqrt(w["norm.running_var"] + 1e-5)
    norm = Norm(jnp.asarray(scale), jnp.asarray(w["norm.bias"] - w["norm.running_mean"] * scale))
    linear = eqx.nn.Linear(6, 4, key=jax.random.PRNGKey(0))
    values = (jnp.asarray(w["head.weight"].T), jnp.asarray(w["head.bias"]))
    linear = eqx.tree_at(lambda m: (m.weight, m.bias), linear, values)
    head = eqx.nn.Sequential([eqx.nn.Dropout(0.5), linear])
    return Net(conv("stem", 3), norm, eqx.nn.MaxPool2d(2, 2), conv("block", 6), head)


def tf_module(w: Weights, softmax: bool = False) -> Any:
    """A tf.Module whose call is a tf.function."""
    import tensorflow as tf

    class Net(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.w = {name: tf.Variable(value) for name, value in w.items()}

        def conv(self, x: Any, name: str) -> Any:
            return tf.nn.conv2d(x, self.w[f"{name}.weight"], 1, "SAME") + self.w[f"{name}.bias"]

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], w["head.bias"].dtype)])  # type: ignore[untyped-decorator]
        def __call__(self, x: Any) -> Any:
            mean, var = self.w["norm.running_mean"], self.w["norm.running_var"]
            x = self.conv(x, "stem")
            x = tf.nn.batch_normalization(x, mean, var, self.w["norm.bias"], self.w["norm.weight"], 1e-5)
            x = tf.nn.max_pool2d(tf.nn.relu(x), 2, 2, "VALID")
            x = tf.nn.relu(self.conv(x, "block") + x)
            x = tf.reduce_mean(x, (1, 2)) @ self.w["head.weight"] + self.w["head.bias"]
            return tf.nn.softmax(x) if softmax else x

    return Net()


def keras(w: Weights, kind: str = "functional", softmax: bool = False) -> Any:
    """A Keras model on whatever backend there is: "functional", "subclassed", "sequential" (around it) or "nested"."""
    import keras
    from keras import layers

    dtype = w["head.bias"].dtype.name
    stem, block = (layers.Conv2D(6, 3, padding="same", name=name, dtype=dtype) for name in ("stem", "block"))
    norm = layers.BatchNormalization(epsilon=1e-5, name="norm", dtype=dtype)
    relu = layers.ReLU(name="relu", dtype=dtype)
    pool = layers.MaxPooling2D(name="pool", dtype=dtype)
    add = layers.Add(name="add", dtype=dtype)
    mean = layers.GlobalAveragePooling2D(name="gap", dtype=dtype)
    drop = layers.Dropout(0.5, name="drop", dtype=dtype)
    head = layers.Dense(4, name="head", activation="softmax" if softmax else None, dtype=dtype)

    def features(x: Any) -> Any:
        x = pool(relu(norm(stem(x))))
        return relu(add([block(x), x]))

    class Subclassed(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name="subclassed", dtype=dtype)
            self.parts = [stem, norm, relu, pool, add, block, mean, drop, head]

        def call(self, x: Any, training: bool = False) -> Any:
            return head(drop(mean(features(x)), training=training))

    inputs = keras.Input((24, 20, 3), dtype=dtype)
    if kind == "subclassed":
        net: Any = Subclassed()
        net(np.zeros((1, 24, 20, 3), dtype))
    elif kind == "functional":
        net = keras.Model(inputs, head(drop(mean(features(inputs)))))
    else:
        inner = keras.Model(inputs, features(inputs), name="inner")
        if kind == "sequential":
            net = keras.Sequential([keras.Input((24, 20, 3), dtype=dtype), inner, mean, drop, head])
        else:
            net = keras.Model(inputs, head(drop(mean(inner(inputs)))))
    for layer, name in ((stem, "stem"), (block, "block"), (head, "head")):
        layer.set_weights([w[f"{name}.weight"], w[f"{name}.bias"]])
    norm.set_weights([w[f"norm.{part}"] for part in ("weight", "bias", "running_mean", "running_var")])
    return net


def onnx(w: Weights) -> Any:
    """An ONNX Runtime session of (N, 3, 24, 20)."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    def node(operator: str, inputs: str, output: str, **attributes: Any) -> Any:
        return helper.make_node(operator, inputs.split(), [output], **attributes)

    norm = " ".join(f"norm.{part}" for part in ("weight", "bias", "running_mean", "running_var"))
    nodes = [
        node("Conv", "image stem.weight stem.bias", "stem", pads=[1] * 4),
        node("BatchNormalization", f"stem {norm}", "norm"),
        node("Relu", "norm", "relu"),
        node("MaxPool", "relu", "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "pool block.weight block.bias", "block", pads=[1] * 4),
        node("Add", "block pool", "sum"),
        node("Relu", "sum", "last"),
        node("GlobalAveragePool", "last", "mean"),
        node("Flatten", "mean", "features"),
        node("Gemm", "features head.weight head.bias", "scores"),
    ]
    own = {name: value.transpose(3, 2, 0, 1) if value.ndim == 4 else value for name, value in w.items()}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 24, 20])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 4])],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in own.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def by_two_layers(theirs: Callable[[Any], Any], size: int) -> tuple[Any, list[np.ndarray]]:
    """A torch module of an activation between two dense layers, (N, C, H, W) -> (N, 3), and its four weights.

    Args:
        theirs: the activation.
        size: how many numbers an image has; they are taken in the order (H, W, C).
    """
    import torch
    from torch import nn

    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(size, 10), nn.Linear(10, 3)

        def forward(self, x: Any) -> Any:
            return self.last(theirs(self.first(x.permute(0, 2, 3, 1).flatten(1))))

    net = Net()
    return net, [each.detach().numpy() for each in net.parameters()]
