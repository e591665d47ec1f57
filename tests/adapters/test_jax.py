import gc
import weakref
from typing import Any

import numpy as np
import pytest

import saliency
from saliency import targets
from tests.adapters import same_net
from tests.frameworks import lazy
from tests.nets import LABELS, black_box, picture, small_net

jax, jnp = lazy("jax"), lazy("jax.numpy")
pytestmark = pytest.mark.needs("jax", "flax", "equinox")

IMAGE = picture()


def explain(net: Any, method: Any = "gradient", target: Any = 1, **options: Any) -> Any:
    """Explain class 1 of the picture, without a bar, in batches of four so that little is compiled."""
    return saliency.explain(net, IMAGE, method, target, **{"progress": False, "batch_size": 4, **options})


MODELS = {
    "f(params, x)": lambda w: (same_net.pure_jax, jax.tree.map(jnp.asarray, w)),
    "linen": same_net.linen,
    "nnx": same_net.nnx,
    "equinox": same_net.equinox,
}


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    """The little CNN, in each of JAX's ways."""
    return MODELS[request.param](same_net.weights())


def test_occlusion_agrees_with_the_black_box(model: Any) -> None:
    """The scores are those of the plain function on NumPy."""
    exp = explain(model, "occlusion", size=8, stride=5)

    np.testing.assert_allclose(exp.mask, explain(black_box(small_net()), "occlusion", size=8, stride=5).mask, atol=1e-4)


def test_the_automatic_layer_is_the_last_grid_after_its_activation(model: Any) -> None:
    """It is the second ReLU, half the image's size, though no module stands for it."""
    exp = explain(model, "grad_cam")
    adapted: Any = saliency.adapt(model)
    (layer,) = adapted.at([1], [exp.layer]).layers(adapted.ops.asarray(IMAGE[None] / 255))

    assert exp.layer == ":relu:1"
    assert layer.activations.shape == (1, 12, 10, 6)
    assert layer.gradients.shape == (1, 1, 12, 10, 6)
    assert (layer.activations >= 0).all()


@pytest.mark.parametrize("layer", ["stem", "norm", "block"])
@pytest.mark.parametrize("kind", ["linen", "nnx", "equinox"])
def test_a_layer_is_named_by_its_module(kind: str, layer: str) -> None:
    """Grad-CAM at a named module is that of the same net in torch."""
    exp = explain(MODELS[kind](same_net.weights()), "grad_cam", layer=layer)

    np.testing.assert_allclose(exp.mask, explain(small_net(), "grad_cam", layer=layer).mask, atol=1e-5)


@pytest.mark.parametrize("method", ["gradient", "grad_cam"])
@pytest.mark.parametrize("kind", ["linen", "equinox"])
def test_units_are_targets(kind: str, method: str) -> None:
    """A channel's mean and one place of it, beside a class, agree with torch; the unit's own layer is automatic."""
    units = [targets.unit("block", 2), targets.unit("block", 2, (3, 4)), 1]
    options: dict[str, Any] = {"layer": "norm"} if method == "grad_cam" else {}
    net = MODELS[kind](same_net.weights())

    for exp, same in zip(*(explain(each, method, units, **options) for each in (net, small_net())), strict=True):
        np.testing.assert_allclose(exp.mask, same.mask, atol=1e-5 * np.abs(same.mask).max())
        assert exp.score == pytest.approx(same.score, abs=1e-6)
    assert explain(net, "grad_cam", units[0]).layer == "block"


def test_an_unknown_layer_names_the_near_ones() -> None:
    """The error lists what there is."""
    with pytest.raises(saliency.UnknownName, match=r"no layer 'stam'. Did you mean 'stem'"):
        explain(same_net.linen(same_net.weights()), "grad_cam", layer="stam")


