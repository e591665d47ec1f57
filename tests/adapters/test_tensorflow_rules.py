"""Backward passes that follow rules, on TensorFlow: the masks are those of torch on the same weights."""

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

tf = lazy("tensorflow")
pytestmark = pytest.mark.needs("tensorflow")

X = np.random.default_rng(0).random((24, 20, 3), np.float32)
BY_RULES = [name for name, cls in METHODS.items() if cls().needs is Rewirable]

# Ours, by its name in tf.nn or as a function, and torch's.
ACTIVATIONS: dict[str, tuple[str | Callable[[Any], Any], Callable[[Any], Any]]] = {
    "maximum": (lambda x: tf.maximum(x, 0.0), torch.relu),
    "where": (lambda x: tf.where(x > 0, x, 0.0), torch.relu),
    "relu6": ("relu6", functional.relu6),
    "leaky": (lambda x: tf.nn.leaky_relu(x, 0.1), lambda x: functional.leaky_relu(x, 0.1)),
    "elu": ("elu", functional.elu),
    "gelu": ("gelu", functional.gelu),
    "gelu by tanh": (lambda x: tf.nn.gelu(x, approximate=True), lambda x: functional.gelu(x, approximate="tanh")),
    "silu": ("silu", functional.silu),
    "softplus": ("softplus", functional.softplus),
    "sigmoid": ("sigmoid", torch.sigmoid),
}


def explained(model: Any, method: Any) -> np.ndarray:
    """The masks of the picture for two classes, without a bar."""
    return np.stack([each.mask for each in saliency.explain(model, X, method, [1, 2], progress=False)])


def adapted(model: Any) -> Any:
    """The model as methods see it, a class bound."""
    return saliency.adapt(model).at([0])


@pytest.mark.agreement
@pytest.mark.parametrize("method", BY_RULES)
def test_agrees_with_torch(method: str) -> None:
    """Bias, batch norm, residual, pooling: put together from mathematics, they are torch's operators."""
    near(explained(same_net.tf_module(same_net.weights()), method), explained(small_net(), method))


@pytest.mark.parametrize("method", ["guided_backprop", "deep_lift"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_known_by_what_they_do(activation: str, method: str) -> None:
    """A rectifier, and what else makes one value of one value, is one operator in whatever words it is written."""
    written, theirs = ACTIVATIONS[activation]
    ours: Any = getattr(tf.nn, written) if isinstance(written, str) else written
    net_of_torch, weights = same_net.by_two_layers(theirs, X.size)
    w = [tf.constant(each) for each in weights]

    def net(x: Any) -> Any:
        hidden = ours(tf.matmul(tf.reshape(x, (-1, X.size)), w[0], transpose_b=True) + w[1])
        return tf.matmul(hidden, tf.transpose(w[2])) + w[3]

    model = saliency.adapt(net, framework="tensorflow")
    try:
        expected = explained(net_of_torch, method)
    except saliency.Unsupported:
        with pytest.raises(saliency.Unsupported, match="The rules apply to operators"):
            explained(model, method)
    else:
        near(explained(model, method), expected)


def test_operators_are_torch_s() -> None:
    """The kinds of operators are returned, so a method may choose its rules by them; a batch norm may be decomposed."""
    found = adapted(same_net.tf_module(same_net.weights())).operators(tf.constant(X[None]))

    assert found - {"scale"} == adapted(small_net()).operators(torch.tensor(X[None])) - {"batch_norm"}


def test_no_rules_are_the_gradient() -> None:
    """Walked back without any rule, the graph gives TensorFlow's own gradient."""
    model = saliency.adapt(same_net.tf_module(same_net.weights())).at([0, 1, 2])
    images: Any = tf.constant(np.stack([X, X[::-1]]))
    rewirable: Any = model

    found, expected = rewirable.rewired(Composite(())).gradients(images), rewirable.gradients(images)

    np.testing.assert_allclose(found.gradients, expected.gradients, atol=1e-6)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)


def test_a_function_within_a_function_is_refused() -> None:
    """Rules cannot be applied inside a nested tf.function; the error says so and names the way out."""
    inner: Any = tf.function(tf.nn.relu)

    def net(x: Any) -> Any:
        return tf.reduce_mean(inner(x - 0.5), (1, 2))

    with pytest.raises(saliency.Unsupported, match=r"python_function"):
        explained(saliency.adapt(net, framework="tensorflow"), "guided_backprop")


def test_the_model_is_left_as_it_was() -> None:
    """Nothing of a model is changed by rules: neither its weights nor its answers."""
    w = same_net.weights()
    net = same_net.tf_module(w)
    before = [each.numpy() for each in net.variables]
    outputs = np.array(net(tf.constant(X[None])))

    explained(net, "lrp")

    assert all((old == new.numpy()).all() for old, new in zip(before, net.variables, strict=True))
    np.testing.assert_array_equal(outputs, net(tf.constant(X[None])))


@pytest.mark.parametrize("method", ["deep_lift", "lrp"])
def test_reading_a_shape_is_no_operator_without_a_rule(method: str) -> None:
    """A model that flattens by `tf.shape` or `tf.size`, as Keras does, has the mask of `tf.reshape`, and no note."""
    weights = tf.constant(np.random.default_rng(0).standard_normal((24 * 20 * 3, 3)).astype(np.float32))

    def by_constant(x: Any) -> Any:
        return tf.nn.relu(tf.reshape(x, (-1, 24 * 20 * 3))) @ weights

    def by_shape(x: Any) -> Any:
        flat = tf.reshape(x, (tf.shape(x)[0], tf.size(x) // tf.shape(x)[0]))
        return tf.nn.relu(flat) @ weights

    expected, found = (
        saliency.explain(tf.function(each), X, method, 1, framework="tensorflow", progress=False)
        for each in (by_constant, by_shape)
    )
    near(found.mask, expected.mask)
    assert not [note for note in found.notes if "no rule" in note]
