"""A model is cut at a layer: tail(head(image)) are its scores; layers with a way around them are refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn

import saliency
from saliency.adapters.multi_input import adapt_several
from saliency.core.deep_lift import DeepLift
from saliency.model.inputs import Packing
from saliency.model.protocols import Cut, Cuttable, lacking
from saliency.session.session import Session
from tests.adapters.two_inputs import FACTS, SERIES, TwoInputs
from tests.conformance.models import subject
from tests.nets import black_box, picture, small_net

LAYERS = {
    "torch": ("norm", "relu"),
    "keras": ("stem",),
    "tensorflow": ("add", "Relu_1"),
    "jax": (":add:0", ":relu:1"),
    "equinox": ("norm",),
    "torch transformer": ("patch_embed", "blocks.0"),
}
"""By kind of model, layers that cut it."""

MORE = {
    "keras": ("relu",),
    "flax nnx": ("norm", ":relu:1"),
    "tensorflow transformer": ("add_5", "add_10"),
    "jax transformer": (":add:5", ":add:22"),
}
"""The same for `make test-long`."""

TARGETS = (1, 2)
AROUND = "does not cut .* by a path around it"


def parts(kind: str, layer: str) -> tuple[Any, Any, Cut[Any]]:
    """Return the bound model of that kind, its images, and the model cut at a layer."""
    bound: Any = subject(kind).model.at(TARGETS)
    images = bound.ops.asarray(subject(kind).images)
    return bound, images, bound.cut(layer, images)


@pytest.mark.parametrize(
    ("kind", "layer"),
    [
        *((kind, layer) for kind, layers in LAYERS.items() for layer in layers),
        *(pytest.param(kind, each, marks=pytest.mark.long) for kind, layers in MORE.items() for each in layers),
    ],
)
def test_the_tail_of_the_head_is_the_model(kind: str, layer: str) -> None:
    """At a layer that cuts, the tail has the model's scores, and its gradients are those of the layer."""
    bound, images, cut = parts(kind, layer)
    ops, values = bound.ops, cut.head.outputs(images)  # type: ignore[attr-defined]
    (read,) = bound.at(TARGETS, [layer]).layers(images, whole=True)
    answer = cut.tail.gradients(values)  # type: ignore[attr-defined]

    assert_allclose(ops.tohost(cut.tail.scores(values)), ops.tohost(bound.scores(images)), rtol=1e-4, atol=1e-5)
    assert_allclose(ops.tohost(values), ops.tohost(read.activations), rtol=1e-5)
    assert_allclose(ops.tohost(answer.gradients), ops.tohost(read.gradients), rtol=1e-3, atol=1e-5)
    assert cut.grid is not None
    assert cut.before + np.prod(cut.grid) == np.prod(values.shape[1:-1])


@pytest.mark.parametrize("kind", ["torch", "keras", "tensorflow", "jax"])
def test_rules_run_on_the_tail(kind: str) -> None:
    """DeepLIFT on the tail sums to the difference of the scores of the two values of the layer."""
    bound, images, cut = parts(kind, LAYERS[kind][0])
    values = cut.head.outputs(images)  # type: ignore[attr-defined]
    *_, mask = DeepLift(baseline=0.0)(values, Session(cut.tail))
    rise = cut.tail.scores(values) - cut.tail.scores(0 * values)

    assert_allclose(bound.ops.tohost(mask).sum((2, 3, 4)), bound.ops.tohost(rise), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["torch", "tensorflow", "jax"])
def test_the_head_scores_units(kind: str) -> None:
    """The head is a model whose scores are channels of the layer, or functions of its activations."""
    bound, images, cut = parts(kind, LAYERS[kind][1])
    head: Any = cut.head
    values = bound.ops.tohost(head.outputs(images))
    found = head.at([3, slice(1, 3), lambda layer: layer[:, 1, 2, 0]])

    expected = [values[..., 3].mean((1, 2)), values[..., 1:3].mean((1, 2)).sum(-1), values[:, 1, 2, 0]]
    assert_allclose(bound.ops.tohost(found.scores(images)), expected, rtol=1e-5)
    assert found.gradients(images).gradients.shape == (3, *images.shape)


@pytest.mark.parametrize(("kind", "layer"), [("keras", "block"), ("tensorflow", "Conv2D_1"), ("equinox", "block")])
def test_layers_beside_a_skip_connection_are_refused(kind: str, layer: str) -> None:
    """A layer does not cut where the scores depend on the image by a skip connection around it."""
    with pytest.raises(saliency.Unsupported, match=AROUND):
        parts(kind, layer)


