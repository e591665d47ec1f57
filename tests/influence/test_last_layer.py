"""The linear layer that a model ends in is found from gradients, and verified to be linear."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn

import saliency
from saliency.influence.last_layer import last_layer
from tests.conformance.models import subject
from tests.nets import small_net

IMAGES = torch.rand(3, 8, 8, 3, generator=torch.Generator().manual_seed(0))

KINDS = ("torch", "keras", "tensorflow", "jax")
MORE = ("equinox", "flax nnx")


@pytest.mark.parametrize("kind", [*KINDS, *(pytest.param(each, marks=pytest.mark.long) for each in MORE)])
def test_frameworks_find_the_same_head(kind: str) -> None:
    """The weights and the bias are those of the module, to 1e-5, in every framework."""
    model: Any = subject(kind).model
    net = small_net()

    found = last_layer(model, model.ops.asarray(subject(kind).images))

    assert_allclose(found.head.weights, net.head.weight.detach().numpy(), atol=1e-5)
    assert_allclose(found.head.bias, net.head.bias.detach().numpy(), atol=1e-5)
    assert found.head.loss == "softmax"


@pytest.mark.parametrize(
    "kind",
    [
        "torch transformer",
        *(pytest.param(f"{each} transformer", marks=pytest.mark.long) for each in ("jax", "tensorflow")),
    ],
)
def test_the_head_of_a_transformer_reads_the_class_token(kind: str) -> None:
    """The logits of a transformer are the head of its features, which are those of one token."""
    model: Any = subject(kind).model
    images = model.ops.asarray(subject(kind).images)
    found = last_layer(model, images)
    (values,) = model.at((), [found.layer]).activations(images, whole=True)
    features = found.features(model.ops.tohost(values))

    assert features.shape == (len(images), 12)
    assert_allclose(found.head.logits(features), model.ops.tohost(model.outputs(images)), atol=1e-5)


def test_a_layer_with_a_grid_is_pooled() -> None:
    """At the layer before a mean over places, the features are that mean."""
    net = small_net()
    found = last_layer(saliency.adapt(net), torch.rand(2, 24, 20, 3), "relu")

    assert found.pooled
    assert len(found.places) == 12 * 10
    assert_allclose(found.head.weights, net.head.weight.detach().numpy(), atol=1e-5)
    assert found.features(np.ones((2, 12, 10, 6))).shape == (2, 6)
    with pytest.raises(saliency.SaliencyError, match="fed at another size"):
        found.features(np.ones((2, 11, 10, 6)))


class Ended(nn.Module):
    """A convolution with a mean, and what is given after it."""

    def __init__(self, *after: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.after = nn.Conv2d(3, 5, 3), nn.Sequential(*after)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.after(torch.relu(self.conv(x)).mean((2, 3)))
        return scores


@pytest.mark.parametrize(
    ("after", "loss", "shape"),
    [
        ([nn.Linear(5, 4), nn.ReLU(), nn.Dropout(), nn.Linear(4, 3)], "softmax", (3, 4)),
        ([nn.Linear(5, 3), nn.Softmax(-1)], "softmax", (3, 5)),
        ([nn.Linear(5, 3), nn.LogSoftmax(-1)], "softmax", (3, 5)),
        ([nn.Linear(5, 3), nn.Sigmoid()], "sigmoid", (3, 5)),
        ([nn.Linear(5, 1), nn.Sigmoid()], "sigmoid", (1, 5)),
        ([nn.Linear(5, 100)], "softmax", (100, 5)),
    ],
)
def test_the_head_is_that_of_the_logits(after: list[nn.Module], loss: str, shape: tuple[int, int]) -> None:
    """An activation after the last linear layer is not part of the head; the loss is the one that belongs to it."""
    found = last_layer(saliency.adapt(Ended(*after)), IMAGES).head
    linear = [each for each in after if isinstance(each, nn.Linear)][-1]

    assert (found.loss, found.weights.shape) == (loss, shape)
    assert_allclose(found.weights, linear.weight.detach().numpy(), atol=1e-5)
    assert_allclose(found.bias, linear.bias.detach().numpy(), atol=1e-5)


class Beside(Ended):
    """A model whose scores also depend on the image by a path around its last layer."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x.mean((2, 3))


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        (Ended(nn.Linear(5, 3), nn.Tanh()), {"activation": "softmax"}, "no linear function of ':mean:0'"),
        (Beside(nn.Linear(5, 3)), {"activation": "softmax"}, "what remains of them there differs"),
        (Ended(nn.Linear(5, 1)), {}, "the loss of their training is unknown"),
        (Ended(nn.Linear(5, 3), nn.Hardsigmoid()), {}, "logits cannot be reached"),
        (lambda images: np.zeros((len(images), 3)), {}, "use saliency.influence.Snapshot"),
    ],
    ids=["not linear", "path around", "value", "probabilities", "function"],
)
def test_other_models_are_refused(net: Any, options: dict[str, Any], message: str) -> None:
    """The message names the layer, or what the outputs are, and the way out."""
    adapted = saliency.adapt(net, **options)
    with pytest.raises(saliency.Unsupported, match=message):
        last_layer(adapted, adapted.ops.asarray(IMAGES.numpy()))


@pytest.mark.long
@pytest.mark.needs("keras")
def test_keras_on_torch_finds_the_same_head() -> None:
    """The backend is chosen when Keras is imported, so this runs in a process of its own."""
    code = """
import numpy as np, keras, saliency
from saliency.influence.last_layer import last_layer
net = keras.Sequential([keras.layers.Conv2D(5, 3, activation="relu"), keras.layers.GlobalAveragePooling2D(),
                        keras.layers.Dense(3, activation="softmax")])
net.build((None, 8, 8, 3))
model = saliency.adapt(net)
found = last_layer(model, model.ops.asarray(np.random.default_rng(0).random((3, 8, 8, 3), np.float32)))
np.testing.assert_allclose(found.head.weights.T, keras.ops.convert_to_numpy(net.layers[-1].kernel), atol=1e-5)
print(found.layer)
"""
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)

    assert found.stdout.split() == ["global_average_pooling2d"], found.stderr
