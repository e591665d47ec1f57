"""After an explanation a model of JAX or TensorFlow is what it was, and so are the frameworks' random states.

Torch's own tests are in test_torch.py (TestTheModelIsLeftAsItWas), Keras' on its three backends in test_keras.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import saliency
from tests.adapters import same_net
from tests.conformance.models import double_precision
from tests.frameworks import lazy
from tests.nets import picture, small_net

tf, jax = lazy("tensorflow"), lazy("jax")
pytestmark = pytest.mark.needs("tensorflow", "jax", "flax", "equinox")

IMAGE = picture()


def of_tensorflow() -> tuple[Any, Callable[[], list[Any]]]:
    """A tf.Module, and all that must not change."""
    net = same_net.tf_module(same_net.weights())

    def state() -> list[Any]:
        values = [each.numpy() for each in net.w.values()]
        return [values, sorted(vars(net)), tf.random.get_global_generator().state.numpy(), tf.executing_eagerly()]

    return net, state


def of_nnx() -> tuple[Any, Callable[[], list[Any]]]:
    """An nnx module in training mode, with keys of its own."""
    from flax import nnx

    net = same_net.nnx(same_net.weights())

    def state() -> list[Any]:
        keys = jax.dtypes.prng_key
        found = jax.tree.leaves(nnx.state(net))
        numbers = [np.array(jax.random.key_data(x) if jax.numpy.issubdtype(x.dtype, keys) else x) for x in found]
        modes = net.norm.use_running_average, net.drop.deterministic
        return [numbers, sorted(vars(net)), modes, type(net).__call__, type(net.stem).__call__]

    return net, state


def of_equinox() -> tuple[Any, Callable[[], list[Any]]]:
    """An Equinox module whose dropout is not in inference mode."""
    net = same_net.equinox(same_net.weights())

    def state() -> list[Any]:
        numbers = [np.array(each) for each in jax.tree.leaves(net) if hasattr(each, "shape")]
        return [numbers, net.head.layers[0].inference, type(net).__call__, type(net.stem).__call__]

    return net, state


KINDS = {"TensorFlow": of_tensorflow, "nnx": of_nnx, "Equinox": of_equinox}
FEW: dict[str, dict[str, Any]] = {"gradient": {}, "grad_cam": {}, "occlusion": {"size": 8, "stride": 8}}


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal, array by array."""
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def explain(net: Any, method: str = "gradient", target: Any = 1, **options: Any) -> Any:
    """Without a bar, in batches of four."""
    return saliency.explain(net, IMAGE, method, target, **{"progress": False, "batch_size": 4, **options})


@pytest.mark.parametrize("kind", KINDS)
def test_after_success_error_and_cancel(kind: str) -> None:
    """Weights, statistics, keys, modes, attributes, the modules' classes and NumPy's random state are as they were."""
    net, state = KINDS[kind]()
    before, drawn = state(), np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    for method, fields in FEW.items():
        explain(net, method, **fields)
        assert same(state(), before), method
    with pytest.raises(saliency.BadTarget):
        explain(net, "grad_cam", target=lambda out: out)
    with pytest.raises(ZeroDivisionError):
        explain(net, target=lambda out: out[:, 0] * (1 / 0))
    assert same(state(), before)
    reported: list[int] = []
    with pytest.raises(saliency.Cancelled):
        explain(
            net,
            "smooth_grad",
            batch_size=4,
            progress=lambda done, _: reported.append(done),
            cancelled=lambda: len(reported) > 1,
        )
    assert reported
    assert same(state(), before)
    assert same(np.random.get_state()[1], drawn)  # type: ignore[index]  # noqa: NPY002


def test_double_precision_is_kept_in_tensorflow() -> None:
    """A model in float64 is fed float64, and agrees with torch's in float64 to its last digits."""
    net = same_net.tf_module({name: value.astype(np.float64) for name, value in same_net.weights().items()})
    call: Any = type(net).__call__
    # without its signature, which wants float32
    net.__class__ = type("Wide", (type(net),), {"__call__": call.python_function})
    model = saliency.adapt(net)
    exp = explain(model)

    assert model.ops.asarray(IMAGE[None]).dtype == tf.float64
    np.testing.assert_allclose(exp.mask, explain(small_net().double()).mask, rtol=1e-6, atol=1e-12)


def test_double_precision_is_kept_in_jax() -> None:
    """A JAX model with float64 weights is explained in float64."""
    with double_precision():
        params = jax.tree.map(jax.numpy.asarray, same_net.weights("float64"))
        model = saliency.adapt((same_net.pure_jax, params))
        exp = explain(model)
        assert model.ops.asarray(IMAGE[None]).dtype == np.float64

    np.testing.assert_allclose(exp.mask, explain(small_net().double()).mask, rtol=1e-6, atol=1e-12)