class Around(nn.Module):
    """A convolution with a way around it on which no gradient flows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        brightness = x.detach().mean((1, 2, 3))[:, None]
        return self.head(self.relu(self.conv(x)).mean((2, 3))) * (1 + brightness)


def test_a_way_around_without_gradients_is_found() -> None:
    """A layer does not cut where the scores depend on the image by detached values only."""
    with pytest.raises(saliency.Unsupported, match=AROUND):
        saliency.adapt(Around()).cut("conv")  # type: ignore[attr-defined]


def test_the_next_layer_that_cuts_is_named() -> None:
    """The error for a layer inside a residual block names the sum after it, which does cut."""
    with pytest.raises(saliency.Unsupported, match="the next one that does is ':add_:0'"):
        saliency.adapt(small_net()).cut("block")  # type: ignore[attr-defined]


def test_unknown_layers_get_near_names() -> None:
    """The error for a layer that does not exist names near ones."""
    with pytest.raises(saliency.UnknownName, match="Did you mean 'block'"):
        saliency.adapt(small_net()).cut("blok")  # type: ignore[attr-defined]


def test_layers_after_the_scores_are_refused() -> None:
    """A layer that the scores do not depend on does not cut."""

    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.idle = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = x.mean((2, 3))
            self.idle(x)
            return self.net(x)

    with pytest.raises(saliency.Unsupported, match="by a path around it"):
        saliency.adapt(Idle()).cut("idle")  # type: ignore[attr-defined]


def test_functions_cannot_be_cut() -> None:
    """A model whose layers are hidden gives the reason."""
    model = saliency.adapt(black_box(small_net()))

    assert lacking(model, Cuttable) is not None
    with pytest.raises(saliency.Unsupported, match="a layer's activations"):
        model.cut("block")  # type: ignore[attr-defined]


def test_a_tail_has_no_other_layers() -> None:
    """A cut model has no layers of its own, and units are no targets of it."""
    model = saliency.adapt(small_net())
    cut = model.at([1]).cut("norm")  # type: ignore[attr-defined]

    with pytest.raises(saliency.Unsupported, match="part of a model after a cut"):
        cut.tail.cut("block")
    with pytest.raises(saliency.Unsupported, match="a unit of 'relu'"):
        model.at([saliency.targets.unit("relu", 0)]).cut("norm")  # type: ignore[attr-defined]


def test_values_of_another_shape_are_refused() -> None:
    """The tail takes the layer's own values only."""
    cut = saliency.adapt(small_net()).at([1]).cut("norm", torch.zeros(1, 24, 20, 3))  # type: ignore[attr-defined]

    with pytest.raises(saliency.BadShape, match="must have its shape"):
        cut.tail.scores(torch.zeros(1, 5, 5, 6))


def test_the_model_is_not_changed() -> None:
    """Cutting calls a copy: the module keeps its state, and its scores stay the same."""
    net = small_net().train()
    before = {name: each.clone() for name, each in net.state_dict().items()}
    cut = saliency.adapt(net).at([1]).cut("norm", torch.rand(1, 24, 20, 3))  # type: ignore[attr-defined]
    cut.tail.gradients(cut.head.outputs(torch.rand(2, 24, 20, 3)))

    assert net.training
    assert all(torch.equal(each, net.state_dict()[name]) for name, each in before.items())


def test_vectors_are_cut() -> None:
    """A hidden layer of a model of several inputs cuts it, too."""
    adapted: Any = adapt_several(TwoInputs(), Packing([SERIES.shape[1:], FACTS.shape[1:]]))
    row = adapted.ops.asarray(np.concatenate([SERIES.reshape(1, -1), FACTS], 1))
    cut = adapted.at(TARGETS).cut(":tanh:0", row)
    values = cut.head.outputs(row)

    assert cut.grid is None
    assert values.shape == (1, 7)
    assert_allclose(cut.tail.scores(values), adapted.at(TARGETS).scores(row), rtol=1e-5)


def test_the_last_call_of_a_layer_counts() -> None:
    """Of a layer that is called twice, the last call is cut."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.act, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Tanh(), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.act(self.conv(self.act(self.conv(x)))).mean((2, 3)))

    net = Twice()
    image = torch.rand(1, 8, 8, 3)
    cut = saliency.adapt(net).at([0]).cut("act", image)  # type: ignore[attr-defined]
    values = torch.rand(1, 8, 8, 3)

    assert_allclose(cut.tail.scores(values)[0], net.head(values.mean((1, 2)))[:, 0].detach(), rtol=1e-5)


@pytest.mark.long
def test_keras_on_torch_is_cut() -> None:
    """A Keras model on the torch backend is cut like on the others; the backend is fixed per process."""
    checkout = Path(__file__).parents[2]
    env = {**os.environ, "KERAS_BACKEND": "torch", "PYTHONPATH": str(checkout)}
    code = (
        "from tests.adapters import same_net, test_cut\n"
        "import saliency, numpy as np\n"
        "model = saliency.adapt(same_net.keras(same_net.weights()))\n"
        "test_cut.check_keras(model)\n"
    )
    subprocess.run([sys.executable, "-c", code], env=env, cwd=checkout, check=True, timeout=240)


def check_keras(model: Any) -> None:
    """Check the cuts of the little CNN in Keras, on the current backend."""
    images = model.ops.asarray(picture(24, 20)[None].astype(np.float32) / 255)
    bound = model.at(TARGETS)
    for name in ("stem", "relu"):
        cut = bound.cut(name, images)
        values = cut.head.outputs(images)
        *_, mask = DeepLift(baseline=0.0)(values, Session(cut.tail))
        rise = cut.tail.scores(values) - cut.tail.scores(0 * values)
        (layer,) = bound.at(TARGETS, [name]).layers(images)

        assert_allclose(cut.tail.scores(values), bound.scores(images), rtol=1e-4)
        assert_allclose(cut.tail.gradients(values).gradients, layer.gradients, rtol=1e-3, atol=1e-6)
        assert_allclose(mask.sum((2, 3, 4)), rise, rtol=1e-3, atol=1e-5)
    with pytest.raises(saliency.Unsupported, match=AROUND):
        bound.cut("block", images)
