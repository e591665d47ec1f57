"""Invalid or difficult input: each cause has one message and one test.

| cause | what happens | its test |
|---|---|---|
| frozen parameters | the same mask | adapters/test_torch.py: frozen_parameters |
| `no_grad`, `inference_mode` around | the same mask | adapters/test_torch.py: the_caller_s_surroundings |
| `no_grad`, `inference_mode` inside | NoGradient: where gradients are switched off | here |
| `detach` inside, argmax, rounding | NoGradient: where it is detached, or becomes integers | here |
| NaN or infinite logits, or gradients | BadOutput | adapters/test_torch.py: not_finite |
| wrong channel count | BadImage, with the model's own words | here, in each framework |
| wrong resolution | resized where one size is known, else BadImage with the model's words | here |
| a batch where one image is meant | BadImage | here; pictures/test_picture.py |
| a target beyond the classes | BadTarget | here; model/test_targets.py |
| one output: a logit, a probability, a value | read by its last operator and labels; noted | adapters/test_heads.py |
| several outputs | BadOutput: each with its line, unless labels or a name say which | adapters/test_heads.py |
| Keras models with preprocessing inside | fed 0–255; noted | adapters/test_keras.py: preprocessing_inside |
| models that write into their input | the same mask, the image as it was | here; adapters/test_torch.py |
| a layer name that does not exist | UnknownName, with the nearest | here, in each framework |
| a layer without a grid | BadOutput, with its shape | adapters/test_torch.py: layer_without_a_grid; here |
| quantised, scripted models | Unsupported: why, and what works | adapters/test_torch_turned.py |
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import saliency
from tests.adapters import same_net
from tests.nets import black_box, picture, small_net

IMAGE = picture()


def explain(model: Any, method: Any = "gradient", target: Any = 1, image: Any = IMAGE, **options: Any) -> Any:
    """Explain class 1 of the picture, without a bar."""
    return saliency.explain(model, image, method, target, progress=False, **options)


class Doing(nn.Module):
    """SmallNet, and something on the way."""

    def __init__(self, forward: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.way = small_net(), forward

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self.net, x)


def without_gradients(net: nn.Module, x: Tensor) -> Tensor:
    """As a helper for inference is often written."""
    with torch.no_grad():
        return net(x)


def in_inference_mode(net: nn.Module, x: Tensor) -> Tensor:
    """The same, of today."""
    with torch.inference_mode():
        return net(x)


def beside(net: nn.Module, x: Tensor) -> Tensor:
    """A score that has a gradient, and an argmax that has none."""
    scores = net(x)
    return scores + scores.argmax(1)[:, None]


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (without_gradients, r"gradients are switched off \(torch.no_grad or inference_mode\)"),
        (in_inference_mode, r"gradients are switched off \(torch.no_grad or inference_mode\)"),
        (lambda net, x: net(x.detach()), "does not depend on it|detached from the graph"),
        (lambda net, x: net(x).argmax(1), r"at argmax\(\) .* becomes torch.int64, and integers .* an output before it"),
        (beside, None),
        (lambda net, x: nn.functional.one_hot(net(x).argmax(1), 4), "becomes torch.int64, and integers"),
        (lambda net, x: torch.tensor(np.asarray(net(x).tolist())).float(), "computes outside torch"),
    ],
    ids=["no_grad", "inference_mode", "detach", "argmax", "argmax beside", "one-hot", "lists"],
)
@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "grad_cam"])
def test_the_error_for_a_missing_gradient_names_the_operator(forward: Any, message: str | None, method: str) -> None:
    """Every method that needs one names the operator, and what to do; where the gradient is there it is taken."""
    options: dict[str, Any] = {"layer": "net.relu"} if method == "grad_cam" else {}
    if message is None:
        assert np.isfinite(explain(Doing(forward), method, 0, **options).mask).all()
        return
    with pytest.raises(saliency.NoGradient, match=message):
        explain(Doing(forward), method, 0, **options)


def writes_numpy(images: np.ndarray) -> np.ndarray:
    """Normalises in place."""
    images -= 0.5
    return np.asarray(black_box(small_net())(images))


def test_a_function_that_writes_into_its_input_is_explained() -> None:
    """Picture and mask are unchanged: each call gets its own copy of the images."""
    image = IMAGE.astype(np.float32) / 255
    before = image.copy()
    exp = explain(writes_numpy, "occlusion", image=image, framework="numpy", size=8, stride=8)
    clean = explain(
        lambda x: black_box(small_net())(x - np.float32(0.5)),
        "occlusion",
        image=image,
        framework="numpy",
        size=8,
        stride=8,
    )

    np.testing.assert_array_equal(image, before)
    np.testing.assert_allclose(exp.mask, clean.mask, atol=1e-6)


def flat_torch() -> nn.Module:
    """Its head takes pictures of 24×20 alone."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.Flatten(), nn.Linear(2 * 24 * 20, 3)).eval()


def flat_tensorflow() -> Any:
    """The same in TensorFlow."""
    tf = pytest.importorskip("tensorflow")
    head = tf.constant(np.ones((24 * 20 * 3, 3), np.float32))
    return tf.function(lambda x: tf.reshape(x, (tf.shape(x)[0], x.shape[1] * x.shape[2] * x.shape[3])) @ head)


