from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saliency.errors import NoGradient
from saliency.tf1 import GradientSaliency, GuidedBackprop
from tests.frameworks import lazy
from tests.tf1.graphs import Bound

tf = lazy("tensorflow")
pytestmark = pytest.mark.needs("tensorflow")

STYLES = pytest.mark.parametrize("resource", [False, True], ids=["ref", "resource"])

# Two layers of ReLUs, whose gates differ. Of the second layer, unit 0 is on and liked, 1 on and disliked, 2 off. The
# first layer's units are on, on, on and off; from above they get 2, -1, 1, 3, but guided 1, 2, -1, 3.
IMAGE = np.array([1.0, 2.0, -1.0])
FIRST = np.array([[1.0, 0.0, 1.0, -1.0], [0.0, 1.0, 1.0, -1.0], [1.0, 1.0, 0.0, 1.0]])
FIRST_BIAS = np.array([0.5, 0.0, -1.0, 0.0])
SECOND = np.array([[1.0, -1.0, 2.0], [2.0, 3.0, -4.0], [-1.0, -2.0, 0.0], [3.0, 0.0, 1.0]])
SECOND_BIAS = np.array([1.0, 5.0, -1.0])
READOUT = np.array([1.0, -1.0, 4.0])


def by_hand(rule: Callable[[Any, Any], Any]) -> Any:
    """The gradient of the two layers at IMAGE, where a ReLU's rule turns (output, gradient above) into the one below.

    Written out from the chain rule; no framework has a part in it.
    """
    first = np.maximum(IMAGE @ FIRST + FIRST_BIAS, 0)
    second = np.maximum(first @ SECOND + SECOND_BIAS, 0)
    above_first = rule(second, READOUT) @ SECOND.T
    return rule(first, above_first) @ FIRST.T


def plain(output: Any, above: Any) -> Any:
    """A ReLU's own rule."""
    return np.where(output > 0, above, 0)


def guided(output: Any, above: Any) -> Any:
    """Guided backprop's rule."""
    return np.where((output > 0) & (above > 0), above, 0)


def deconvolution(output: Any, above: Any) -> Any:
    """The rule that looks at the gradient alone."""
    return np.where(above > 0, above, 0)


def two_layers(resource: bool, dtype: str = "float32", activation: str = "relu") -> Any:
    """The two layers as a graph, whose variables were made as zeros and trained: their numbers were assigned later.

    Returns:
        graph, session, y (None,), x (None, 3).
    """
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(dtype, (None, 3), "x")
        numbers = {"A": FIRST, "a": FIRST_BIAS, "B": SECOND, "b": SECOND_BIAS, "c": READOUT}
        made = {
            name: tf.compat.v1.get_variable(name, initializer=np.zeros(value.shape, dtype), use_resource=resource)
            for name, value in numbers.items()
        }
        function = getattr(tf.nn, activation)
        first = function(x @ made["A"] + made["a"])
        second = function(first @ made["B"] + made["b"])
        y = tf.linalg.matvec(second, made["c"])
        session = tf.compat.v1.Session(graph=graph)
        session.run(tf.compat.v1.global_variables_initializer())
        session.run([made[name].assign(value.astype(dtype)) for name, value in numbers.items()])
    return graph, session, y, x


def variable(graph: Any, name: str) -> Any:
    """A variable of the graph, by its name."""
    with graph.as_default():
        (found,) = (each for each in tf.compat.v1.global_variables() if each.op.name == name)
    return found


@STYLES
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_mask_is_the_hand_derived_one(resource: bool, dtype: str) -> None:
    """Each ReLU passes what is positive where its output is, with the values the variables have in the session."""
    mask = GuidedBackprop(*two_layers(resource, dtype)).GetMask(IMAGE)

    assert mask.dtype == dtype
    np.testing.assert_array_equal(by_hand(guided), mask)


