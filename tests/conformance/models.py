"""The models on which every method is checked: one small CNN and one small transformer in each framework.

A new adapter adds one line to :data:`CNNS`, and to :data:`TRANSFORMERS` where the framework has attention. Each
function imports its own framework.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import saliency
from saliency.core.method import Method
from saliency.model.protocols import Adapted, Attentive, lacking
from tests.adapters import same_net, same_transformer
from tests.api.test_layers import made
from tests.nets import black_box, picture, small_net

NO_ATTENTION = "No attention maps were found in"
"""The error of a model without attention."""


def jax_function(dtype: str) -> Any:
    """Return (f, params) of the CNN."""
    return same_net.pure_jax, same_net.weights(dtype)


def torch_net(dtype: str) -> Any:
    """Return the CNN as a torch module."""
    return small_net().to(getattr(torch, dtype))


CNNS: dict[str, Callable[[str], Any]] = {
    "torch": torch_net,
    "torch function": lambda dtype: saliency.adapt(torch_net(dtype).forward, framework="torch"),
    "function": lambda dtype: black_box(torch_net(dtype)),
    "onnx": lambda _: same_net.onnx(same_net.weights()),  # ONNX Runtime has no convolution in float64 on CPUs
    "tensorflow": lambda dtype: same_net.tf_module(same_net.weights(dtype)),
    "keras": lambda dtype: same_net.keras(same_net.weights(dtype)),
    "jax": jax_function,
    "flax": lambda dtype: same_net.linen(same_net.weights(dtype)),
    "flax nnx": lambda dtype: same_net.nnx(same_net.weights(dtype)),
    "equinox": lambda dtype: same_net.equinox(same_net.weights(dtype)),
}
"""The CNN :class:`tests.nets.SmallNet`, by the type it computes in; torch's is the reference."""

TRANSFORMERS: dict[str, Callable[[str], Any]] = {
    "torch transformer": lambda dtype: made(fused=False).to(getattr(torch, dtype)),
    "tensorflow transformer": same_transformer.in_tensorflow,
    "keras transformer": same_transformer.in_keras,
    "jax transformer": same_transformer.in_jax,
    "equinox transformer": same_transformer.in_equinox,
}
"""The transformer of tests/api/test_layers.py, by the type it computes in; torch's is the reference."""

MODELS = {**CNNS, **TRANSFORMERS}

PACKAGES = {
    "onnx": ("onnx", "onnxruntime"),
    "tensorflow": ("tensorflow",),
    "keras": ("keras", "tensorflow"),
    "jax": ("jax",),
    "flax": ("flax",),
    "equinox": ("equinox",),
}
"""Packages that a model needs besides torch, by the first word of its name."""


@dataclass(frozen=True)
class Subject:
    """A model and the images that it is checked with.

    Args:
        user: the user's model.
        images: float32 (2, H, W, 3) in [0, 1].
        attends: True if it has attention.
    """

    user: Any
    images: np.ndarray = field(repr=False)
    attends: bool = False

    @property
    def model(self) -> Adapted[Any]:
        """Return the adapted model."""
        return saliency.adapt(self.user)

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of an image, (H, W, 3)."""
        return self.images.shape[1:]

    def refusal(self, cls: type[Method]) -> str | None:
        """Return the sentence with which the model refuses a method, or None."""
        why = lacking(self.model, cls().needs)
        return NO_ATTENTION if why is None and reads_attention(cls) and not self.attends else why


def reads_attention(cls: type[Method]) -> bool:
    """Return whether a method reads attention maps."""
    return Attentive in cls().needs.__mro__


@cache
def subject(name: str, dtype: str = "float32") -> Subject:
    """Return the model of that name; created once in a process, because compiling takes most of the time."""
    for package in PACKAGES.get(name.partition(" ")[0], ()):
        pytest.importorskip(package)
    if runs_in_jax(name):
        import jax

        config: Any = jax.config
        config.update("jax_disable_most_optimizations", True)
    attends = name in TRANSFORMERS
    size = (32, 48) if attends else (24, 20)
    images = np.stack([picture(*size, seed=seed) for seed in (0, 1)]).astype(np.float32) / 255
    return Subject(MODELS[name](dtype), images, attends)


@contextmanager
def precise(name: str) -> Iterator[Subject]:
    """Yield the model of that name in float64, where rounding does not decide which of two similar values is larger.

    In float32 a strongly blurred image has equal values in a window of the max-pool, and the gradient goes to
    whichever the batch size rounds up.
    """
    with double_precision() if runs_in_jax(name) else nullcontext():
        yield subject(name, "float64")


def runs_in_jax(name: str) -> bool:
    """Return whether the model of that name is computed by JAX."""
    return bool({"jax", "flax", "equinox"} & set(name.split()))


def double_precision() -> Any:
    """Return the context in which JAX computes in float64."""
    jax = pytest.importorskip("jax")
    return jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64()
