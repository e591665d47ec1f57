"""DeepExplain's interface: calls, warnings and errors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import saliency
from saliency.deepexplain import METHODS, DeepExplain
from tests.deepexplain.graphs import GRADIENT_METHODS, PERTURBATION_METHODS, Watched, built, small, two_relus
from tests.frameworks import lazy

tf, v1 = lazy("tensorflow"), lazy("tensorflow.compat.v1")
pytestmark = pytest.mark.needs("tensorflow")

XS = np.array([[5.0, 3.0], [1.0, 0.0], [-2.0, 4.0]])


def seeded(graph: Any, method: str, *args: Any, **kwargs: Any) -> Any:
    """With the same random orders each time."""
    np.random.seed(0)  # noqa: NPY002  it draws from the global generator
    return graph.explain(method, *args, **kwargs)


def test_eight_methods() -> None:
    """DeepExplain's names, all of them."""
    assert set(METHODS) == {*GRADIENT_METHODS, *PERTURBATION_METHODS}


@pytest.mark.parametrize("method", METHODS)
def test_a_graph_may_be_built_before_or_within(method: str) -> None:
    """Graphs built within the context and before it have the same attributions."""
    graph = tf.Graph()
    with graph.as_default(), v1.Session() as session, DeepExplain(session=session) as de:
        X = v1.placeholder("float32", (None, 2))
        T = small(X)
        session.run(v1.global_variables_initializer())
        np.random.seed(0)  # noqa: NPY002  it draws from the global generator
        within = de.explain(method, T, X, XS)

    np.testing.assert_allclose(seeded(built(small, (None, 2)), method, XS), within, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_ys_weigh_the_outputs(method: str) -> None:
    """Attributions are linear in ys; one-hot ys are a mask on T; no ys are ones; zeros give nothing."""
    graph = built(lambda X: small(X, tf.nn.softplus), (None, 2))
    n = len(XS)
    by_ys = [seeded(graph, method, XS, ys=np.tile(y, (n, 1))) for y in ([1, 0], [0, 1], [1, 1], [0, 0])]
    with graph.session.graph.as_default():
        masked = graph._replace(T=graph.T * [1.0, 0.0])

    np.testing.assert_allclose(seeded(masked, method, XS), by_ys[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(seeded(graph, method, XS), by_ys[2], rtol=1e-4, atol=1e-6)
    assert not by_ys[3].any()
    if method != "saliency":  # whose signs are dropped
        np.testing.assert_allclose(by_ys[0] + by_ys[1], by_ys[2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_batch_size_changes_only_the_number_of_calls(method: str) -> None:
    """Every method runs batches of the given size, with their ys."""
    graph = built(lambda X: small(X, tf.nn.tanh), (None, 2))
    ys = [[1, 0], [0, 1], [0.5, -2]]
    whole = seeded(graph, method, XS, ys=ys)
    watched = Watched(graph.session, graph.X)

    in_twos = seeded(graph._replace(session=watched), method, XS, ys=ys, batch_size=2)

    assert max(watched.batches) == 2
    np.testing.assert_allclose(in_twos, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("method", "parameters", "images"),
    [
        *((method, {}, 3) for method in ("zero", "saliency", "grad*input", "elrp", "deeplift")),
        ("intgrad", {"steps": 7}, 3 * 7),
        ("occlusion", {}, 3 * (1 + 2)),
        ("shapley_sampling", {"samples": 4}, 3 * (2 + 4)),  # both ends, and what each order has between them
    ],
)
def test_no_method_evaluates_more_than_its_formula(method: str, parameters: dict[str, Any], images: int) -> None:
    """Each example is evaluated as often as the formula needs, and as the method's cost states."""
    graph = built(small, (None, 2))
    watched = Watched(graph.session, graph.X)

    graph._replace(session=watched).explain(method, XS, **parameters)

    assert sum(watched.batches) == images == METHODS[method](**parameters).cost(XS.shape)


def test_an_explainer_adds_nothing_to_the_graph(capfd: pytest.CaptureFixture[str]) -> None:
    """Running adds no operations, and neither does asking for the same again; nothing is printed."""
    graph = built(small, (None, 2))
    with DeepExplain(session=graph.session) as de:
        explainers = [de.get_explainer(method, graph.T, graph.X) for method in METHODS]
        before = len(graph.session.graph.get_operations())
        for explainer in explainers:
            explainer.run(XS)
        de.explain("elrp", graph.T, graph.X, XS, epsilon=0.1)
        de.explain("deeplift", graph.T, graph.X, XS, baseline=[1, 1])

        assert len(graph.session.graph.get_operations()) == before
    assert capfd.readouterr().out == ""


def test_explainers_keep_their_own_parameters() -> None:
    """Two epsilons do not get into each other's way, whichever explainer was made last."""
    graph = built(two_relus, (None, 2))
    with DeepExplain(session=graph.session) as de:
        little, much = (de.get_explainer("elrp", graph.T, graph.X, epsilon=each) for each in (1e-9, 1))
        first = little.run([[3, 1]])
        np.testing.assert_allclose(much.run([[3, 1]]), [[3 / 1.5 / 2, -1 / 2 / 2]])

        np.testing.assert_array_equal(little.run([[3, 1]]), first)
    assert repr(much).startswith("<EpsilonLRP(epsilon=1) of Relu")


def test_the_graph_keeps_its_own_gradients() -> None:
    """After elrp, zero and deeplift the user's gradients, old and new, are TensorFlow's."""
    graph = built(small, (None, 2))
    with graph.session.graph.as_default():
        old = v1.gradients(graph.T, graph.X)[0]
        for method in ("elrp", "zero", "deeplift"):
            graph.explain(method, XS)
        new = v1.gradients(graph.T, graph.X)[0]

    np.testing.assert_array_equal(graph.run(old, [[5, 3]]), [[2.5, -2.5]])
    np.testing.assert_array_equal(graph.run(new, [[5, 3]]), [[2.5, -2.5]])


def test_what_is_trained_later_shows() -> None:
    """An explainer uses the values that the variables have when it runs."""
    graph = built(small, (None, 2))
    with DeepExplain(session=graph.session) as de:
        explainer = de.get_explainer("deeplift", graph.T, graph.X)
        explainer.run(XS)
        with graph.session.graph.as_default():
            (bias,) = (each for each in v1.global_variables() if each.op.name == "b1")
            (second,) = (each for each in v1.global_variables() if each.op.name == "W2")
            graph.session.run([bias.assign([0, 0]), second.assign([[2, 0], [0, 0]])])

        np.testing.assert_allclose(explainer.run([[5, 3]]), [[10, -6]])


def test_one_of_three_axes_is_sampled() -> None:
    """Features along the last axis only: for a sum, each gets the sum of its own slices."""
    weights = np.arange(1.0, 7).reshape(2, 3)
    graph = built(lambda X: tf.reduce_sum(X * weights, (1, 2)), (None, 2, 3), dtype="float64")
    xs = np.random.default_rng(0).normal(size=(4, 2, 3))

    np.testing.assert_allclose(
        graph.explain("shapley_sampling", xs, sampling_dims=[2], samples=1), (xs * weights).sum(1)
    )
    np.testing.assert_allclose(
        graph.explain("shapley_sampling", xs, sampling_dims=[2, 1], samples=1), (xs * weights).transpose(0, 2, 1)
    )
    np.testing.assert_allclose(graph.explain("shapley_sampling", xs, samples=1), xs * weights)


@pytest.mark.parametrize("method", METHODS)
def test_examples_may_be_single_numbers(method: str) -> None:
    """An example without axes of its own is one feature, and one window."""
    found = built(lambda X: 3.0 * X, (None,)).explain(method, [1, 2])

    np.testing.assert_allclose(found, [3, 3] if method in ("saliency", "zero") else [3, 6], rtol=1e-6)


def test_windows_of_an_image() -> None:
    """Windows over all axes of an example: of a sum, the mean over them, per value, written out."""
    weights = np.random.default_rng(1).normal(size=(4, 5, 2))
    graph = built(lambda X: tf.reduce_sum(X * weights, (1, 2, 3)), (None, 4, 5, 2), dtype="float64")
    (x,) = xs = np.random.default_rng(0).normal(size=(1, 4, 5, 2))
    total, covering = np.zeros_like(x), np.zeros_like(x)
    for top in (0, 2):
        for left in (0, 2):
            window = np.s_[top : top + 2, left : left + 3]
            total[window] += (x * weights)[window].sum() / 12
            covering[window] += 1

    (found,) = graph.explain("occlusion", xs, window_shape=(2, 3, 2), step=2)

    np.testing.assert_allclose(found, total / covering)


def test_a_border_that_no_window_covers_is_nan_with_a_warning() -> None:
    """A step that skips values leaves them nan, and says so."""
    with pytest.warns(UserWarning, match="left nan: .* cover only 1 of 2 values"):
        found = built(two_relus, (None, 2)).explain("occlusion", [[-10, -5], [3, 1]], step=2)

    np.testing.assert_array_equal(found, [[0, np.nan], [1, np.nan]])


def test_a_nan_of_the_graph_is_handed_on() -> None:
    """One example whose gradient is not finite spoils no other."""
    found = built(tf.sqrt, (None, 1)).explain("saliency", [[0], [4]])

    np.testing.assert_array_equal(found, [[np.inf], [0.25]])


@pytest.mark.parametrize("method", METHODS)
def test_a_fixed_number_of_examples(method: str) -> None:
    """A graph that takes batches of 300 only is run with padded batches; another batch_size is refused."""
    free, fixed = built(small, (None, 2)), built(small, (300, 2))
    watched = Watched(fixed.session, fixed.X)

    found = seeded(fixed._replace(session=watched), method, XS, batch_size=int("300"))

    assert set(watched.batches) == {300}
    np.testing.assert_allclose(found, seeded(free, method, XS), rtol=1e-5, atol=1e-6)
    with pytest.raises(RuntimeError, match="must be compatible with the batch size 64; found 300 instead"):
        fixed.explain(method, XS, batch_size=64)


def test_what_else_the_graph_needs_is_fed() -> None:
    """A feed_dict is used in each run; Keras 2's learning phase is fed automatically."""
    graph = tf.Graph()
    with graph.as_default(), v1.Session():
        X, gain = v1.placeholder("float32", (None, 2)), v1.placeholder("float32", ())
        phase = v1.placeholder(tf.bool, (), "keras_learning_phase")
        T = tf.where(phase, 0.0, gain) * tf.nn.relu(X)
        with DeepExplain() as de:  # the session in force is taken
            for method in ("grad*input", "deeplift", "occlusion"):
                found = de.explain(method, T, X, [[1, 2]], feed_dict={gain: 3})

                np.testing.assert_allclose(found, [[3, 6]])


def test_no_examples_have_no_attributions() -> None:
    """Of nothing, nothing: in the right shape."""
    graph = built(two_relus, (None, 2))

    assert graph.explain("intgrad", np.zeros((0, 2))).shape == (0, 2)
    assert graph.explain("shapley_sampling", np.zeros((0, 2))).shape == (0, 2)


def test_a_lone_input_in_a_list_comes_back_in_one() -> None:
    """As X is handed in, so are the attributions handed out."""
    graph = built(two_relus, (None, 2))
    (found,) = graph._replace(X=[graph.X]).explain("saliency", [[[3, 1]]])

    np.testing.assert_array_equal(found, [[1, 1]])


def test_each_input_has_its_baseline() -> None:
    """Several inputs take a list of baselines."""
    graph = built(lambda x, y: tf.nn.relu(x * y), (None, 1), (None, 1), dtype="float64")
    for method in ("deeplift", "intgrad"):
        one, other = graph.explain(method, [[[3.0]], [[4.0]]], baseline=[[1.0], [4.0]])

        np.testing.assert_allclose((one[0, 0], other[0, 0]), (8, 0))
    with pytest.raises(RuntimeError, match="one baseline for each of 2 inputs, got 1"):
        graph.explain("intgrad", [[[3.0]], [[4.0]]], baseline=[[1.0]])


def test_integers_can_be_zeroed_but_not_differentiated() -> None:
    """Word numbers: perturbation methods take them; the others say what to pass instead, and take that."""
    graph = tf.Graph()
    with graph.as_default():
        X = v1.placeholder(tf.int32, (None, 3))
        table = tf.constant([[0.0], [1.0], [10.0], [100.0]])
        looked_up = tf.nn.embedding_lookup(table, X)
        T = tf.reduce_sum(tf.nn.relu(looked_up), (1, 2))
        session = v1.Session()
    with DeepExplain(session=session) as de:
        assert de.explain("occlusion", T, X, [[3, 1, 2]]).tolist() == [[100, 1, 10]]
        with pytest.raises(saliency.NoGradient, match=r"holds int32.*the output of the embedding that it indexes as X"):
            de.explain("grad*input", T, X, [[3, 1, 2]])
        words = session.run(looked_up, {X: [[3, 1, 2]]})

        assert de.explain("deeplift", T, looked_up, words).ravel().tolist() == [100, 1, 10]


def test_an_input_that_nothing_depends_on_is_refused() -> None:
    """T must be computed from X."""
    graph = built(lambda x, y: tf.nn.relu(x), (None, 1), (None, 1))
    for method in GRADIENT_METHODS:
        with pytest.raises(saliency.NoGradient, match="does not depend on X"):
            graph.explain(method, [[[1]], [[1]]])


def test_other_parts_of_the_graph_are_left_in_peace() -> None:
    """A second model in the same graph, whose placeholders are not fed, is not run."""

    def model(X: Any) -> Any:
        tf.nn.relu(v1.placeholder("float32", (7, 9)))
        return two_relus(X)

    np.testing.assert_allclose(built(model, (None, 2)).explain("deeplift", [[3, 1]]), [[2, -1]])


@pytest.mark.parametrize("T", ["T", None, np.zeros(3)])
def test_a_target_that_is_no_tensor(T: Any) -> None:
    """T is a tensor of the graph."""
    graph = built(small, (None, 2))
    with pytest.raises(RuntimeError, match="T must be a Tensorflow Tensor object"):
        graph._replace(T=T).explain("saliency", XS)


@pytest.mark.parametrize("X", ["X", [], None])
def test_an_input_that_is_no_tensor(X: Any) -> None:
    """X is a tensor of the graph, or a list of them."""
    graph = built(small, (None, 2))
    with pytest.raises(RuntimeError, match="X must be a Tensorflow Tensor object or a list of them"):
        graph._replace(X=X).explain("saliency", XS)


def test_a_list_with_something_else_in_it_or_of_another_graph() -> None:
    """Each of the list is looked at; a tensor of another graph will not do."""
    graph, other = built(small, (None, 2)), built(small, (None, 2))
    with pytest.raises(RuntimeError, match=r"X must be .* or a list of them.*got .*Tensor Placeholder:0 and int"):
        graph._replace(X=[graph.X, 3]).explain("saliency", [XS, XS])
    with pytest.raises(RuntimeError, match="T must be a Tensorflow Tensor object, of the context's graph"):
        graph._replace(T=other.T).explain("saliency", XS)


@pytest.mark.parametrize(
    ("method", "parameters", "error", "says"),
    [
        ("gradient", {}, RuntimeError, r"Method must be in \['zero'.*There is no method 'gradient'"),
        ("elrp", {"epsilon": 0}, AssertionError, "epsilon must be greater than zero"),
        ("elrp", {"epsilon": -1}, saliency.BadField, "epsilon must be greater than zero"),
        ("intgrad", {"baseline": [[0, 0]]}, RuntimeError, r"shape of one example, \(2,\).*got \(1, 2\)"),
        ("deeplift", {"baseline": 0}, RuntimeError, r"shape of one example, \(2,\).*got \(\)"),
        ("intgrad", {"steps": 0}, saliency.BadField, "steps must be at least 1"),
        ("occlusion", {"window_shape": (1, 1)}, AssertionError, "an extent for each axis"),
        ("occlusion", {"window_shape": (3,)}, saliency.BadField, "of at most its length"),
        ("occlusion", {"step": 0}, saliency.BadField, "step must be at least 1"),
        ("occlusion", {"step": 1.5}, saliency.BadField, "step must be a whole number"),
        ("shapley_sampling", {"samples": 0}, saliency.BadField, "samples must be at least 1"),
        ("shapley_sampling", {"sampling_dims": [0, 1]}, RuntimeError, "remove 0 from sampling_dims"),
        ("shapley_sampling", {"sampling_dims": [2]}, RuntimeError, "different numbers from 1 to 1, got"),
        ("shapley_sampling", {"sampling_dims": []}, RuntimeError, "different numbers from 1 to 1, got"),
        ("saliency", {"steps": 3}, TypeError, "steps"),
    ],
)
def test_bad_parameters(method: str, parameters: dict[str, Any], error: type[Exception], says: str) -> None:
    """Each is refused before the session runs, with what was expected."""
    graph = built(two_relus, (None, 2))
    watched = Watched(graph.session, graph.X)
    with pytest.raises(error, match=says):
        graph._replace(session=watched).explain(method, XS, **parameters)

    assert watched.batches == []


def test_arrays_that_do_not_fit() -> None:
    """Lengths and shapes of xs and ys are compared before the session runs."""
    graph = built(small, (None, 2))
    pair = built(lambda x, y: x + y, (None, 1), (None, 1))
    with pytest.raises(RuntimeError, match=r"different lengths \(2 and 1\)"):
        pair.explain("saliency", [[[1]]])
    with pytest.raises(RuntimeError, match=r"as many examples, got \[1, 2\]"):
        pair.explain("saliency", [[[1]], [[1], [2]]])
    with pytest.raises(RuntimeError, match="same batch size, 3, got shape"):
        graph.explain("saliency", XS, ys=[[1, 0]])
    with pytest.raises(ValueError, match=r"ys must have T's shape \(None, 2\), got \(3,\)"):
        graph.explain("saliency", XS, ys=[1, 0, 1])
    with pytest.raises(ValueError, match=r"xs must have the shape of X, \(None, 2\), .* got \(1, 3\)"):
        graph.explain("saliency", [[1, 2, 3]])


def test_perturbation_takes_one_input() -> None:
    """Occlusion and Shapley sampling refuse several inputs, as documented."""
    pair = built(lambda x, y: x + y, (None, 1), (None, 1))
    for method in PERTURBATION_METHODS:
        with pytest.raises(RuntimeError, match="Multiple inputs not yet supported for perturbation methods"):
            pair.explain(method, [[[1]], [[1]]])


def test_a_single_number_has_gradients_but_no_scores() -> None:
    """T without the examples' axis: its gradients are each example's; scores it has none, and says so."""
    graph = built(lambda X: tf.reduce_sum(two_relus(X)), (None, 2))

    np.testing.assert_array_equal(graph.explain("grad*input", [[-10, -5], [3, 1]]), [[0, 0], [3, -1]])
    np.testing.assert_allclose(graph.explain("deeplift", [[-10, -5], [3, 1]]), [[0, 0], [2, -1]])
    with pytest.raises(saliency.BadOutput, match="the examples must be its first axis"):
        graph.explain("occlusion", XS)


def test_the_context() -> None:
    """Outside it nothing is explained, within it the graph is the default, and without a session there is none."""
    graph = built(small, (None, 2))
    de = DeepExplain(session=graph.session)
    with pytest.raises(RuntimeError, match="Explain can be called only within a DeepExplain context"):
        de.explain("saliency", graph.T, graph.X, XS)
    with de as entered:
        assert entered is de
        assert v1.get_default_graph() is graph.session.graph
        with pytest.raises(RuntimeError, match="entered already"), de:
            pass
    with de:  # once more
        de.explain("saliency", graph.T, graph.X, XS)
    with pytest.raises(RuntimeError, match="could not retrieve a session"):
        DeepExplain()
    with graph.session.as_default(), DeepExplain(graph=graph.session.graph) as another:
        assert another.graph is graph.session.graph


def test_a_linear_graph_is_not_warned_of() -> None:
    """No activation, no rule, nothing to warn of; warnings are errors here."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = built(lambda X: 10.0 * X, (None, 1)).explain("elrp", [[2]])

    assert found == 20
