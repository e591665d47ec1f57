"""CRAFT: factors that are recovered, Sobol indices of known functions, a class of the demo network, bad input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import saliency
from saliency.concepts import NMF, SemiNMF, attribute, craft
from saliency.concepts.craft import total_indices
from saliency.concepts.factors import nonnegative_least_squares


def mixtures(seed: int, signed: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return U (80, 3) and W (3, 9), of which each direction has channels, and each row of U is pure in some rows."""
    random = np.random.default_rng(seed)
    coordinates = random.exponential(size=(80, 3)) * (random.random((80, 3)) < 0.6)
    coordinates[:30] = np.repeat(np.eye(3), 10, 0) * random.uniform(0.5, 2, (30, 1))
    directions = np.kron(np.eye(3), random.uniform(0.3, 1, (1, 3)))
    return coordinates, directions - (0.4 * random.random((3, 9)) if signed else 0)


@pytest.mark.parametrize("kind", [NMF, SemiNMF])
def test_factors_are_recovered(kind: type[NMF]) -> None:
    """A = U W with separable W is recovered up to order and scale, and encoding gives U back."""
    coordinates, directions = mixtures(0, signed=kind is SemiNMF)

    basis = kind.fit(coordinates @ directions, 3)

    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (basis.directions, directions)]
    cosines = unit[0] @ unit[1].T
    match = cosines.argmax(1)
    assert sorted(match) == [0, 1, 2]
    assert cosines.max(1).min() > (0.999 if kind is NMF else 0.97)
    if kind is NMF:
        found = basis.encode(coordinates @ directions)
        expected = coordinates[:, match] * (
            np.linalg.norm(directions, axis=1)[match] / np.linalg.norm(basis.directions, axis=1)
        )
        np.testing.assert_allclose(found, expected, atol=0.02)
    assert basis.error < 0.05


def test_coordinates_are_the_non_negative_least_squares() -> None:
    """Coordinate descent gives SciPy's solution of each row."""
    from scipy.optimize import nnls

    random = np.random.default_rng(1)
    rows, directions = random.normal(size=(12, 7)), random.normal(size=(4, 7))

    found = nonnegative_least_squares(rows, directions)

    np.testing.assert_allclose(found, [nnls(directions.T, each)[0] for each in rows], atol=1e-5)


class OfPlaces(nn.Module):
    """A score that is a function of the mean of a ReLU layer."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.layer, self.function = nn.ReLU(), function

    def forward(self, x: torch.Tensor) -> Any:
        score = self.function(self.layer(x).mean((2, 3)))
        return torch.stack([score, 0 * score], 1)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda h: h[:, 0], (1, 0, 0)),
        (lambda h: 2 * h[:, 0] + h[:, 1], (0.8, 0.2, 0)),
        (lambda h: h[:, 1] - 3, (0, 1, 0)),
    ],
    ids=["one", "two", "another"],
)
def test_sobol_indices_of_known_functions(function: Callable[[Any], Any], expected: tuple[float, ...]) -> None:
    """A linear score's total indices are its concepts' shares of the variance."""
    model, values = OfPlaces(function).eval(), np.ones((4, 4, 3), np.float32)
    adapted: Any = saliency.adapt(model)
    cut = adapted.at([0]).cut("layer", torch.ones(1, 4, 4, 3))

    found = total_indices(cut, NMF(np.eye(3)), values, 256, 0)

    np.testing.assert_allclose(found, expected, atol=0.03)


def striped(count: int, seed: int) -> np.ndarray:
    """Return pictures (n, 32, 32, 3) with red squares, which decide, and green ones, which do not."""
    random = np.random.default_rng(seed)
    pictures = np.zeros((count, 32, 32, 3), np.float32)
    for each in pictures:
        for channel in (0, 1):
            top, left = random.integers(0, 24, 2)
            each[top : top + 8, left : left + 8] = np.eye(3)[channel] * random.uniform(0.6, 1)
    return pictures


class Red(nn.Module):
    """The first score grows with the amount of red; the layer has a channel for each colour."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.relu = nn.AvgPool2d(4), nn.ReLU()

    def forward(self, x: torch.Tensor) -> Any:
        found = self.relu(self.pool(x)).mean((2, 3))
        return torch.stack([8 * found[:, 0] ** 2, found[:, 1] * 0 + 0.001], 1)


