"""Answers known beforehand: small enough for paper, and the ones DeepExplain is known by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.deepexplain.graphs import SMALL, built, small, two_relus
from tests.frameworks import lazy

tf = lazy("tensorflow")
pytestmark = pytest.mark.needs("tensorflow")

XS = [[-10, -5], [3, 1]]


@pytest.mark.parametrize(
    ("method", "parameters", "second"),
    [
        ("zero", {}, [0, 0]),
        ("saliency", {}, [1, 1]),
        ("grad*input", {}, [3, -1]),
        ("intgrad", {}, [1.5, -0.5]),
        ("intgrad", {"steps": 500}, [1.5, -0.5]),
        ("elrp", {"epsilon": 1e-9}, [3, -1]),
        # each relu passes in / (in + epsilon): 2 and 1 on the way of x1, 1 and 1 on that of x2
        ("elrp", {}, [3 / (1 + 0.5e-4) / (1 + 1e-4), -1 / (1 + 1e-4) ** 2]),
        ("elrp", {"epsilon": 0.5}, [3 / 1.25 / 1.5, -1 / 1.5**2]),
        ("deeplift", {}, [2, -1]),
        ("occlusion", {}, [1, -1]),
        ("occlusion", {"window_shape": (2,)}, [0.5, 0.5]),
    ],
)
def test_two_relus(method: str, parameters: dict[str, Any], second: list[float]) -> None:
    """Of relu(relu(x1 - 1) - relu(x2)), where nothing passes at the first example and all at the second."""
    found = built(two_relus, (None, 2)).explain(method, XS, **parameters)

    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.array([[0, 0], second]), atol=2e-6)


@pytest.mark.parametrize(
    ("xs", "expected"), [([[2, 0]], [[1, 0]]), ([[2, 0], [3, 0]], [[1, 0], [2, 0]]), ([[1, 0]], [[0, 0]])]
)
def test_integrated_gradients_begin_at_the_baseline(xs: Any, expected: Any) -> None:
    """From [1, 0] on, all of x1 counts."""
    found = built(two_relus, (None, 2)).explain("intgrad", xs, baseline=[1, 0])

    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_deep_lift_finds_nothing_at_its_baseline() -> None:
    """Where input and baseline are the same, nothing has a part in no difference."""
    assert not built(two_relus, (None, 2)).explain("deeplift", [[3, 1]], baseline=[3, 1]).any()


def test_two_layers_say_what_they_should() -> None:
    """The model itself: relu([1, 0] W1 + b1) W2 + b2."""
    graph = built(small, (None, 2))

    np.testing.assert_allclose(graph.run(graph.T, [[1, 0]]), [[2.75, 5.5]])


@pytest.mark.parametrize(
    ("method", "first", "second"),
    [
        ("saliency", [1.1, 1.1], [1.4, 1.4]),
        ("grad*input", [5.5, -3.3], [7, -4.2]),
        ("intgrad", [5.5, -3.3], [7, -4.2]),
        ("deeplift", [5.5, -3.3], [7, -4.2]),
        ("elrp", [5.499843, -3.299906], [6.999800, -4.199880]),
        ("occlusion", [4.85, -3.3], [2.9, -4.2]),
    ],
)
def test_each_of_two_outputs(method: str, first: list[float], second: list[float]) -> None:
    """At [5, 3] one hidden unit is on; ys chooses the output that is explained."""
    found = built(small, (None, 2)).explain(method, [[5, 3], [5, 3]], ys=[[1, 0], [0, 1]])

    np.testing.assert_allclose(found, [first, second], rtol=1e-5)


def test_zero_passes_no_activation() -> None:
    """Where every way leads through an activation nothing arrives."""
    assert not built(lambda X: small(X, tf.nn.sigmoid), (None, 2)).explain("zero", [[10, -10]]).any()


@pytest.mark.parametrize("method", ["saliency", "grad*input", "intgrad", "elrp", "deeplift"])
def test_two_inputs(method: str) -> None:
    """One relu of two inputs times 3 and 2: each gets its own attribution, in a list."""

    def model(first: Any, second: Any) -> Any:
        return tf.nn.relu(tf.concat([first * [3.0, 3.0], second * [2.0, 2.0]], 1))

    graph = built(model, (None, 2), (None, 2))
    one, other = graph.explain(method, [[[-10, -5]], [[3, 1]]], **({"epsilon": 1e-9} if method == "elrp" else {}))

    np.testing.assert_allclose(one, [[0, 0]])
    np.testing.assert_allclose(other, [[2, 2]] if method == "saliency" else [[6, 2]], rtol=1e-6)


def test_inputs_of_different_sizes_in_batches() -> None:
    """Inputs need not have one size, nor examples divide evenly into batches."""

    def model(first: Any, second: Any) -> Any:
        return tf.nn.relu(tf.concat([3.0 * first, 2.0 * second], 1))

    one, other = built(model, (None, 2), (None, 1)).explain(
        "grad*input", [np.tile([-10.0, -5.0], (50, 1)), np.full((50, 1), 3.0)], batch_size=32
    )

    assert not one.any()
    np.testing.assert_allclose(other, np.full((50, 1), 6.0))


def test_linear_in_two_inputs() -> None:
    """10 x + 10 y at 2 and 3."""
    one, other = built(lambda x, y: 10.0 * x + 10.0 * y, (None, 1), (None, 1)).explain("grad*input", [[[2]], [[3]]])

    assert (one, other) == (20, 30)


def test_shapley_of_the_least() -> None:
    """min(x): sampling comes near the exact Shapley values, which two features' two orders give."""
    np.random.seed(0)  # noqa: NPY002  it draws from the global generator
    found = built(lambda X: tf.reduce_min(X, 1), (None, 2)).explain("shapley_sampling", [[2, -2], [4, 2]], samples=300)

    np.testing.assert_allclose(found, [[0, -2], [1, 1]], atol=0.1)