def flat_jax() -> Any:
    """The same in JAX."""
    pytest.importorskip("jax")
    return (lambda head, x: x.reshape(len(x), -1) @ head), np.ones((24 * 20 * 3, 3), np.float32)


FLAT = {"torch": flat_torch, "TensorFlow": flat_tensorflow, "JAX": flat_jax}


@pytest.mark.parametrize("shape", [(12, 10, 3), (24, 20, 4)], ids=["resolution", "channels"])
@pytest.mark.parametrize("kind", FLAT)
def test_the_error_for_a_wrong_shape_quotes_the_model(kind: str, shape: tuple[int, ...]) -> None:
    """The error gives the input's shape, the fix, and the model's own message."""
    height, width, channels = shape
    message = rf"{channels} channels at {height}×{width} pixels. Pass preprocess=.*Original error: \S+"
    assert np.isfinite(explain(FLAT[kind]()).mask).all()
    with pytest.raises(saliency.BadImage, match=re.compile(message, re.DOTALL)):
        explain(FLAT[kind](), image=picture(*shape))


def small_torch() -> nn.Module:
    """Takes pictures of 32×32 at least."""
    layers = nn.Conv2d(3, 4, 7, 2), nn.MaxPool2d(4), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4, 5)).eval()


def small_keras() -> Any:
    """The same in Keras."""
    keras = pytest.importorskip("keras")
    layers = keras.layers.Conv2D(4, 7, 2), keras.layers.MaxPooling2D(4), keras.layers.Conv2D(4, 3)
    ends = keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(5)
    return keras.Sequential([keras.Input((None, None, 3)), *layers, *ends])


def small_jax() -> Any:
    """A function of JAX, whose head is for pictures of 32×32."""
    jax = pytest.importorskip("jax")
    weights = np.ones((25, 25, 3, 5), np.float32), np.ones((8 * 8 * 5, 5), np.float32)

    def call(weights: Any, x: Any) -> Any:
        layout = ("NHWC", "HWIO", "NHWC")
        found = jax.lax.conv_general_dilated(x, weights[0], (1, 1), "VALID", dimension_numbers=layout)
        return found.reshape(len(x), -1) @ weights[1]

    return call, weights


def small_tensorflow() -> Any:
    """The same in TensorFlow."""
    tf = pytest.importorskip("tensorflow")
    kernel = tf.ones((25, 25, 3, 5))
    return tf.function(lambda x: tf.reduce_mean(tf.nn.conv2d(x, kernel, 1, "VALID"), (1, 2)))


@pytest.mark.parametrize(
    "make", [small_torch, small_keras, small_jax, small_tensorflow], ids=lambda make: make.__name__
)
def test_a_picture_that_is_too_small_is_refused(make: Callable[[], Any]) -> None:
    """In our words, with the line that makes it larger, and then with the model's own words."""
    message = r"3 channels at 20×20 pixels.*image=image.resize\(\(224, 224\)\). Original error: \S+"
    with pytest.raises(saliency.BadImage, match=re.compile(message, re.DOTALL)):
        explain(make(), image=picture(20, 20))


def test_a_batch_is_refused() -> None:
    """A batch is refused where one image is expected, with its shape."""
    with pytest.raises(saliency.BadImage, match=r"a batch of 4 with shape \(4, 24, 20, 3\): pass one"):
        explain(small_net(), image=np.stack([IMAGE] * 4))


LAYERED: dict[str, Callable[[], Any]] = {
    "torch": small_net,
    "TensorFlow": lambda: same_net.tf_module(same_net.weights()),
    "JAX": lambda: same_net.linen(same_net.weights()),
}


@pytest.mark.parametrize("kind", LAYERED)
def test_unknown_names_are_refused(kind: str) -> None:
    """A class beyond the last with how many there are; a layer with the nearest names; a layer without a grid."""
    pytest.importorskip({"TensorFlow": "tensorflow", "JAX": "flax"}.get(kind, "torch"))
    model = LAYERED[kind]()
    wrong, vector = {"TensorFlow": ("Relu_9", "matmul"), "JAX": ("blok", "head")}.get(kind, ("blok", "head"))
    with pytest.raises(saliency.BadTarget, match=r"4 classes \(0 to 3\), got target 7"):
        explain(model, target=7)
    with pytest.raises(saliency.UnknownName, match=rf"no layer '{wrong}'. Did you mean"):
        explain(model, "grad_cam", layer=wrong)
    with pytest.raises(saliency.BadOutput, match=rf"spatial grid.*\(1, 4\) from '{vector}'"):
        explain(model, "grad_cam", layer=vector)


def test_the_table_names_tests_that_exist() -> None:
    """Each file and test that the table above refers to is there."""
    folder = Path(__file__).parents[1]
    for line in (__doc__ or "").splitlines():
        for file, name in re.findall(r"([\w/]+\.py)(?:: (\w+))?", line.rpartition("|")[0]):
            text = (folder / file).read_text(encoding="utf-8")
            assert re.search(rf"def test_\w*{name}", text), line