def leaves(net: Any) -> list[Any]:
    """All numbers of an nnx module, keys of random streams too."""
    from flax import nnx

    keys = jax.dtypes.prng_key
    found = jax.tree.leaves(nnx.state(net))
    return [np.array(jax.random.key_data(each) if jnp.issubdtype(each.dtype, keys) else each) for each in found]


def test_the_model_is_left_as_it_was() -> None:
    """Of an nnx module in training mode: weights, statistics, random state and mode; its classes get nothing."""
    net = same_net.nnx(same_net.weights())
    before = leaves(net)
    calls = type(net.stem).__call__, type(net).__call__, sorted(vars(net))
    explain(net, "grad_cam")
    with pytest.raises(saliency.BadTarget):
        explain(net, target=lambda out: out)

    assert all(map(np.array_equal, before, leaves(net)))
    assert (type(net.stem).__call__, type(net).__call__, sorted(vars(net))) == calls
    assert not net.norm.use_running_average
    assert not net.drop.deterministic


def test_new_weights_are_used_and_change_the_version() -> None:
    """A training step between two explanations has an effect without a recompilation."""
    net = same_net.nnx(same_net.weights())
    version, before = saliency.adapt(net).version, explain(net).mask
    assert saliency.adapt(net).version == version
    net.head.kernel.set_value(net.head.kernel.get_value() * 2)

    assert saliency.adapt(net).version != version
    np.testing.assert_allclose(explain(net).mask, 2 * before, rtol=1e-5)


def test_nothing_is_compiled_twice() -> None:
    """Three explanations of other targets trace the function no more often than the first: batches are padded."""
    traced = []

    def function(x: Any) -> Any:
        traced.append(x.shape)
        return x.mean((1, 2))

    explain(function, "integrated_gradients", 0, framework="jax", steps=6)
    first = len(traced)
    for target in (1, 2):
        explain(function, "integrated_gradients", target, framework="jax", steps=6)

    assert len(traced) == first
    assert {shape[0] for shape in traced} == {1, 2, 4}  # two to see whether they depend on each other


def test_an_explained_model_can_be_collected() -> None:
    """Nothing that was compiled holds the model."""
    net = same_net.equinox(same_net.weights())
    explain(net)
    seen = weakref.ref(net)
    del net
    gc.collect()

    assert seen() is None


def test_a_softmax_is_looked_through() -> None:
    """The logit is explained, and the notes say so; a softmax by hand as jax.nn has it is one."""
    for head in (jax.nn.softmax, lambda s: jnp.exp(s - s.max()) / jnp.exp(s - s.max()).sum(-1, keepdims=True)):
        params = jax.tree.map(jnp.asarray, same_net.weights())
        exp = explain((lambda p, x, head=head: head(same_net.pure_jax(p, x)), params))
        if head is jax.nn.softmax:
            np.testing.assert_allclose(exp.mask, explain(small_net()).mask, atol=1e-5)
            assert "the model ends in a softmax: explained the logit" in exp.notes
        else:
            assert any("softmax: explained the" in note for note in exp.notes)


@pytest.mark.parametrize("wrap", [lambda s: (s, 0), lambda s: {"logits": s, "other": s}], ids=["tuple", "dict"])
def test_the_scores_are_found_in_what_a_model_returns(wrap: Any) -> None:
    """Tuples and mappings give the mask of the bare scores."""
    params = jax.tree.map(jnp.asarray, same_net.weights())
    exp = explain((lambda p, x: wrap(same_net.pure_jax(p, x)), params))

    np.testing.assert_allclose(exp.mask, explain(small_net()).mask, atol=1e-5)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: jax.lax.stop_gradient(x).mean((1, 2)), saliency.NoGradient, "stop_gradient stops the gradient"),
        (
            lambda x: jnp.round(x * 9).astype(int).sum((1, 2)),
            saliency.NoGradient,
            "converts to int32, and integers have no gradient",
        ),
        (lambda x: jnp.ones((len(x), 3)), saliency.NoGradient, "does not depend on it"),
        (lambda x: jnp.asarray(np.asarray(x)).mean((1, 2)), saliency.Unsupported, "JAX cannot trace this function"),
        (lambda x: jnp.log(x.mean((1, 2)) * 0), saliency.BadOutput, "NaN or infinite"),
        (
            lambda x: x @ jnp.ones((5, 3)),
            saliency.BadImage,
            r"input was \(1, 24, 20, 3\).* 3 channels",
        ),
        (lambda x: {"a": x, "b": x}, saliency.BadOutput, r"mapping with 'a': an array of shape .*target=lambda"),
    ],
    ids=["stopped", "integers", "constant", "NumPy inside", "infinite", "channels", "no scores"],
)
def test_bad_models_raise_clear_errors(function: Any, error: type[Exception], message: str) -> None:
    """Each cause has its sentence."""
    with pytest.raises(error, match=message):
        explain(function, framework="jax")


