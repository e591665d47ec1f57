import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saliency
from saliency import targets
from saliency.core.catalogue import METHODS
from tests.adapters import same_net
from tests.frameworks import lazy
from tests.nets import few, one_each, picture, small_net

tf = lazy("tensorflow")
pytestmark = pytest.mark.needs("tensorflow")

IMAGE = picture()


def explain(net: Any, method: Any = "gradient", target: Any = 1, **options: Any) -> Any:
    """Explain class 1 of the picture, without a bar."""
    return saliency.explain(net, IMAGE, method, target, **{"progress": False, "batch_size": 4, **options})


@pytest.fixture(scope="module", params=["module", "softmax", "function"])
def model(request: pytest.FixtureRequest) -> Any:
    """The little CNN as a tf.Module, with a softmax at its end, and as a tf.function."""
    net = same_net.tf_module(same_net.weights(), request.param == "softmax")
    inner: Any = type(net).__call__
    return tf.function(inner.python_function.__get__(net)) if request.param == "function" else net


@pytest.mark.agreement
@pytest.mark.parametrize("method", one_each())
def test_each_capability_agrees_with_torch(model: Any, method: str) -> None:
    """One method for each capability has the masks of torch, at the logit where there is a softmax."""
    if METHODS[method].family == "attention":
        with pytest.raises(saliency.Unsupported, match="No attention maps were found in your"):
            explain(model, method)
        return
    found, expected = (explain(each, method, [1, 2], **few(METHODS[method])) for each in (model, small_net()))

    for exp, same in zip(found, expected, strict=True):
        np.testing.assert_allclose(exp.mask, same.mask, atol=1e-4 * np.abs(same.mask).max())
        assert exp.score == pytest.approx(same.score, rel=1e-4)


def test_operators_are_layers(model: Any) -> None:
    """The last with a grid is the second ReLU, by the name that its operator has in the graph."""
    assert explain(model, "grad_cam").layer == "Relu_1"
    assert [row.name for row in saliency.layers(model, IMAGE)][-1] == "Relu_1"


@pytest.mark.parametrize("method", ["gradient", "grad_cam"])
def test_units_are_targets(model: Any, method: str) -> None:
    """A channel's mean and one place of it, beside a class, agree with torch, at operators."""
    same: list[Any] = [targets.unit("block", 2), targets.unit("block", 2, (3, 4)), 1]
    units = [targets.unit("add_1", 2), targets.unit("add_1", 2, (3, 4)), 1]
    layers = ("batchnorm/add_1", "norm") if method == "grad_cam" else (None, None)
    found = explain(model, method, units, layer=layers[0])
    expected = explain(small_net(), method, same, layer=layers[1])

    for exp, like in zip(found, expected, strict=True):
        assert exp.score == pytest.approx(like.score, abs=1e-6)
        np.testing.assert_allclose(exp.mask, like.mask, atol=1e-5 * np.abs(like.mask).max())


def test_a_softmax_is_looked_through() -> None:
    """The notes say that the logit was explained."""
    exp = explain(same_net.tf_module(same_net.weights(), softmax=True))

    assert "the model ends in a softmax: explained the logit" in exp.notes


def test_a_saved_model_gives_gradients(tmp_path: Path) -> None:
    """By its call and by its signature; its layers are hidden, and both report it before any forward pass."""
    net = same_net.tf_module(same_net.weights())
    tf.saved_model.save(net, str(tmp_path), signatures=net.__call__)
    loaded = tf.saved_model.load(str(tmp_path))

    for model in (loaded, loaded.signatures["serving_default"]):
        np.testing.assert_allclose(explain(model).mask, explain(small_net()).mask, atol=1e-5)
        with pytest.raises(saliency.Unsupported, match="layers inside a SavedModel are hidden"):
            explain(model, "grad_cam")


def test_the_model_is_left_as_it_was_and_can_be_collected() -> None:
    """Nothing is written to it, and nothing that was traced holds it."""
    net = same_net.tf_module(same_net.weights())
    before = {name: each.numpy() for name, each in net.w.items()}
    explain(net, "grad_cam")

    assert sorted(vars(net)) == sorted(vars(same_net.tf_module(same_net.weights())))
    assert all(np.array_equal(each.numpy(), before[name]) for name, each in net.w.items())
    seen = weakref.ref(net)
    del net
    gc.collect()
    assert seen() is None


def test_new_weights_are_used_and_change_the_version() -> None:
    """A training step between two explanations has an effect without a new trace."""
    net = same_net.tf_module(same_net.weights())
    version, before = saliency.adapt(net).version, explain(net).mask
    net.w["head.weight"].assign(net.w["head.weight"] * 2)

    assert saliency.adapt(net).version != version
    np.testing.assert_allclose(explain(net).mask, 2 * before, rtol=1e-5)


def test_the_version_depends_on_the_order_of_weights_and_is_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two weights that change places change it, and reading it again runs the same traced function."""
    from saliency.adapters.tensorflow import model

    traced, sums = [], model._sums

    def counted(variables: Any, one: Any) -> Any:
        traced.append(len(variables))
        return sums(variables, one)

    monkeypatch.setattr(model, "_sums", counted)
    net = same_net.tf_module(same_net.weights())
    adapted = saliency.adapt(net)
    version, weight = adapted.version, net.w["head.weight"]
    assert adapted.version == version
    weight.assign(tf.reverse(weight, [0]))

    assert adapted.version != version
    assert len(traced) == 1


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: tf.reduce_mean(tf.stop_gradient(x), (1, 2)), saliency.NoGradient, "StopGradient stops the gradient"),
        (lambda x: tf.one_hot(tf.argmax(tf.reduce_mean(x, (1, 2)), 1), 3), saliency.NoGradient, "converts to int64"),
        (lambda x: tf.ones((tf.shape(x)[0], 3)), saliency.NoGradient, "does not depend on it"),
        (lambda x: tf.math.log(tf.reduce_mean(x, (1, 2)) * 0), saliency.BadOutput, "NaN or infinite"),
        (lambda x: tf.matmul(x, tf.ones((5, 3))), saliency.BadImage, r"\(N, H, W, C\), that is 3 channels"),
        (lambda x: {"a": x, "b": x}, saliency.BadOutput, r"mapping with 'a': an array of shape .*target=lambda"),
    ],
    ids=["stopped", "integers", "constant", "infinite", "channels", "no scores"],
)
def test_bad_models_raise_clear_errors(function: Any, error: type[Exception], message: str) -> None:
    """Each cause has its sentence."""
    with pytest.raises(error, match=message):
        explain(function, framework="tensorflow")


def test_products_of_unlike_ranks_are_right() -> None:
    """TensorFlow's own kernel writes beyond its memory where one factor has more axes than the other."""
    ops = saliency.adapt(tf.function(lambda x: x)).ops
    maps, across = np.random.default_rng(0).normal(size=(2, 2, 1, 12, 10))[0], np.eye(10, 20)

    np.testing.assert_allclose(ops.matmul(ops.asarray(maps), ops.asarray(across)), maps @ across, rtol=1e-5)
