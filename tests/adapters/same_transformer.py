"""tests.api.test_layers' transformer from the same weights in JAX, TensorFlow and Keras, its attention written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Weights = dict[str, np.ndarray]


class Functions(NamedTuple):
    """The functions that the transformer needs, in one framework."""

    reshape: Callable[..., Any]
    transpose: Callable[..., Any]
    concat: Callable[..., Any]
    softmax: Callable[..., Any]
    gelu: Callable[..., Any]
    mean: Callable[..., Any]
    for_each: Callable[..., Any]
    """(one, images) -> one for each of the images."""


def weights(dtype: str = "float32") -> Weights:
    """Return the weights of the transformer with one class token."""
    from tests.api.test_layers import made

    return {name: tensor.numpy().astype(dtype) for name, tensor in made(fused=False).state_dict().items()}


def norm(f: Functions, w: Any, x: Any, name: str) -> Any:
    """Layer norm."""
    away = x - f.mean(x)
    return away / (f.mean(away * away) + 1e-5) ** 0.5 * w[f"{name}.weight"] + w[f"{name}.bias"]


def dense(f: Functions, w: Any, x: Any, name: str) -> Any:
    """A product with weights, and a bias."""
    return x @ f.transpose(w[f"{name}.weight"], (1, 0)) + w[f"{name}.bias"]


def embed(f: Functions, w: Any, x: Any) -> Any:
    """(N, 32, 48, 3) -> (N, 25, 12): a class token and 4×6 patches."""
    kernel = f.reshape(f.transpose(w["patch_embed.weight"], (2, 3, 1, 0)), (192, 12))
    patches = f.reshape(f.transpose(f.reshape(x, (-1, 4, 8, 6, 8, 3)), (0, 1, 3, 2, 4, 5)), (-1, 24, 192))
    return f.concat([f.for_each(w["first"], x), patches @ kernel + w["patch_embed.bias"]], 1)


def block(f: Functions, w: Any, tokens: Any, name: str) -> Any:
    """(N, 25, 12) -> (N, 25, 12)."""
    parts = f.reshape(dense(f, w, norm(f, w, tokens, f"{name}.norm1"), f"{name}.qkv"), (-1, 25, 3, 3, 4))
    q, k, v = (f.transpose(parts[:, :, j], (0, 2, 1, 3)) for j in range(3))
    mixed = f.softmax((q * 0.5) @ f.transpose(k, (0, 1, 3, 2))) @ v
    tokens = tokens + dense(f, w, f.reshape(f.transpose(mixed, (0, 2, 1, 3)), (-1, 25, 12)), f"{name}.proj")
    inner = f.gelu(dense(f, w, norm(f, w, tokens, f"{name}.norm2"), f"{name}.mlp.0"))
    return tokens + dense(f, w, inner, f"{name}.mlp.2")


def forward(f: Functions, w: Any, x: Any) -> Any:
    """(N, 32, 48, 3) -> (N, 5)."""
    tokens = embed(f, w, x)
    for i in range(2):
        tokens = block(f, w, tokens, f"blocks.{i}")
    return dense(f, w, norm(f, w, tokens, "norm")[:, 0], "head")


def in_jax(dtype: str = "float32") -> tuple[Any, Any]:
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
    return lambda w, x: forward(functions, w, x), jax.tree.map(jnp.asarray, weights(dtype))


def in_equinox(dtype: str = "float32") -> Any:
    """A module of one image (C, H, W), with Equinox's own attention."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    w, key = {name: jnp.asarray(each) for name, each in weights(dtype).items()}, jax.random.PRNGKey(0)

    def filled(made: Any, weight: Any, bias: Any) -> Any:
        return eqx.tree_at(lambda part: (part.weight, part.bias), made, (weight, bias))

    def linear(name: str, rows: slice = slice(None)) -> Any:
        weight, bias = w[f"{name}.weight"][rows], w[f"{name}.bias"][rows]
        return filled(eqx.nn.Linear(weight.shape[1], weight.shape[0], key=key), weight, bias)

    def norm_of(name: str) -> Any:
        return filled(eqx.nn.LayerNorm(12), w[f"{name}.weight"], w[f"{name}.bias"])

    class Block(eqx.Module):
        norms: list[Any]
        attention: Any
        mlp: list[Any]

        def __init__(self, name: str) -> None:
            self.norms = [norm_of(f"{name}.norm{i}") for i in (1, 2)]
            parts = [linear(f"{name}.qkv", slice(12 * i, 12 * i + 12)) for i in range(3)]
            biased = {f"use_{part}_bias": True for part in ("query", "key", "value", "output")}
            self.attention = eqx.tree_at(
                lambda part: (part.query_proj, part.key_proj, part.value_proj, part.output_proj),
                eqx.nn.MultiheadAttention(3, 12, **biased, key=key),
                (*parts, linear(f"{name}.proj")),
            )
            self.mlp = [linear(f"{name}.mlp.0"), linear(f"{name}.mlp.2")]

        def __call__(self, tokens: Any) -> Any:
            x = jax.vmap(self.norms[0])(tokens)
            tokens = tokens + self.attention(x, x, x)
            inner = jax.nn.gelu(jax.vmap(self.mlp[0])(jax.vmap(self.norms[1])(tokens)), approximate=False)
            return tokens + jax.vmap(self.mlp[1])(inner)

    class Net(eqx.Module):
        patch: Any
        first: Any
        blocks: list[Any]
        norm: Any
        head: Any

        def __call__(self, x: Any) -> Any:
            tokens = jnp.concatenate([self.first, self.patch(x).reshape(12, -1).T])
            for each in self.blocks:
                tokens = each(tokens)
            return self.head(self.norm(tokens[0]))

    patch = eqx.nn.Conv2d(3, 12, 8, 8, key=key)
    patch = filled(patch, w["patch_embed.weight"], w["patch_embed.bias"][:, None, None])
    return Net(patch, w["first"][0], [Block("blocks.0"), Block("blocks.1")], norm_of("norm"), linear("head"))


