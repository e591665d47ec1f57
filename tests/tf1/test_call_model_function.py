from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from saliency.errors import NoGradient
from saliency.tf1 import GradientSaliency, Occlusion, TF1CoreSaliency, create_tf1_call_model_function
from tests.frameworks import lazy
from tests.pair.model import Model
from tests.tf1.graphs import Bound, image

tf = lazy("tensorflow")
pytestmark = pytest.mark.needs("tensorflow")

KEYS = [
    "INPUT_OUTPUT_GRADIENTS",
    "OUTPUT_LAYER_VALUES",
    "CONVOLUTION_LAYER_VALUES",
    "CONVOLUTION_OUTPUT_GRADIENTS",
]


def test_all_keys_are_answered(bound: Bound) -> None:
    """The four keys get the model's gradients, scores, layer and layer's gradients, in one run."""
    batch = np.stack([image(), image()[::-1]])
    function = create_tf1_call_model_function(bound.graph, bound.session, bound.y, bound.x, bound.layer)

    expected, actual = Model()(batch, None, KEYS), function(batch, None, KEYS)

    assert list(actual) == KEYS
    for key in KEYS:
        np.testing.assert_allclose(actual[key], expected[key], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("key", KEYS[2:])
def test_a_layer_must_be_named_to_be_fetched(key: str, bound: Bound) -> None:
    """Without conv_layer the two CONVOLUTION keys are refused in PAIR's words, and so by Grad-CAM's own function."""
    function = create_tf1_call_model_function(bound.graph, bound.session, bound.y, bound.x)

    with pytest.raises(RuntimeError, match=f"^Cannot return key {key} because no conv_layer was specified$"):
        function(image()[None], expected_keys=[key])


def test_an_unknown_key_is_refused(bound: Bound) -> None:
    """A key that does not exist is named, in PAIR's words."""
    function = create_tf1_call_model_function(bound.graph, bound.session, bound.y, bound.x, bound.layer)

    with pytest.raises(ValueError, match=r"^Invalid expected key GRADIENTS$"):
        function(image()[None], expected_keys=["OUTPUT_LAYER_VALUES", "GRADIENTS"])


def test_asking_adds_nothing_to_the_graph(bound: Bound) -> None:
    """Once the function is made the graph does not grow, and may be finalized."""
    function = create_tf1_call_model_function(bound.graph, bound.session, bound.y, bound.x, bound.layer)
    before = len(bound.graph.get_operations())

    function(image()[None], None, KEYS)

    assert before == len(bound.graph.get_operations())


def line(make: Any, dtype: str = "float32") -> tuple[Any, Any, Any, Any]:
    """Graph, session, y and x of a function of x (None, 2, 2)."""
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(dtype, (None, 2, 2), "x")
        y = make(x)
    return graph, tf.compat.v1.Session(graph=graph), y, x


UNDIFFERENTIABLE = {
    "not connected": lambda x: tf.constant([1.0]),
    "rounded": lambda x: tf.cast(tf.argmax(x[:, 0], -1), "float32"),
    "no gradient known": lambda x: tf.raw_ops.ResizeArea(images=x[..., None], size=[1, 1])[:, 0, 0, 0],
}


@pytest.mark.parametrize("make", UNDIFFERENTIABLE.values(), ids=UNDIFFERENTIABLE)
def test_a_missing_gradient_is_an_error_when_it_is_fetched(make: Any) -> None:
    """Where y cannot be differentiated by x, Occlusion works, and what needs the gradient says why it cannot."""
    bound = line(make)

    assert Occlusion(*bound).GetMask(np.ones((2, 2), np.float32), size=1).shape == (2, 2)
    with pytest.raises(NoGradient, match=r"differentiated by x:0|depend on x:0"):
        GradientSaliency(*bound).GetMask(np.ones((2, 2), np.float32))


def test_a_gathered_input_has_a_gradient() -> None:
    """Where x is only gathered from, TensorFlow's slices are made whole."""
    mask = GradientSaliency(*line(lambda x: tf.reduce_sum(tf.gather(x, [0]) ** 2))).GetMask(np.full((2, 2), 3.0))

    np.testing.assert_array_equal(np.full((2, 2), 6.0), mask)


def validated(y_shape: Any, x_shape: Any, x_steps: int, batch_size: int) -> None:
    """Validate tensors of these shapes."""
    graph = tf.Graph()
    with graph.as_default():
        y, x = (tf.compat.v1.placeholder("float32", shape) for shape in (y_shape, x_shape))
    TF1CoreSaliency(graph, None, y, x).validate_xy_tensor_shape(x_steps, batch_size)


@pytest.mark.parametrize(
    ("y_shape", "x_shape", "x_steps", "batch_size"),
    [
        ((None,), (None, 2), 1, 1),
        ((None,), (None, 2), 1000, 9),
        ((None, 1), (None, 2), 1000, 9),
        ((), (None, 2), 1000, 1),
        ((1,), (1, 2), 25, 1),
        ((1, 1), (1, 2), 25, 1),
        ((5,), (5, 2), 25, 5),
        ((5,), (None, 2), 25, 5),
        ((None,), (5, 2), 25, 5),
        (None, (None, 2), 25, 4),
        ((None,), None, 25, 4),
    ],
)
def test_shapes_that_fit_pass(y_shape: Any, x_shape: Any, x_steps: int, batch_size: int) -> None:
    """One score an image, batches free or fixed at a batch_size that divides the steps: all is well."""
    validated(y_shape, x_shape, x_steps, batch_size)


@pytest.mark.parametrize("v2", [True, False], ids=["v2 shapes", "v1 shapes"])
@pytest.mark.parametrize(
    ("y_shape", "x_shape", "x_steps", "batch_size", "message"),
    [
        ((), (None, 2), 1000, 9, "Unexpected shape for y tensor. Expected shape [None], actual []"),
        ((), (None, 2), 10, 5, "Unexpected shape for y tensor. Expected shape [None] or tensor with size 5, actual []"),
        (
            (None, 3),
            (None, 2),
            1,
            1,
            "Unexpected shape for y tensor. Expected shape [None] or tensor with size 1, actual [None, 3]",
        ),
        ((5,), (None, 2), 26, 5, "Unexpected shape for y tensor. Expected shape [None], actual [5]"),
        (
            (None,),
            (3, 2),
            1000,
            5,
            "Unexpected outermost dimension for x tensor. Expected None or 5 for outermost dimension, actual 3",
        ),
        (
            (None,),
            (5, 2),
            26,
            5,
            "Unexpected outermost dimension for x tensor. Expected None for outermost dimension, actual 5",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    y_shape: Any, x_shape: Any, x_steps: int, batch_size: int, message: str, v2: bool
) -> None:
    """Mismatched shapes raise PAIR's messages, with either of TensorFlow's two kinds of shapes."""
    (tf.compat.v1.enable_v2_tensorshape if v2 else tf.compat.v1.disable_v2_tensorshape)()
    try:
        with pytest.raises(ValueError) as refusal:  # noqa: PT011  the whole text is compared below
            validated(y_shape, x_shape, x_steps, batch_size)
    finally:
        tf.compat.v1.enable_v2_tensorshape()

    assert message == str(refusal.value)


def test_batches_of_nothing_are_refused() -> None:
    """A batch_size of zero is refused; PAIR divides by it."""
    with pytest.raises(ValueError, match=r"^batch_size must be at least 1, got 0\.$"):
        validated((None,), (None, 2), 25, 0)
