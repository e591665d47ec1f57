"""A little model of a series (N, 6, 3) and of facts (N, 5), from the same weights in every framework."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_DRAW = np.random.default_rng(31)
SERIES = _DRAW.normal(size=(1, 6, 3)).astype(np.float32)
FACTS = _DRAW.normal(size=(1, 5)).astype(np.float32)
WEIGHTS = {
    "hidden": _DRAW.normal(size=(23, 7)).astype(np.float32) / 3,
    "head": _DRAW.normal(size=(7, 4)).astype(np.float32),
}


class TwoInputs(nn.Module):
    """The series laid flat beside the facts, a hidden layer with tanh, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = (nn.Parameter(torch.tensor(WEIGHTS[name])) for name in ("hidden", "head"))

    def forward(self, series: Tensor, facts: Tensor) -> Tensor:
        return torch.tanh(torch.cat([series.flatten(1), facts], 1) @ self.hidden) @ self.head


def of_tensorflow(series: Any, facts: Any) -> Any:
    """In TensorFlow."""
    import tensorflow as tf

    joined = tf.concat([tf.reshape(series, (-1, 18)), facts], 1)
    return tf.tanh(joined @ WEIGHTS["hidden"]) @ WEIGHTS["head"]


def of_jax(params: Any, series: Any, facts: Any) -> Any:
    """In JAX, with its parameters handed in."""
    import jax.numpy as jnp

    joined = jnp.concatenate([series.reshape(-1, 18), facts], 1)
    return jnp.tanh(joined @ params["hidden"]) @ params["head"]


def of_keras() -> Any:
    """A functional model of Keras 3, on whatever backend."""
    import keras

    series, facts = keras.Input((6, 3)), keras.Input((5,))
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(series), facts])
    hidden = keras.layers.Dense(7, "tanh", use_bias=False)(joined)
    model = keras.Model([series, facts], keras.layers.Dense(4, use_bias=False)(hidden))
    model.set_weights([WEIGHTS["hidden"], WEIGHTS["head"]])
    return model


METHODS: dict[str, dict[str, Any]] = {
    "gradient": {},
    "input_x_gradient": {},
    "integrated_gradients": {"steps": 4, "baseline": [0.3, np.full(5, 0.1)]},
    "expected_gradients": {"samples": 5, "baseline": [SERIES.repeat(3, 0) / 2, FACTS.repeat(3, 0) / 3], "spread": 0.1},
    "guided_ig": {"steps": 4, "baseline": [SERIES / 3, FACTS / 2]},
    "smooth_grad": {"samples": 3},
    "var_grad": {"samples": 3},
}
"""Every method that takes inputs of any shape, with few steps."""


def explained(model: Any, method: str, **options: Any) -> list[list[np.ndarray]]:
    """The masks of two classes, for both inputs."""
    import saliency

    fields: dict[str, Any] = {"progress": False, **METHODS[method], **options}
    found = saliency.explain(model, [SERIES, FACTS], method, [1, 2], **fields)
    return [[each.mask for each in row] for row in found]