def in_tensorflow(dtype: str = "float32") -> Any:
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
            self.w = {name: tf.Variable(value) for name, value in weights(dtype).items()}

        def __call__(self, x: Any) -> Any:
            return forward(functions, self.w, x)

    return Net()


def in_keras(dtype: str = "float32") -> Any:
    """A Keras model of four layers: "embed", "attention_0", "attention_1" and "head"."""
    import keras

    functions = Functions(
        keras.ops.reshape,
        keras.ops.transpose,
        keras.ops.concatenate,
        keras.ops.softmax,
        lambda x: keras.ops.gelu(x, approximate=False),
        lambda x: keras.ops.mean(x, -1, keepdims=True),
        lambda one, images: keras.ops.repeat(one, keras.ops.shape(images)[0], 0),
    )
    arrays = weights(dtype)

    class Part(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, name: str, call: Callable[[Functions, Any, Any], Any]) -> None:
            super().__init__(name=name, dtype=dtype)
            self.made = call
            self.arrays = {name: keras.Variable(each, dtype=dtype) for name, each in arrays.items()}

        def call(self, x: Any) -> Any:
            return self.made(functions, {name: keras.ops.cast(each, x.dtype) for name, each in self.arrays.items()}, x)

    parts = [
        Part("embed", embed),
        Part("attention_0", lambda f, w, x: block(f, w, x, "blocks.0")),
        Part("attention_1", lambda f, w, x: block(f, w, x, "blocks.1")),
        Part("head", lambda f, w, x: dense(f, w, norm(f, w, x, "norm")[:, 0], "head")),
    ]
    return keras.Sequential([keras.Input((32, 48, 3), dtype=dtype), *parts])


def windows_in_keras() -> Any:
    """A Keras model that attends within four windows of a map of 8×8, and then within all of one of 4×4."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)

    class Attention(layers.Layer):  # type: ignore[misc]
        def __init__(self, side: int) -> None:
            super().__init__(name=f"attention_{side}")
            self.side = side

        def call(self, x: Any) -> Any:
            side, count = self.side, self.side // 4
            windows = keras.ops.reshape(x, (-1, count, 4, count, 4, 6))
            tokens = keras.ops.reshape(keras.ops.transpose(windows, (0, 1, 3, 2, 4, 5)), (-1, 1, 16, 6))
            maps = keras.ops.softmax(tokens @ keras.ops.transpose(tokens, (0, 1, 3, 2)))
            mixed = keras.ops.reshape(maps @ tokens, (-1, count, count, 4, 4, 6))
            return x + keras.ops.reshape(keras.ops.transpose(mixed, (0, 1, 3, 2, 4, 5)), (-1, side, side, 6))

    inputs = keras.Input((32, 32, 3))
    x = Attention(8)(layers.Conv2D(6, 4, 4)(inputs))
    x = Attention(4)(layers.Conv2D(6, 2, 2)(x))
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
