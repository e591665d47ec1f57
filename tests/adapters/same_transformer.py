"""tests.test_layers' transformer from the same weights in JAX and TensorFlow, its attention written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Weights = dict[str, np.ndarray]


class Functions(NamedTuple):
    """What one framework calls what is needed."""

    reshape: Callable[..., Any]
    transpose: Callable[..., Any]
    concat: Callable[..., Any]
    softmax: Callable[..., Any]
    gelu: Callable[..., Any]
    mean: Callable[..., Any]
    for_each: Callable[..., Any]
    """(one, images) -> one for each of the images."""


def weights() -> Weights:
    """Of the transformer with one class token."""
    from tests.test_layers import made

    return {name: tensor.numpy() for name, tensor in made(fused=False).state_dict().items()}


def forward(f: Functions, w: Any, x: Any) -> Any:
    """(N, 32, 48, 3) -> (N, 5)."""

    def norm(x: Any, name: str) -> Any:
        away = x - f.mean(x)
        return away / (f.mean(away * away) + 1e-5) ** 0.5 * w[f"{name}.weight"] + w[f"{name}.bias"]

    def dense(x: Any, name: str) -> Any:
        return x @ f.transpose(w[f"{name}.weight"], (1, 0)) + w[f"{name}.bias"]

    kernel = f.reshape(f.transpose(w["patch_embed.weight"], (2, 3, 1, 0)), (192, 12))
    patches = f.reshape(f.transpose(f.reshape(x, (-1, 4, 8, 6, 8, 3)), (0, 1, 3, 2, 4, 5)), (-1, 24, 192))
    patches = patches @ kernel + w["patch_embed.bias"]
    tokens = f.concat([f.for_each(w["first"], x), patches], 1)
    for i in range(2):
        name = f"blocks.{i}"
        parts = f.reshape(dense(norm(tokens, f"{name}.norm1"), f"{name}.qkv"), (-1, 25, 3, 3, 4))
        q, k, v = (f.transpose(parts[:, :, j], (0, 2, 1, 3)) for j in range(3))
        mixed = f.softmax((q * 0.5) @ f.transpose(k, (0, 1, 3, 2))) @ v
        tokens = tokens + dense(f.reshape(f.transpose(mixed, (0, 2, 1, 3)), (-1, 25, 12)), f"{name}.proj")
        inner = f.gelu(dense(norm(tokens, f"{name}.norm2"), f"{name}.mlp.0"))
        tokens = tokens + dense(inner, f"{name}.mlp.2")
    return dense(norm(tokens, "norm")[:, 0], "head")


def in_jax() -> tuple[Any, Any]:
    """(f, params)."""
    import jax
    import jax.numpy as jnp

    functions = Functions(
        jnp.reshape,
        jnp.transpose,
        jnp.concatenate,
        jax.nn.softmax,
        lambda x: jax.nn.gelu(x, approximate=False),
        lambda x: jnp.mean(x, -1, keepdims=True),
        lambda one, images: jnp.repeat(one, images.shape[0], 0),
    )
    return lambda w, x: forward(functions, w, x), jax.tree.map(jnp.asarray, weights())


def in_tensorflow() -> Any:
    """A tf.Module."""
    import tensorflow as tf

    functions = Functions(
        tf.reshape,
        tf.transpose,
        tf.concat,
        tf.nn.softmax,
        tf.nn.gelu,
        lambda x: tf.reduce_mean(x, -1, keepdims=True),
        lambda one, images: tf.repeat(one, tf.shape(images)[0], 0),
    )

    class Net(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.w = {name: tf.Variable(value) for name, value in weights().items()}

        def __call__(self, x: Any) -> Any:
            return forward(functions, self.w, x)

    return Net()
