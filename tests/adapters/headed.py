"""One head in every framework: z = the picture's mean squares times weights, plus a bias, and what comes after it.

The gradient of z_k by a pixel is 2 x w_k / (H W), so its mask can be derived by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.nets import picture

IMAGE = picture(6, 5).astype(np.float32) / 255
WEIGHTS = np.random.default_rng(3).normal(size=(3, 3)).astype(np.float32)
WITH_GRADIENTS = ("torch", "function of torch", "tensorflow", "jax", "keras")
BLACK_BOXES = ("function", "onnx")

Logits = tuple[float, ...]


def weights_for(logits: Logits) -> tuple[np.ndarray, np.ndarray]:
    """Weights (3, K), and the bias by which the picture has these logits."""
    weights = WEIGHTS[:, : len(logits)]
    return weights, np.array(logits, np.float32) - np.square(IMAGE).mean((0, 1)) @ weights


def gradient(logits: Logits, index: int) -> np.ndarray:
    """(H, W, 3) of z_index, by hand."""
    return 2 * IMAGE * weights_for(logits)[0][:, index] / (IMAGE.shape[0] * IMAGE.shape[1])


def logits_of(images: np.ndarray, logits: Logits) -> np.ndarray:
    """(N, K) in NumPy."""
    weights, bias = weights_for(logits)
    return np.square(images).mean((1, 2)) @ weights + bias


def after(ending: str, logits: np.ndarray) -> np.ndarray:
    """Apply an ending to logits (..., K), in NumPy."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    match ending:
        case "none":
            return logits
        case "softmax":
            return np.asarray(powers / powers.sum(-1, keepdims=True))
        case "log_softmax":
            return np.log(powers / powers.sum(-1, keepdims=True))
        case "squeezed":
            return np.asarray(1 / (1 + np.exp(-logits[..., 0])))
    return np.asarray(1 / (1 + np.exp(-logits)))


def model(framework: str, logits: Logits, ending: str = "none") -> Any:
    """A model of a framework.

    Args:
        framework: one of those above.
        logits: that the picture has.
        ending: "none", "sigmoid", "written" (1 / (1 + exp(-z))), "squeezed" (a sigmoid, (N,)), "softmax",
            "log_softmax".
    """
    weights, bias = weights_for(logits)
    return {
        "torch": _torch,
        "function of torch": lambda *given: _called(_torch(*given)),
        "tensorflow": _tensorflow,
        "jax": _jax,
        "keras": _keras,
        "function": lambda *_: lambda images: after(ending, logits_of(images, logits)),
        "onnx": _onnx,
    }[framework](weights, bias, ending)


def _called(module: Any) -> Callable[[Any], Any]:
    def function(images: Any) -> Any:
        return module(images)

    return function


def _torch(weights: np.ndarray, bias: np.ndarray, ending: str) -> Any:
    import torch
    from torch import nn

    ends: dict[str, Callable[[Any], Any]] = {
        "none": lambda z: z,
        "sigmoid": torch.sigmoid,
        "written": lambda z: 1 / (1 + torch.exp(-z)),
        "squeezed": lambda z: z.sigmoid().squeeze(1),
        "softmax": lambda z: z.softmax(1),
        "log_softmax": lambda z: nn.functional.log_softmax(z, 1),
    }

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(*weights.shape)
            self.head.weight.data, self.head.bias.data = torch.tensor(weights.T), torch.tensor(bias)

        def forward(self, x: Any) -> Any:
            return ends[ending](self.head(x.square().mean((2, 3))))

    return Net().eval()


def _tensorflow(weights: np.ndarray, bias: np.ndarray, ending: str) -> Any:
    import tensorflow as tf

    ends: dict[str, Callable[[Any], Any]] = {
        "none": lambda z: z,
        "sigmoid": tf.sigmoid,
        "written": lambda z: 1 / (1 + tf.exp(-z)),
        "squeezed": lambda z: tf.squeeze(tf.sigmoid(z), 1),
        "softmax": tf.nn.softmax,
        "log_softmax": tf.nn.log_softmax,
    }
    return tf.function(lambda x: ends[ending](tf.reduce_mean(x * x, (1, 2)) @ weights + bias))


def _jax(weights: np.ndarray, bias: np.ndarray, ending: str) -> Any:
    import jax
    import jax.numpy as jnp

    ends: dict[str, Callable[[Any], Any]] = {
        "none": lambda z: z,
        "sigmoid": jax.nn.sigmoid,
        "written": lambda z: 1 / (1 + jnp.exp(-z)),
        "squeezed": lambda z: jax.nn.sigmoid(z)[:, 0],
        "softmax": jax.nn.softmax,
        "log_softmax": jax.nn.log_softmax,
    }

    def net(params: Any, x: Any) -> Any:
        return ends[ending]((x * x).mean((1, 2)) @ params[0] + params[1])

    return net, (jnp.asarray(weights), jnp.asarray(bias))


def _keras(weights: np.ndarray, bias: np.ndarray, ending: str) -> Any:
    import keras
    from keras import layers, ops

    activations: dict[str, Any] = {"none": None, "squeezed": "sigmoid", "written": lambda z: 1 / (1 + ops.exp(-z))}
    head = layers.Dense(len(bias), activation=activations.get(ending, ending))
    inputs = keras.Input((*IMAGE.shape[:2], 3))
    scores = head(layers.GlobalAveragePooling2D()(ops.square(inputs)))
    net = keras.Model(inputs, ops.squeeze(scores, 1) if ending == "squeezed" else scores)
    head.set_weights([weights, bias])
    return net


def _onnx(weights: np.ndarray, bias: np.ndarray, ending: str) -> Any:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Mul", ["image", "image"], ["square"]),
        helper.make_node("ReduceMean", ["square", "axes"], ["mean"], keepdims=0),
        helper.make_node("Gemm", ["mean", "weights", "bias"], ["logits"]),
    ]
    operators = {"none": "Identity", "sigmoid": "Sigmoid", "softmax": "Softmax", "log_softmax": "LogSoftmax"}
    kind = operators.get(ending, "Sigmoid")
    shape: list[str | int] = ["N", len(bias)]
    if ending == "squeezed":
        nodes.append(helper.make_node(kind, ["logits"], ["whole"]))
        nodes.append(helper.make_node("Squeeze", ["whole", "one"], ["outputs"]))
        shape = ["N"]
    else:
        nodes.append(helper.make_node(kind, ["logits"], ["outputs"]))
    constants = {"weights": weights, "bias": bias, "axes": np.array([1, 2]), "one": np.array([1])}
    graph = helper.make_graph(
        nodes,
        "headed",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", *IMAGE.shape])],
        [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