def test_shapley_of_rows() -> None:
    """The least of 2 x 2 with rows for features: zeroing the first alone changes nothing, the second alone half."""
    np.random.seed(0)  # noqa: NPY002  it draws from the global generator
    found = built(lambda X: tf.reduce_min(X, (1, 2)), (None, 2, 2)).explain(
        "shapley_sampling", [[[-1, 4], [-2, 1]]], samples=300, sampling_dims=[1]
    )

    assert found.shape == (1, 2)
    np.testing.assert_allclose(found, [[-0.5, -1.5]], atol=0.1)


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "softplus": lambda x: np.log1p(np.exp(x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
}
"""Functions of `tf.nn`, in NumPy."""


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_obeys(name: str) -> None:
    """The rules of elrp and deeplift, written out for one activation f: f(x) x / (x + eps), and f(x) - f(b)."""
    activation, f = getattr(tf.nn, name), ACTIVATIONS[name]
    xs = np.array([[-2.0, -0.5, 0.0, 0.7, 8.0]])
    baseline = np.array([-1.0, 0.2, 0.0, 0.7 + 1e-6, 3.0])
    graph = built(activation, (None, 5), dtype="float64")

    elrp = graph.explain("elrp", xs, epsilon=0.25)
    deeplift = graph.explain("deeplift", xs, baseline=baseline)

    assert elrp.dtype == np.float64
    np.testing.assert_allclose(elrp, f(xs) * xs / (xs + np.where(xs >= 0, 0.25, -0.25)), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(deeplift, f(xs) - f(baseline), rtol=1e-6, atol=1e-9)


def dense_lift(x: np.ndarray, b: np.ndarray, f: Any) -> np.ndarray:
    """DeepLIFT of output 0 of `small`, multiplier by multiplier."""
    entered, there = x @ SMALL["W1"] + SMALL["b1"], b @ SMALL["W1"] + SMALL["b1"]
    slope = (f(entered) - f(there)) / (entered - there)
    return np.asarray((x - b) * (SMALL["W1"] @ (slope * SMALL["W2"][:, 0])))


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
def test_deep_lift_multiplies_as_written(name: str) -> None:
    """Two dense layers: the multipliers are those of the paper's chain rule, and add up to the difference."""
    activation, f = getattr(tf.nn, name), ACTIVATIONS[name]
    graph = built(lambda X: small(X, activation), (None, 2), dtype="float64")
    x, b = np.array([0.3, -1.2]), np.array([1.0, 0.4])

    (found,) = graph.explain("deeplift", [x], ys=[[1, 0]], baseline=b)
    here, there = graph.run(graph.T, [x, b])[:, 0]

    np.testing.assert_allclose(found, dense_lift(x, b, f), rtol=1e-12)
    np.testing.assert_allclose(found.sum(), here - there, rtol=1e-12)


@pytest.mark.parametrize("method", ["elrp", "deeplift", "intgrad", "grad*input"])
def test_relevance_is_conserved_without_biases(method: str) -> None:
    """ReLUs without biases: of each method that is the whole of the output, for a vanishing epsilon."""
    rng = np.random.default_rng(0)
    first, second = (rng.normal(size=shape) for shape in ((6, 9), (9, 1)))
    graph = built(lambda X: tf.nn.relu(X @ first) @ second, (None, 6), dtype="float64")
    xs = rng.normal(size=(4, 6))

    found = graph.explain(method, xs, **({"epsilon": 1e-12} if method == "elrp" else {}))

    np.testing.assert_allclose(found.sum(1), graph.run(graph.T, xs)[:, 0], rtol=1e-9)


def test_integrated_gradients_are_right_sums() -> None:
    """Of x ** 3 from 0 in 4 steps: the gradient at the ends of four equal parts."""
    (found,) = built(lambda X: X**3, (None, 1)).explain("intgrad", [[2.0]], steps=4)

    np.testing.assert_allclose(found, 2 * np.mean([3 * at**2 for at in (0.5, 1, 1.5, 2)]))


def test_integrated_gradients_become_complete() -> None:
    """The sum tends to f(x) - f(baseline), with an error that shrinks as the steps grow."""
    graph = built(lambda X: small(X, tf.nn.sigmoid), (None, 2), dtype="float64")
    x, b = [1.5, -2.0], [-0.5, 0.3]
    rise = np.subtract(*graph.run(graph.T, [x, b])).sum()

    gaps = [abs(graph.explain("intgrad", [x], baseline=b, steps=n).sum() - rise) for n in (10, 100, 1000)]

    assert gaps[0] > 5 * gaps[1] > 25 * gaps[2]
    assert gaps[2] < 2e-3 * abs(rise)
