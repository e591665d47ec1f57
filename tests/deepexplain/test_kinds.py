"""Graphs of all kinds: the operations that rules cover, and the warnings for others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saliency
from saliency.deepexplain import METHODS, DeepExplain
from tests.deepexplain.graphs import built
from tests.frameworks import lazy

tf, v1 = lazy("tensorflow"), lazy("tensorflow.compat.v1")
pytestmark = pytest.mark.needs("tensorflow")

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(3, 3, 2, 4))
READOUT = RNG.normal(size=(4, 2))
XS = RNG.normal(size=(3, 6, 6, 2))


def convolutions(X: Any) -> Any:
    """Convolution, average pool, mean over space, dense."""
    dtype = X.dtype.as_numpy_dtype
    hidden = tf.nn.relu(tf.nn.conv2d(X, KERNEL.astype(dtype), 1, "SAME") + np.asarray(0.1, dtype))
    pooled = tf.nn.avg_pool2d(hidden, 2, 2, "SAME")
    return tf.nn.tanh(tf.reduce_mean(pooled, (1, 2)) @ READOUT.astype(dtype))


def test_deep_lift_of_convolutions_is_complete() -> None:
    """For images too the attributions are the whole difference, from any baseline."""
    graph = built(convolutions, (None, 6, 6, 2), dtype="float64")
    baseline = np.random.default_rng(1).normal(size=(6, 6, 2))

    found = graph.explain("deeplift", XS, baseline=baseline)

    assert found.shape == XS.shape
    rise = graph.run(graph.T, XS) - graph.run(graph.T, baseline[None])
    np.testing.assert_allclose(found.sum((1, 2, 3)), rise.sum(1), rtol=1e-9)


def test_shapley_values_are_efficient() -> None:
    """They add up to the difference of the outputs for the whole input and for none of it, in any order."""
    graph = built(convolutions, (None, 6, 6, 2), dtype="float64")

    found = graph.explain("shapley_sampling", XS, samples=1, sampling_dims=[2, 3])

    assert found.shape == (3, 6, 2)
    rise = graph.run(graph.T, XS) - graph.run(graph.T, np.zeros_like(XS))
    np.testing.assert_allclose(found.sum((1, 2)), rise.sum(1), rtol=1e-9)


def test_a_gradient_is_the_engine_s() -> None:
    """`saliency.tf1` and DeepExplain's face find the same gradient of the same output."""
    graph = built(convolutions, (None, 6, 6, 2), dtype="float64")
    with graph.session.graph.as_default():
        y = graph.T[:, 1]
    by_tf1 = saliency.tf1.GradientSaliency(graph.session.graph, graph.session, y, graph.X).GetMask(XS[0])

    (found,) = graph.explain("grad*input", XS[:1], ys=[[0, 1]])

    np.testing.assert_allclose(found, by_tf1 * XS[0], rtol=1e-9)


