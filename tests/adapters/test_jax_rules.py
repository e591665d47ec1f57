"""Backward passes that follow rules, on JAX: the masks are those of torch on the same weights, in whatever words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import saliency
from saliency.core.catalogue import METHODS
from saliency.model.protocols import Rewirable
from saliency.rules import Composite
from tests.adapters import same_net
from tests.frameworks import lazy
from tests.nets import near, small_net

jax, jnp = lazy("jax"), lazy("jax.numpy")
pytestmark = pytest.mark.needs("jax", "flax", "equinox")

X = np.random.default_rng(0).random((16, 14, 3), np.float32)
BY_RULES = [name for name, cls in METHODS.items() if cls().needs is Rewirable]
WRITTEN = ("pure_jax", "linen", "nnx", "equinox")

# Ours, by its name in jax.nn or as a function, and torch's.
ACTIVATIONS: dict[str, tuple[str | Callable[[Any], Any], Callable[[Any], Any]]] = {
    "maximum": (lambda x: jnp.maximum(x, 0), torch.relu),
    "where": (lambda x: jnp.where(x > 0, x, 0.0), torch.relu),
    "clip": (lambda x: jnp.clip(x, 0, 6), functional.relu6),
    "relu6": ("relu6", functional.relu6),
    "leaky": (lambda x: jax.nn.leaky_relu(x, 0.1), lambda x: functional.leaky_relu(x, 0.1)),
    "elu": ("elu", functional.elu),
    "gelu": (lambda x: jax.nn.gelu(x, approximate=False), functional.gelu),
    "gelu by tanh": ("gelu", lambda x: functional.gelu(x, approximate="tanh")),
    "silu": ("silu", functional.silu),
    "silu by hand": (lambda x: x / (1 + jnp.exp(-x)), functional.silu),
    "softplus": ("softplus", functional.softplus),
    "tanh": ("tanh", torch.tanh),
    "sigmoid": ("sigmoid", torch.sigmoid),
}


def explained(model: Any, method: Any, **options: Any) -> np.ndarray:
    """The mask of the picture for class 1, without a bar."""
    return np.asarray(saliency.explain(model, X, method, 1, progress=False, **options).mask)


def adapted(model: Any) -> Any:
    """The model as methods see it."""
    return saliency.adapt(model)


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    """SmallNet in every flavour of JAX."""
    w = same_net.weights()
    functions = {name: getattr(same_net, name) for name in WRITTEN if name != "pure_jax"}
    return {"pure_jax": (same_net.pure_jax, jax.tree.map(jnp.asarray, w))} | {
        name: make(w) for name, make in functions.items()
    }


@pytest.mark.agreement
@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("method", BY_RULES)
def test_agrees_with_torch(models: dict[str, Any], method: str, written: str) -> None:
    """Bias, batch norm, residual, pooling: put together from mathematics, they are torch's operators."""
    near(explained(models[written], method), explained(small_net(), method))


@pytest.mark.parametrize("method", ["guided_backprop", "deep_lift"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_known_by_what_they_do(activation: str, method: str) -> None:
    """A rectifier, and what else makes one value of one value, is one operator in whatever words it is written."""
    written, theirs = ACTIVATIONS[activation]
    ours: Any = getattr(jax.nn, written) if isinstance(written, str) else written
    net_of_torch, weights = same_net.by_two_layers(theirs, X.size)
    w = [jnp.asarray(each) for each in weights]

    def net(w: Any, x: Any) -> Any:
        return ours(x.reshape(len(x), -1) @ w[0].T + w[1]) @ w[2].T + w[3]

    kinds = [
        adapted(each).at([0]).operators(fed)
        for each, fed in (((net, w), X[None]), (net_of_torch, torch.tensor(X[None])))
    ]
    assert kinds[0] == kinds[1]
    try:
        expected = explained(net_of_torch, method)
    except saliency.Unsupported:
        with pytest.raises(saliency.Unsupported, match="The rules apply to operators"):
            explained((net, w), method)
    else:
        near(explained((net, w), method), expected)


def test_operators_are_torch_s(models: dict[str, Any]) -> None:
    """The kinds of operators are returned, so a method may choose its rules by them; a batch norm may be decomposed."""
    expected = adapted(small_net()).at([0]).operators(torch.tensor(X[None]))

    for written in WRITTEN:
        found = adapted(models[written]).at([0]).operators(jnp.asarray(X[None]))
        assert found - {"scale"} == expected - {"batch_norm"}


def test_rules_that_match_nothing_are_refused() -> None:
    """A linear model has no rectifier: the sentence says what is sought and what there is."""
    weights = jnp.ones((X.size, 3))
    with pytest.raises(
        saliency.Unsupported, match=r"kind rectifier, but the model processes the image with dense only"
    ):
        explained((lambda w, x: x.reshape(len(x), -1) @ w, weights), "guided_backprop")


def test_no_rules_are_the_gradient(models: dict[str, Any]) -> None:
    """Walked back without any rule, the program gives JAX's own gradient, of several targets at once."""
    model = adapted(models["linen"]).at([0, 1, 2])
    images = jnp.asarray(np.stack([X, X[::-1]]))

    found, expected = model.rewired(Composite(())).gradients(images), model.gradients(images)

    np.testing.assert_allclose(found.gradients, expected.gradients, atol=1e-6)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)


@pytest.mark.parametrize("method", ["guided_backprop", "deep_lift"])
def test_the_logit_before_a_softmax_is_found(method: str) -> None:
    """A softmax at the end is stepped over, as everywhere."""
    w = same_net.weights()

    near(explained(same_net.linen(w, softmax=True), method), explained(same_net.linen(w), method))
