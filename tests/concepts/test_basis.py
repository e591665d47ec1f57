"""Attribution to a basis of a layer: it sums to the layer's own, for channels, directions and a sparse autoencoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import nn

import saliency
from saliency.concepts import Channels, Vectors, attribute
from tests.nets import picture, small_net

IMAGE = picture(seed=2)
LAYER = "relu"


class SparseAutoencoder:
    """z = ReLU(h E), h ≈ z D + b."""

    def __init__(self, channels: int = 6, width: int = 15) -> None:
        random = np.random.default_rng(0)
        self.encoder, self.decoder = random.normal(size=(channels, width)), random.normal(size=(width, channels))
        self.bias = random.normal(size=channels)

    def encode(self, activations: np.ndarray) -> np.ndarray:
        return np.maximum(activations @ self.encoder, 0)

    def decode(self, coordinates: np.ndarray) -> np.ndarray:
        return coordinates @ self.decoder + self.bias


@pytest.fixture(scope="module")
def layer() -> np.ndarray:
    """Gradient × value of the layer, (h, w, K)."""
    found = saliency.explain(small_net(), IMAGE, "input_x_gradient", 1, at=LAYER, progress=False)
    return np.asarray(found.mask, np.float64)


@pytest.mark.parametrize(
    "basis",
    [Channels(), Vectors(np.random.default_rng(1).normal(size=(3, 6))), SparseAutoencoder()],
    ids=["channels", "vectors", "autoencoder"],
)
def test_units_and_error_sum_to_the_layer(basis: Any, layer: np.ndarray) -> None:
    """At every place, the units and the error sum to gradient × value of the layer."""
    found = attribute(small_net(), IMAGE, basis, LAYER, 1)

    np.testing.assert_allclose(found.values.sum(-1) + found.error, layer.sum(-1), atol=1e-6)
    assert found.total == pytest.approx(layer.sum(), abs=1e-5)
    assert found.on_picture(0).shape == IMAGE.shape[:2]
    assert str(found).startswith("1 ")


def test_channels_are_attributed_their_own(layer: np.ndarray) -> None:
    """The basis of channels gives each channel's gradient × value, without an error."""
    found = attribute(small_net(), IMAGE, Channels(), LAYER, 1)

    np.testing.assert_allclose(found.values, layer, atol=1e-6)
    assert np.abs(found.error).max() < 1e-6
    assert found.residual < 1e-6


def test_a_direction_is_attributed_its_share() -> None:
    """A direction and its orthogonal complement divide the attribution; either alone reports the other as error."""
    vectors = np.linalg.qr(np.random.default_rng(5).normal(size=(6, 6)))[0]

    one = attribute(small_net(), IMAGE, Vectors(vectors[:1]), LAYER, 1)
    rest = attribute(small_net(), IMAGE, Vectors(vectors[1:]), LAYER, 1)

    np.testing.assert_allclose(one.values.sum(-1), rest.error, atol=1e-6)
    assert 0 < one.residual < 1


class Squares(Channels):
    """A decoder that is not linear."""

    def decode(self, coordinates: np.ndarray) -> np.ndarray:
        return np.asarray(coordinates**2)


class Narrow(Channels):
    """A basis of another width."""

    def decode(self, coordinates: np.ndarray) -> np.ndarray:
        return np.asarray(coordinates[..., :2])


@pytest.mark.parametrize(
    ("basis", "layer", "error", "sentence"),
    [
        (object(), LAYER, saliency.BadField, "methods encode and decode"),
        (Channels, LAYER, saliency.BadField, "methods encode and decode"),
        (Squares(), LAYER, saliency.BadField, "not linear"),
        (Narrow(), LAYER, saliency.BadShape, "must return"),
        (Channels(), "block", saliency.Unsupported, "does not cut"),
    ],
)
def test_what_is_no_basis_is_refused(basis: Any, layer: str, error: type[Exception], sentence: str) -> None:
    """An object without the two methods, a nonlinear decoder, another width, and a layer beside a skip are refused."""
    with pytest.raises(error, match=sentence):
        attribute(small_net(), IMAGE, basis, layer, 1)


def test_dependent_directions_are_refused() -> None:
    """Directions that depend on each other have no coordinates."""
    with pytest.raises(saliency.BadField, match="linearly independent"):
        Vectors(np.ones((2, 4)))


def test_a_layer_without_a_grid_has_no_map() -> None:
    """At a dense layer the units have sums, and a map is refused."""
    layers = nn.Flatten(), nn.Linear(24 * 20 * 3, 5), nn.ReLU(), nn.Linear(5, 2)

    found = attribute(nn.Sequential(*layers).eval(), IMAGE, Channels(), "2", 0)

    assert found.sums.shape == (5,)
    with pytest.raises(saliency.BadImage, match="no grid"):
        found.on_picture(0)