def test_the_deciding_concept_is_found() -> None:
    """Of red and green squares, red has all importance, its map is where the red is, and its crops show it."""
    pictures = striped(12, 0)

    found = craft(Red().eval(), pictures, 0, "relu", rank=2, patch=8)

    first = int(found.order[0])
    direction = found.basis.directions[first]
    assert direction.argmax() == 0
    assert found.importance[first] > 0.9
    assert found.importance[found.order[1:]].max() < 0.1
    assert found.coordinates.shape == (12, 8, 8, 2)
    amount = pictures.reshape(12, 8, 4, 8, 4, 3).mean((2, 4))[..., 0]
    assert np.corrcoef(found.coordinates[..., first].ravel(), amount.ravel())[0, 1] > 0.95
    assert found.crops[first][0].pixels[..., 0].mean() > 3 * found.crops[first][0].pixels[..., 1].mean()
    assert found.montage(first).shape[0] == 64
    assert found.agreement == 1
    assert found.error < 0.2
    assert "reconstruction error" in str(found)
    one = attribute(Red().eval(), pictures[0], found.basis, "relu", 0)
    assert one.sums.argmax() == first


@pytest.mark.long
@pytest.mark.parametrize("name", ["jax", "keras"])
def test_frameworks_agree(name: str) -> None:
    """The importance of the concepts is torch's within 1e-4."""
    from tests.concepts.test_tcav import of_framework

    pictures = np.random.default_rng(0).random((10, 5, 4, 3)).astype(np.float32)
    found = []
    for each in ("torch", name):
        model, options = of_framework(each)
        adapted = saliency.adapt(model, **options)
        layer = [
            row.name for row in saliency.layers(adapted, pictures[0]) if 6 in row.shape and min(row.shape[1:]) > 1
        ][-1]
        found.append(craft(adapted, pictures, 0, layer, rank=2, patch=3, designs=8, evaluated=2, batch_size=8))

    np.testing.assert_allclose(found[1].importance, found[0].importance, atol=1e-4)
    assert found[1].error == pytest.approx(found[0].error, abs=1e-4)


class Signed(nn.Module):
    """A layer with values of both signs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 5, 4, 4)

    def forward(self, x: torch.Tensor) -> Any:
        return self.conv(x).mean((2, 3))


def test_negative_values_name_the_alternative() -> None:
    """A layer with negative values is refused by NMF; semi-NMF factorises it."""
    pictures = striped(10, 1)
    with pytest.raises(saliency.Unsupported, match=r"negative values.*semi_nmf"):
        craft(Signed().eval(), pictures, 0, "conv", rank=2, patch=8)

    found = craft(Signed().eval(), pictures, 0, "conv", rank=2, patch=8, basis="semi_nmf", evaluated=2, designs=4)

    assert found.basis.directions.min() < 0
    assert found.coordinates.min() >= 0


@pytest.mark.parametrize(
    ("given", "error", "sentence"),
    [
        ({"images": striped(3, 0)}, saliency.BadImage, "at least 10 of its images, got 3"),
        ({"images": [*striped(10, 0), np.zeros((16, 16, 3), np.float32)]}, saliency.BadShape, "one size"),
        ({"rank": 9}, saliency.BadShape, "9 directions"),
        ({"target": None}, saliency.BadImage, "target must be the class"),
        ({"patch": 99}, saliency.BadField, "patch"),
        ({"basis": "pca"}, saliency.UnknownName, "pca"),
    ],
)
def test_bad_input_is_refused(given: dict[str, Any], error: type[Exception], sentence: str) -> None:
    """Too few images, several sizes, too many concepts and a missing class are refused, each with its reason."""
    good: dict[str, Any] = {"images": striped(10, 0), "target": 0, "layer": "relu", "rank": 2, "patch": 8}
    with pytest.raises(error, match=sentence):
        craft(Red().eval(), **{**good, **given})