def test_the_hand_derived_answer_tells_the_rules_apart() -> None:
    """The three rules give three masks on this file's numbers, worked out on paper; TensorFlow's is the plain one."""
    assert by_hand(plain).tolist() == [3.0, 0.0, 1.0]
    assert by_hand(guided).tolist() == [1.0, 2.0, 3.0]
    assert by_hand(deconvolution).tolist() == [2.0, -7.0, 16.0]
    np.testing.assert_array_equal(by_hand(plain), GradientSaliency(*two_layers(True)).GetMask(IMAGE))


@STYLES
def test_the_users_graph_stays_as_it_was(resource: bool, tmp_path: Path) -> None:
    """No operation is added to the graph, its own gradient stays plain, and no checkpoint is written."""
    graph, session, y, x = two_layers(resource)
    before = graph.as_graph_def()

    GuidedBackprop(graph, session, y, x, str(tmp_path / "checkpoint")).GetMask(IMAGE)

    assert before == graph.as_graph_def()
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(by_hand(plain), GradientSaliency(graph, session, y, x).GetMask(IMAGE))


@STYLES
def test_values_are_those_of_the_making(resource: bool) -> None:
    """Two instances keep apart: each has the values that the variables had when it was made, as with PAIR."""
    graph, session, y, x = two_layers(resource)
    early = GuidedBackprop(graph, session, y, x)
    with graph.as_default():
        session.run(variable(graph, "c").assign(3 * READOUT))

    late = GuidedBackprop(graph, session, y, x)

    np.testing.assert_array_equal(by_hand(guided), early.GetMask(IMAGE))
    np.testing.assert_array_equal(3 * by_hand(guided), late.GetMask(IMAGE))


@STYLES
def test_no_training_step_is_run(resource: bool) -> None:
    """Where a variable is read only after a training step, its value is taken without that step."""
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder("float32", (None, 2), "x")
        handle = tf.compat.v1.get_variable("w", initializer=[1.0, 2.0], use_resource=resource)
        with tf.control_dependencies([handle.assign_add([10.0, 10.0])]):
            y = tf.reduce_sum(tf.nn.relu(x * handle.read_value()), 1)
        session = tf.compat.v1.Session(graph=graph)
        session.run(handle.initializer)

    GuidedBackprop(graph, session, y, x)

    assert session.run(handle).tolist() == [1.0, 2.0]


def test_a_variable_that_is_never_read_on_its_own_is_copied_too() -> None:
    """A raw resource variable that is only read after another operation is copied with its value."""
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder("float32", (None, 2), "x")
        handle = tf.raw_ops.VarHandleOp(dtype="float32", shape=(2,), shared_name="raw")
        assign = tf.raw_ops.AssignVariableOp(resource=handle, value=[3.0, -1.0])
        with tf.control_dependencies([tf.no_op()]):
            read = tf.raw_ops.ReadVariableOp(resource=handle, dtype="float32")
        y = tf.reduce_sum(tf.nn.relu(tf.ensure_shape(read, (2,)) * x), 1)
        session = tf.compat.v1.Session(graph=graph)
        session.run(assign)

    mask = GuidedBackprop(graph, session, y, x).GetMask(np.array([1.0, 1.0]))

    assert mask.tolist() == [3.0, 0.0]


def test_operators_that_y_does_not_depend_on_are_not_copied() -> None:
    """A variable that has no value yet does no harm where the model does not use it."""
    graph, session, y, x = two_layers(True)
    with graph.as_default():
        tf.compat.v1.get_variable("unborn", shape=(), use_resource=True)

    copy = GuidedBackprop(graph, session, y, x)

    assert "unborn" not in {op.name for op in copy.guided_graph.get_operations()}
    np.testing.assert_array_equal(by_hand(guided), copy.GetMask(IMAGE))