@pytest.mark.parametrize(
    ("method", "parameters", "ours"),
    [
        ("grad*input", {}, saliency.InputXGradient()),
        ("intgrad", {"steps": 6}, saliency.IntegratedGradients(steps=6, baseline=0, quadrature="riemann_right")),
        ("deeplift", {}, saliency.DeepLift(baseline=0)),
        ("elrp", {"epsilon": 1e-7}, saliency.LRP(composite="epsilon", epsilon=1e-7)),
    ],
    ids=str,
)
def test_torch_finds_the_same(method: str, parameters: dict[str, Any], ours: saliency.Method) -> None:
    """The engine's methods on a torch module with the same weights."""
    torch = pytest.importorskip("torch")
    conv, dense, last = torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.Linear(4, 5), torch.nn.Linear(5, 2)
    rng = np.random.default_rng(3)
    with torch.no_grad():
        for each in (*conv.parameters(), *dense.parameters(), *last.parameters()):
            each.copy_(torch.tensor(rng.normal(size=each.shape)))
    act, mean, flat = torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    net = torch.nn.Sequential(conv, act, mean, flat, dense, torch.nn.Tanh(), last).double()
    w = [each.detach().numpy() for each in net.parameters()]

    def model(X: Any) -> Any:
        hidden = tf.nn.relu(tf.nn.conv2d(X, w[0].transpose(2, 3, 1, 0), 1, "SAME") + w[1])
        return tf.nn.tanh(tf.reduce_mean(hidden, (1, 2)) @ w[2].T + w[3]) @ w[4].T + w[5]

    (found,) = built(model, (None, 6, 6, 2), dtype="float64").explain(method, XS[:1], ys=[[0, 1]], **parameters)
    expected = saliency.explain(net, XS[0], ours, 1, progress=False).mask

    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_an_input_may_depend_on_another() -> None:
    """A tensor that is fed does not depend on anything: each input has its own part alone."""
    graph = built(lambda X: tf.nn.relu(3.0 * X), (None, 1))
    with graph.session.graph.as_default():
        both = graph._replace(T=graph.T * graph.X, X=[graph.X, graph.T])
    for method in ("grad*input", "intgrad"):
        one, other = both.explain(method, [[[2.0]], [[5.0]]])

        np.testing.assert_allclose([one[0, 0], other[0, 0]], 10 if method != "intgrad" else 5.05, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_attributions_have_the_input_s_type(dtype: str) -> None:
    """Half precision works as far as it goes."""
    graph = built(convolutions, (None, 6, 6, 2), dtype="float64")
    rough = built(lambda X: tf.nn.softsign(X) * 2, (None, 4), dtype=dtype)
    for method in METHODS:
        examples = XS[0, 0, :2].reshape(1, 4).astype(rough.X.dtype.as_numpy_dtype)
        found = rough.explain(method, examples, **({"steps": 2} if method == "intgrad" else {}))

        assert found.dtype == rough.X.dtype.as_numpy_dtype
    assert graph.explain("zero", XS).dtype == np.float64


def test_deep_lift_tells_what_it_misses() -> None:
    """At a softmax or a pool of maxima the ordinary gradient does not add up; the warning says where, and by what."""

    def pooled(X: Any) -> Any:
        return tf.reduce_max(tf.nn.relu(X), 1, keepdims=True)

    def softened(X: Any) -> Any:
        return tf.nn.softmax(X)[:, :1]

    with pytest.warns(UserWarning, match=r"miss f\(x\) - f\(baseline\) by up to 50.0%: .* at Max Max the ordinary"):
        # the most is 3 instead of 2, but the gradient knows only of the one that is 3: from 1
        built(pooled, (None, 2)).explain("deeplift", [[3.0, 0.5]], baseline=[1.5, 2.0])
    with pytest.warns(UserWarning, match="at Softmax Softmax the ordinary gradient is used"):
        built(softened, (None, 2)).explain("deeplift", [[3.0, 0.0]])


@pytest.mark.parametrize(("activation", "at"), [("silu", "IdentityN"), ("gelu", "Erf")])
def test_activations_without_a_rule_are_reported(activation: str, at: str) -> None:
    """Composed activations and custom gradients keep their gradient, with DeepExplain's own warning."""
    graph = built(getattr(tf.nn, activation), (None, 2))

    with pytest.warns(UserWarning, match=f"original gradient was used instead at {at}"):
        graph.explain("elrp", [[1, -2]])
    assert graph.explain("saliency", [[1, -2]]).shape == (1, 2)


def test_loops_are_refused_by_rules_alone() -> None:
    """An activation that runs many times over has no single in and out; gradients and perturbation do not mind."""

    def looped(X: Any) -> Any:
        v1.experimental.output_all_intermediates(True)  # or TensorFlow finds no gradient once a session has run
        try:
            return tf.while_loop(lambda i, h: i < 3, lambda i, h: (i + 1, tf.nn.relu(2.0 * h)), (0, X))[1]
        finally:
            v1.experimental.output_all_intermediates(None)

    graph = built(looped, (None, 2))
    for method in METHODS:
        if method in ("zero", "elrp", "deeplift"):
            with pytest.raises(saliency.Unsupported, match=r"part of a tf.while_loop.*Unroll it"):
                graph.explain(method, [[1, -2]])
        else:
            np.testing.assert_allclose(graph.explain(method, [[1, -2]]), [[8, 0]], rtol=1e-5)


def test_functions_are_opened() -> None:
    """Activations in a tf.function follow rules like those outside, at any depth, whatever it passes through."""
    inner = tf.function(tf.nn.relu)

    def both(x: Any, factor: Any) -> Any:
        return {"first": inner(inner(x * factor - 1.0) - x), "second": x}

    outer = tf.function(both)

    def opened(X: Any) -> Any:
        out = outer(X, tf.constant(2.0))
        return tf.concat([out["first"] * 3.0, out["second"]], 1)

    def written(X: Any) -> Any:
        return tf.concat([tf.nn.relu(tf.nn.relu(X * 2.0 - 1.0) - X) * 3.0, X], 1)

    xs = [[3.0, -2.0], [0.7, 1.4]]
    one, other = built(opened, (None, 2)), built(written, (None, 2))
    np.testing.assert_allclose(one.run(one.T, xs), other.run(other.T, xs))
    for method in METHODS:
        np.random.seed(0)  # noqa: NPY002  it draws from the global generator
        by_functions = one.explain(method, xs)
        np.random.seed(0)  # noqa: NPY002
        np.testing.assert_allclose(by_functions, other.explain(method, xs), rtol=1e-5, err_msg=method)


def test_a_saved_model_of_tensorflow_2(tmp_path: Path) -> None:
    """Loaded into a session it is one call of a function, whose activations obey, and whose variables are read."""
    net = tf.Module()
    net.first, net.second = tf.Variable(KERNEL[0, 0]), tf.Variable(READOUT)

    def logits(x: Any) -> Any:
        return {"logits": tf.nn.sigmoid(x @ net.first + 0.5) @ net.second}

    net.call = tf.function(logits, input_signature=[tf.TensorSpec((None, 2), tf.float64, "x")])
    tf.saved_model.save(net, tmp_path, signatures=net.call)
    with tf.Graph().as_default() as graph, v1.Session() as session:
        signature = v1.saved_model.load(session, ["serve"], str(tmp_path)).signature_def["serving_default"]
        T, X = (graph.get_tensor_by_name(each.name) for each in (signature.outputs["logits"], signature.inputs["x"]))
        with DeepExplain() as de:
            found = de.explain("deeplift", T, X, XS[0, 0], ys=[[0, 1]] * 6, baseline=[1, 2])
            own = de.explain("saliency", T, X, XS[0, 0])
            rise = session.run(T, {X: XS[0, 0]})[:, 1] - session.run(T, {X: [[1, 2]]})[0, 1]

    np.testing.assert_allclose(found.sum(1), rise, rtol=1e-9)
    assert own.all()


def test_a_gradient_that_was_lost_is_replaced() -> None:
    """A graph that was stored names SiLU's own gradient, but does not bring it: the ordinary one is as good."""
    definition = built(tf.nn.silu, (None, 2)).session.graph.as_graph_def()
    for node in definition.node:
        if "_gradient_op_type" in node.attr:
            node.attr["_gradient_op_type"].s = b"CustomGradient-of-another-process"
    with tf.Graph().as_default() as graph, v1.Session(), DeepExplain() as de:
        tf.graph_util.import_graph_def(definition, name="")
        X = graph.get_tensor_by_name("Placeholder:0")
        (T,) = (op.outputs[0] for op in graph.get_operations() if op.type == "IdentityN")
        found = de.explain("saliency", T, X, [[1, -2]])
        with pytest.warns(UserWarning, match="original gradient was used instead at IdentityN"):
            without_sigmoid = de.explain("zero", T, X, [[1, -2]])
    sigmoid = 1 / (1 + np.exp([-1.0, 2.0]))

    np.testing.assert_allclose(found[0], np.abs(sigmoid * (1 + np.array([1, -2]) * (1 - sigmoid))), rtol=1e-6)
    np.testing.assert_allclose(without_sigmoid[0], sigmoid, rtol=1e-6)


def test_branches_without_a_rule_are_reported() -> None:
    """tf.cond runs only one branch, so it is not inlined; if it contains activations, there is a warning."""

    def branched(X: Any) -> Any:
        return tf.cond(tf.reduce_sum(X) > 0, lambda: tf.nn.relu(X), lambda: 2.0 * X)

    with pytest.warns(UserWarning, match="original gradient was used instead at (Stateless)?If"):
        found = built(branched, (None, 2)).explain("elrp", [[3, -2]], epsilon=1)

    np.testing.assert_array_equal(found, [[3, 0]])


def test_a_model_of_keras() -> None:
    """A Keras 3 model is called on a placeholder, within the graph; a symbolic tensor of Keras is not taken."""
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Keras computes with another backend here")
    with tf.Graph().as_default(), v1.Session() as session:
        model = keras.Sequential(
            [
                keras.Input((6, 6, 2)),
                keras.layers.Conv2D(3, 3, activation="relu", bias_initializer="ones"),
                keras.layers.Flatten(),
                keras.layers.Dropout(0.5),
                keras.layers.Dense(2, activation="tanh"),
            ]
        )
        X = v1.placeholder("float32", (None, 6, 6, 2))
        T = model(X)
        session.run(v1.global_variables_initializer())
        with DeepExplain(session=session) as de:
            found = de.explain("deeplift", T, X, XS, ys=[[1, 0]] * 3)
            rise = session.run(T, {X: XS})[:, 0] - session.run(T, {X: XS[:1] * 0})[0, 0]
            with pytest.raises(RuntimeError, match=r"KerasTensor: call the Keras model on a tf.compat.v1.placeholder"):
                de.explain("saliency", T, model.inputs[0], XS)

    np.testing.assert_allclose(found.sum((1, 2, 3)), rise, rtol=1e-4, atol=1e-6)
