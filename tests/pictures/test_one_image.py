"""A function of one image in place of one of a batch: the error has the line that wraps it, and the line works."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import saliency
from tests.nets import picture, small_net

IMAGE = picture(8, 8)
WEIGHTS = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)


def of_numpy() -> tuple[Any, dict[str, Any]]:
    """Wrong shape where a batch comes."""
    return (lambda image: image.mean((0, 1)) @ WEIGHTS), {"np": np}


def strict_numpy() -> tuple[Any, dict[str, Any]]:
    """Fails where a batch comes."""
    return (lambda image: np.einsum("hwc,ck->k", image, WEIGHTS)), {"np": np}


def of_torch() -> tuple[Any, dict[str, Any]]:
    """Adds the batch axis itself."""
    net = small_net()
    return (lambda image: net(image[None])[0]), {"torch": torch}


def of_jax() -> tuple[Any, dict[str, Any]]:
    """A function of JAX."""
    jax = pytest.importorskip("jax")
    return (lambda image: jax.numpy.einsum("hwc,ck->k", image, WEIGHTS)), {"jax": jax}


def of_tensorflow() -> tuple[Any, dict[str, Any]]:
    """A function of TensorFlow."""
    tf = pytest.importorskip("tensorflow")
    return (lambda image: tf.einsum("hwc,ck->k", image, WEIGHTS)), {"tf": tf}


KINDS: list[Callable[[], tuple[Any, dict[str, Any]]]] = [of_numpy, strict_numpy, of_torch, of_jax, of_tensorflow]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_error_has_the_line_that_wraps_the_function(kind: Callable[[], tuple[Any, dict[str, Any]]]) -> None:
    """The suggestion in the error works, and gives the function's own scores."""
    function, names = kind()
    with pytest.raises(saliency.BadOutput, match="takes one image; it must take a batch") as caught:
        saliency.explain(function, IMAGE, "occlusion", 1, size=4, stride=4, progress=False)
    (line,) = re.findall(r"Wrap it: saliency.explain\((.*), image\)\.$", str(caught.value))
    wrapped = eval(line, {"f": function, **names})  # our own line
    exp = saliency.explain(wrapped, IMAGE, "occlusion", 1, size=4, stride=4, progress=False)

    image: Any = IMAGE.astype(np.float32) / 255
    if kind is of_torch:
        with torch.no_grad():
            score = function(torch.from_numpy(np.moveaxis(image, -1, 0)))[1]
    else:
        score = function(image)[1]
    np.testing.assert_allclose(exp.score, float(score), rtol=1e-5)


def test_functions_of_a_batch_are_called_as_before() -> None:
    """An error of their own stays theirs."""

    def fails(images: np.ndarray) -> np.ndarray:
        raise KeyError("its own")

    with pytest.raises(KeyError, match="its own"):
        saliency.explain(fails, IMAGE, "occlusion", 1, progress=False)