@pytest.mark.parametrize("name", ["relu6", "elu", "softplus"])
def test_only_relu_is_changed(name: str) -> None:
    """Relatives of ReLU keep their own gradient, as with PAIR."""
    bound = two_layers(True, "float64", name)

    expected, actual = (method(*bound).GetMask(IMAGE) for method in (GradientSaliency, GuidedBackprop))

    assert expected.any()
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_a_relu_inside_a_function_keeps_its_gradient() -> None:
    """ReLUs inside a tf.function are not changed, as the docstring says."""
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder("float32", (None, 2), "x")
        y = -tf.reduce_sum(tf.function(tf.nn.relu)(x), 1)
        session = tf.compat.v1.Session(graph=graph)

    mask = GuidedBackprop(graph, session, y, x).GetMask(np.array([1.0, -1.0]))

    assert mask.tolist() == [-1.0, 0.0]


def test_a_convolution_is_guided_on_the_image(bound: Bound) -> None:
    """On PAIR's model with a ReLU before it, in images (H, W, C), the mask of negative readouts is cut."""
    with bound.graph.as_default():
        rectified = tf.nn.relu(bound.layer - 1.0)
        y = tf.reduce_sum(rectified, (1, 2, 3)) - 2.0 * tf.reduce_sum(rectified[..., 0], (1, 2))
    picture = np.random.default_rng(0).uniform(size=(16, 18, 3))

    mask = GuidedBackprop(bound.graph, bound.session, y, bound.x).GetMask(picture)

    with bound.graph.as_default():
        positive = tf.reduce_sum(rectified[..., 1:], (1, 2, 3))
    expected = GradientSaliency(bound.graph, bound.session, positive, bound.x).GetMask(picture)
    assert expected.any()
    np.testing.assert_allclose(mask, expected, rtol=1e-9, atol=1e-12)


def test_feed_dict_is_fed_by_tensor_or_by_name_and_left_alone(bound: Bound) -> None:
    """Keys are tensors of the user's graph or their names; what y does not need is passed over; no dict is needed."""
    with bound.graph.as_default():
        y = bound.gain * tf.reduce_sum(tf.nn.relu(bound.x), (1, 2, 3))
        labels = tf.compat.v1.placeholder("int32", (None,), "labels")
    method = GuidedBackprop(bound.graph, bound.session, y, bound.x)
    picture = np.ones((16, 18, 3))

    for feed, expected in [
        (None, 1.0),
        ({}, 1.0),
        ({bound.gain: 3.0, labels: [7]}, 3.0),
        ({"gain:0": 3.0}, 3.0),
        ({bound.x: 0 * picture[None]}, 1.0),
    ]:
        before = dict(feed or {})

        mask = method.GetMask(picture, feed)

        assert before.keys() == (feed or {}).keys()
        np.testing.assert_array_equal(np.full_like(picture, expected), mask)


def test_a_smoothed_mask_is_a_mean_of_masks() -> None:
    """GetSmoothedMask works without a feed_dict; without noise it is the mask, squared by default."""
    method = GuidedBackprop(*two_layers(False))

    smooth = [method.GetSmoothedMask(IMAGE, stdev_spread=0, nsamples=2, magnitude=each) for each in (True, False)]

    np.testing.assert_allclose(smooth[0], by_hand(guided) ** 2, rtol=1e-6)
    np.testing.assert_allclose(smooth[1], by_hand(guided), rtol=1e-6)


def test_a_score_that_does_not_come_from_x_is_refused() -> None:
    """Where y is not computed from x, or only through what has no gradient, making the method says so."""
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder("float32", (None, 2), "x")
        rounded = tf.cast(tf.argmax(x, 1), "float32")
        session = tf.compat.v1.Session(graph=graph)
        apart = tf.constant([1.0]) * 2.0

    for y, message in ((apart, r"^mul:0 does not depend on x:0: "), (rounded, r"^Cast:0 does not depend on x:0 in a ")):
        with pytest.raises(NoGradient, match=message):
            GuidedBackprop(graph, session, y, x)


def test_the_gradient_is_registered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow keeps its names for good; a module that is loaded a second time finds its own there."""
    bound = two_layers(True)
    GuidedBackprop(*bound)
    assert GuidedBackprop.guided_relu_registered
    monkeypatch.setattr(GuidedBackprop, "guided_relu_registered", False)

    np.testing.assert_array_equal(by_hand(guided), GuidedBackprop(*bound).GetMask(IMAGE))
