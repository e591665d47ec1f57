"""Attention maps in JAX and Keras: the frameworks' own attention layers (their masks: tests/conformance)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import saliency
from tests.adapters import same_transformer
from tests.nets import picture

METHODS = ("attention_rollout", "attention_relevance", "grad_sam", "le_grad")
IMAGE = picture(32, 48)


def explained(net: Any, method: str, target: Any = (1, 3)) -> list[saliency.Explanation]:
    """Without a bar."""
    return list(saliency.explain(net, IMAGE, method, list(target), progress=False))


def test_tokens_without_a_place_are_noted() -> None:
    """The grid of patches, and the class token before them, are noted."""
    pytest.importorskip("jax")

    assert (
        "attention between 4×6 patches, 1 leading token skipped"
        in explained(same_transformer.in_jax(), METHODS[0])[0].notes
    )


def test_flax_s_own_attention_is_read() -> None:
    """Of nnx.MultiHeadAttention and linen's, in a model with patches and a mean; every method has a mask."""
    pytest.importorskip("flax")
    import jax
    from flax import linen, nnx

    class Linen(linen.Module):
        @linen.compact
        def __call__(self, x: Any) -> Any:
            x = linen.Conv(12, (8, 8), (8, 8))(x)
            tokens = x.reshape(x.shape[0], -1, 12)
            tokens = tokens + linen.MultiHeadDotProductAttention(3)(linen.LayerNorm()(tokens))
            return linen.Dense(5)(tokens.mean(1))

    class Nnx(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.patch = nnx.Conv(3, 12, (8, 8), (8, 8), rngs=rngs)
            self.attention = nnx.MultiHeadAttention(3, 12, decode=False, rngs=rngs)
            self.head = nnx.Linear(12, 5, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            x = self.patch(x)
            tokens = x.reshape(x.shape[0], -1, 12)
            return self.head((tokens + self.attention(tokens)).mean(1))

    net: Any = Linen()
    models = [(net, net.init(jax.random.PRNGKey(0), IMAGE[None] / 255)), Nnx(nnx.Rngs(0))]
    for model in models:
        for method in METHODS:
            (exp,) = explained(model, method, (1,))
            assert exp.mask.shape == (32, 48)
            assert np.ptp(exp.mask) > 0
            assert "attention between 4×6 patches" in exp.notes


@pytest.mark.parametrize("kind", ["nnx", "keras"])
def test_models_without_attention_say_so(kind: str) -> None:
    """Before any work, by the names of their parts."""
    pytest.importorskip("flax" if kind == "nnx" else "keras")
    from tests.adapters import same_net

    with pytest.raises(saliency.Unsupported, match=r"your \w+ exposes no attention weights"):
        saliency.explain(getattr(same_net, kind)(same_net.weights()), picture(), "attention_rollout", 1)


def test_a_model_without_maps_is_refused_when_they_are_read() -> None:
    """Functions have no parts with names: of the little CNN no map is seen."""
    pytest.importorskip("jax")
    from tests.adapters import same_net

    with pytest.raises(saliency.Unsupported, match="No attention maps were found"):
        saliency.explain((same_net.pure_jax, same_net.weights()), picture(), "attention_rollout", 1, progress=False)


def test_keras_own_attention_is_read() -> None:
    """MultiHeadAttention's maps equal those that the layer returns itself, on each backend."""
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    layer = keras.layers.MultiHeadAttention(3, 4)
    inputs = keras.Input((32, 48, 3))
    tokens = keras.layers.Reshape((24, 12))(keras.layers.Conv2D(12, 8, 8)(inputs))
    mixed = keras.layers.Add()([tokens, layer(tokens, tokens)])
    net = keras.Model(inputs, keras.layers.Dense(5)(keras.layers.GlobalAveragePooling1D()(mixed)))
    before = keras.Model(inputs, tokens)(IMAGE[None] / np.float32(255))
    expected = keras.ops.convert_to_numpy(layer(before, before, return_attention_scores=True)[1])
    model: Any = saliency.adapt(net).at([1, 3])
    found = model.attentions(model.ops.asarray(IMAGE[None] / 255))

    np.testing.assert_allclose(found.layers[0].activations, expected, atol=1e-5)
    assert (found.height, found.width, found.before) == (4, 6, 0)
    for method in METHODS:
        assert all(np.ptp(exp.mask) > 0 for exp in explained(net, method))