def test_a_layer_needs_a_grid() -> None:
    """A model without one raises an error that suggests layer=."""
    with pytest.raises(saliency.UnknownName, match="No layer with a spatial grid"):
        explain(lambda x: x.reshape(len(x), -1) @ jnp.ones((IMAGE.size, 3)), "grad_cam", framework="jax")


def test_a_linen_module_needs_its_variables() -> None:
    """The error says how they are handed over."""
    with pytest.raises(saliency.Unsupported, match=r"pass \(Net\(…\), variables\)"):
        explain(same_net.linen(same_net.weights())[0])


def test_a_bound_linen_module_is_a_model() -> None:
    """It has its variables with it."""
    module, variables = same_net.linen(same_net.weights())

    np.testing.assert_allclose(explain(module.bind(variables)).mask, explain(small_net()).mask, atol=1e-5)


def test_an_equinox_module_with_state_is_a_model() -> None:
    """(module, state) of make_with_state: its batch norm uses its statistics, and neither is changed."""
    import equinox as eqx

    class Net(eqx.Module):
        conv: Any
        norm: Any
        head: Any

        def __init__(self, key: Any) -> None:
            self.conv = eqx.nn.Conv2d(3, 4, 3, key=key)
            self.norm = eqx.nn.BatchNorm(4, axis_name="batch", mode="ema")
            self.head = eqx.nn.Linear(4, 3, key=key)

        def __call__(self, x: Any, state: Any) -> Any:
            x, state = self.norm(self.conv(x), state)
            return self.head(jax.nn.relu(x).mean((1, 2))), state

    net, state = eqx.nn.make_with_state(Net)(jax.random.key(0))
    images = jnp.asarray(np.stack([picture(seed=seed) for seed in range(4)]) / 255, jnp.float32).transpose(0, 3, 1, 2)
    for _ in range(30):
        _, state = jax.vmap(net, in_axes=(0, None), out_axes=(0, None), axis_name="batch")(images, state)
    numbers = [np.array(each) for each in jax.tree.leaves((net, state)) if hasattr(each, "shape")]
    still = eqx.nn.inference_mode(net)
    expected = jax.grad(lambda image: still(image, state)[0][1])(
        jnp.asarray(IMAGE / 255, jnp.float32).transpose(2, 0, 1)
    )

    np.testing.assert_allclose(explain((net, state)).mask, expected.transpose(1, 2, 0), atol=1e-6)
    assert explain((net, state), "grad_cam", layer="norm").mask.shape == IMAGE.shape[:2]
    after = [np.array(each) for each in jax.tree.leaves((net, state)) if hasattr(each, "shape")]
    assert all(map(np.array_equal, numbers, after))


def test_labels_and_callables() -> None:
    """A label is a target, and so is a function of the model's own output."""
    net = same_net.linen(same_net.weights())
    exp = explain(net, target="bee", labels=LABELS)

    assert exp.target == 1
    np.testing.assert_allclose(explain(net, target=lambda out: out[:, 1]).mask, exp.mask, atol=1e-6)
