"""Shapley's family, LIME and the sensitivity indices on games and functions whose answers are known."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import saliency
from saliency.core.features import FeatureMethod
from saliency.core.partition_shap import Part, cuts
from tests.core.games import Table, Worth, by_orders, played, random_worth, shapley

CLOSED: dict[str, tuple[Worth, list[float]]] = {
    "sum": (lambda z: z @ np.array([1.0, -2.0, 0.5, 0.0]), [1, -2, 0.5, 0]),
    "and": (lambda z: z.min(1), [0.25] * 4),
    "or": (lambda z: z.max(1), [0.25] * 4),
    "xor": (lambda z: z.sum(1) % 2, [0] * 4),
    "saturation": (lambda z: np.minimum(z[:, :2].sum(1), 1.0) + z[:, 2], [0.5, 0.5, 1, 0]),
    "a pair of gloves": (lambda z: np.maximum(z[:, 0], z[:, 1]) * z[:, 2], [1 / 6, 1 / 6, 2 / 3, 0]),
}
EXACT: tuple[FeatureMethod, ...] = (saliency.Shapley(), saliency.KernelShap(), saliency.KernelShap(samples=16))
SAMPLED: tuple[FeatureMethod, ...] = (
    saliency.KernelShap(samples=40),
    saliency.ShapleySampling(samples=7),
    saliency.PartitionShap(samples=30),
)
MARGINAL = saliency.Shapley(), saliency.ShapleySampling(samples=7), saliency.PartitionShap(samples=10_000)
GAMES = st.builds(random_worth, st.just(7), st.integers(0, 10**6))
FEW = settings(max_examples=25)


@pytest.mark.parametrize("game", CLOSED)
@pytest.mark.parametrize("method", EXACT, ids=repr)
def test_shapley_values_of_closed_forms(method: FeatureMethod, game: str) -> None:
    """Sum, AND, OR, XOR, saturation and the glove game have the values of the textbook."""
    worth, expected = CLOSED[game]

    np.testing.assert_allclose(played(method, worth, 4).values, expected, atol=1e-9)


@FEW
@given(st.integers(1, 6), st.integers(0, 10**6))
def test_shapley_is_the_mean_over_all_orders(players: int, seed: int) -> None:
    """With all coalitions evaluated, Shapley and KernelSHAP give the exact values with zero errors."""
    worth = random_worth(players, seed)
    for method in (saliency.Shapley(), saliency.KernelShap(samples=64)):
        found = played(method, worth, players)

        np.testing.assert_allclose(found.values, shapley(worth, players), atol=1e-8)
        assert found.errors is not None
        np.testing.assert_allclose(found.errors, 0, atol=1e-7)


@FEW
@given(GAMES)
def test_shapley_values_share_all_that_is_gained(worth: Worth) -> None:
    """Efficiency: whatever was sampled, the values sum to the worth of all less that of none."""
    gain = np.diff(worth(np.repeat([[0.0], [1.0]], 7, 1)))[0]

    for method in (*EXACT, *SAMPLED):
        assert played(method, worth, 7).values.sum() == pytest.approx(gain, abs=1e-8)


@FEW
@given(GAMES)
def test_a_dummy_gets_nothing(worth: Worth) -> None:
    """A feature that never matters is worth nothing, exactly, wherever marginal worths are looked at."""

    def blind(z: np.ndarray) -> np.ndarray:
        return worth(z * (np.arange(7) != 3))

    for method in (*MARGINAL, saliency.KernelShap(samples=128)):
        assert played(method, blind, 7).values[3] == pytest.approx(0, abs=1e-9)


@FEW
@given(GAMES)
def test_equals_get_equal_shares(worth: Worth) -> None:
    """Symmetry: two features that may change places have the same value."""

    def fair(z: np.ndarray) -> np.ndarray:
        swapped = z[:, [1, 0, *range(2, 7)]]
        return worth(z) + worth(swapped)

    for method in (saliency.Shapley(), saliency.KernelShap(samples=128)):
        first, second, *_ = played(method, fair, 7).values
        assert first == pytest.approx(second, abs=1e-8)


@FEW
@given(GAMES, GAMES)
def test_values_are_linear_in_the_score(one: Worth, other: Worth) -> None:
    """With the same seed, the values of 2 f - 3 g are those of f and g, so combined."""

    def mixed(z: np.ndarray) -> np.ndarray:
        return 2 * one(z) - 3 * other(z)

    linear = (*EXACT, *SAMPLED[:2], saliency.Lime(samples=60), saliency.FeatureAblation())
    for method in linear:
        first, second, both = (played(method, worth, 7).values for worth in (one, other, mixed))
        np.testing.assert_allclose(both, 2 * first - 3 * second, atol=1e-7)


def test_feature_ablation_is_its_formula() -> None:
    """Each feature has the worth of all less the worth of all but it."""
    worth = random_worth(6, 1)
    without = worth(1 - np.eye(6))

    np.testing.assert_allclose(played(saliency.FeatureAblation(), worth, 6).values, worth(np.ones((1, 6))) - without)


@pytest.mark.parametrize("players", [2, 3, 4, 5, 8, 11])
@pytest.mark.parametrize("samples", [4, 10, 31, 64, 500, 5000])
def test_kernel_shap_evaluates_no_coalition_twice(players: int, samples: int) -> None:
    """The evaluated coalitions have the promised number, are distinct and closed under complements."""
    method = saliency.KernelShap(samples=samples, segments=np.arange(players)[None])
    seen: list[np.ndarray] = []
    worth = random_worth(players, 3)

    def noted(z: np.ndarray) -> np.ndarray:
        seen.append(z)
        return worth(z)

    played(method, noted, players)
    rows = {tuple(row) for row in np.concatenate(seen)}

    assert len(rows) == len(np.concatenate(seen)) == method.cost((1, 1, players, 1)) <= samples
    assert {tuple(1 - np.array(row)) for row in rows} == rows


def test_shapley_sampling_walks_its_orders() -> None:
    """The values are the mean marginals along the orders drawn, every second one reversed."""
    worth, method = random_worth(6, 2), saliency.ShapleySampling(samples=5)
    orders = [tuple(int(p) for p in method.order(i, 6)) for i in range(5)]

    np.testing.assert_allclose(played(method, worth, 6).values, by_orders(worth, iter(orders), 6))
    assert orders[1] == orders[0][::-1]
    assert orders[2] not in orders[:2]


def tree_orders(part: Part) -> Iterator[tuple[int, ...]]:
    """Every order in which the halves of each part stay together."""
    if len(part.members) == 1:
        yield (int(part.members[0]),)
        return
    early, late = part.halves
    for one, other in ((early, late), (late, early)):
        for first, second in itertools.product(tree_orders(one), tree_orders(other)):
            yield first + second


@pytest.mark.parametrize("shape", [(1, 2), (1, 5), (2, 3), (2, 4), (3, 2)])
def test_partition_shap_is_owen_s_value(shape: tuple[int, int]) -> None:
    """With everything cut, values are the mean marginals over all orders that keep each part of the tree together."""
    players = shape[0] * shape[1]
    labels = np.arange(players).reshape(shape)
    worth, root = random_worth(players, 4), Part.of(labels)

    found = played(saliency.PartitionShap(samples=10_000), worth, players, labels)

    np.testing.assert_allclose(found.values, by_orders(worth, tree_orders(root), players), atol=1e-10)


@pytest.mark.parametrize("players", [1, 2, 5, 16, 37])
def test_partition_shap_tells_its_cost(players: int) -> None:
    """Each part is evaluated twice per surrounding coalition, and at most `samples` in total."""
    for samples in (2, 9, 100, 10_000):
        game: Any = Table(random_worth(min(players, 16), 0) if players < 17 else lambda z: z.sum(1), players)
        method = saliency.PartitionShap(samples=samples, segments=np.arange(players)[None])
        for _ in method.attribute(game):
            pass

        assert game.evaluated == method.cost((1, 1, players, 1)) <= max(samples, 2)
    assert cuts(8) == 1 + 4 + 16


def test_partition_shap_cuts_where_it_weighs_most() -> None:
    """A budget far from cutting everything finds the one cell of 1,024 that matters."""
    labels = np.arange(1024).reshape(32, 32)
    found = played(saliency.PartitionShap(samples=cuts(1024) // 100), lambda z: 3 * z[:, 437], 1024, labels)

    assert found.values[437] == pytest.approx(3)
    assert np.abs(np.delete(found.values, 437)).max() < 1e-9


def test_lime_is_weighted_ridge_regression() -> None:
    """The weights are those of least squares with the penalty as further rows and a free intercept."""
    worth, method = random_worth(6, 5), saliency.Lime(samples=80, ridge=0.7, width=0.4)
    z = np.array([np.ones(6), *(np.random.default_rng([0, i]).random(6) < 0.5 for i in range(79))], float)
    cosine = z.sum(1) / np.maximum(np.linalg.norm(z, axis=1), 1e-300) / np.sqrt(6)
    root = np.exp(-((1 - cosine) ** 2) / 0.4**2) ** 0.5
    rows = np.vstack([root[:, None] * np.column_stack([z, np.ones(80)]), np.sqrt(0.7) * np.eye(6, 7)])
    right = np.append(root * worth(z), np.zeros(6))
    expected = np.linalg.lstsq(rows, right, rcond=None)[0][:6]

    np.testing.assert_allclose(played(method, worth, 6).values, expected, atol=1e-10)


def test_sobol_indices_of_ishigami() -> None:
    """The total indices of Ishigami's function are those of the closed form (Ishigami and Homma 1990)."""
    a, b, pi = 7.0, 0.1, np.pi

    def ishigami(z: np.ndarray) -> np.ndarray:
        x = 2 * pi * z - pi
        return np.sin(x[:, 0]) + a * np.sin(x[:, 1]) ** 2 + b * x[:, 2] ** 4 * np.sin(x[:, 0])

    first = 0.5 * (1 + b * pi**4 / 5) ** 2
    third = b**2 * pi**8 * (1 / 18 - 1 / 50)
    variance = first + a**2 / 8 + third
    found = played(saliency.Sobol(samples=4096), ishigami, 3)

    np.testing.assert_allclose(
        found.values, [(first + third) / variance, a**2 / 8 / variance, third / variance], atol=0.01
    )


def test_sobol_of_what_depends_on_nothing() -> None:
    """A constant score has no variance to share: zeros, not NaN."""
    found = played(saliency.Sobol(samples=4), lambda z: np.full(len(z), 2.5), 5)

    assert not found.values.any()


def test_hsic_is_its_formula() -> None:
    """HSIC is tr(K H L H) / (n - 1)², with matrices written out."""
    n, worth = 40, random_worth(5, 6)
    z = np.array([np.random.default_rng([0, i]).random(5) < 0.5 for i in range(n)], float)
    y = worth(z)
    width = np.median([abs(y[i] - y[j]) for i in range(n) for j in range(i)])
    kernel = np.exp(-((y[:, None] - y) ** 2) / (2 * width**2))
    centre = np.eye(n) - 1 / n
    expected = [
        np.trace((0.5 - (z[:, i, None] - z[:, i]) ** 2) @ centre @ kernel @ centre) / (n - 1) ** 2 for i in range(5)
    ]

    np.testing.assert_allclose(played(saliency.Hsic(samples=n), worth, 5).values, expected, atol=1e-12)


def test_hsic_sees_what_no_variance_tells() -> None:
    """Features that matter stand out from the others, even where they matter together only."""
    found = played(saliency.Hsic(samples=400), lambda z: z[:, 0] + 3 * z[:, 1] * z[:, 2], 12)

    assert set(np.argsort(-found.values)[:3]) == {0, 1, 2}


def truth(method: FeatureMethod, worth: Worth, players: int) -> np.ndarray:
    """Return the values that a method converges to with many samples."""
    z = ((np.arange(1 << players)[:, None] >> np.arange(players)) & 1).astype(float)
    if isinstance(method, saliency.Lime):
        weights = np.exp(-(((1 - np.sqrt(z.mean(1))) / method.width) ** 2)) ** 0.5
        rows = weights[:, None] * np.column_stack([z, np.ones(len(z))])
        return np.asarray(np.linalg.lstsq(rows, weights * worth(z), rcond=None)[0][:-1])
    if isinstance(method, saliency.Sobol | saliency.Hsic):
        return played(method.but(samples=8192 if isinstance(method, saliency.Sobol) else 4000), worth, players).values
    return shapley(worth, players)


def smooth(z: np.ndarray) -> np.ndarray:
    """A score with interactions of all kinds."""
    return (
        np.tanh(z @ np.array([1.2, -0.8, 0.6, 0.5, -0.4, 0.3])) + z[:, 0] * z[:, 3] - 0.5 * z[:, 1] * z[:, 2] * z[:, 5]
    )


@pytest.mark.parametrize(
    ("method", "least", "most"),
    [
        (saliency.ShapleySampling(samples=40), 0.90, 0.99),
        (saliency.KernelShap(samples=40), 0.90, 0.99),
        (saliency.Lime(samples=200, ridge=0.0), 0.90, 0.99),
        (saliency.Hsic(samples=300), 0.88, 1.0),
        (saliency.Sobol(samples=64), 0.88, 1.0),
    ],
    ids=lambda value: repr(value) if isinstance(value, FeatureMethod) else "",
)
def test_standard_errors_are_honest(method: FeatureMethod, least: float, most: float) -> None:
    """Two standard errors about the estimate hold the truth in about 95 of 100 runs, and not in all."""
    expected, held = truth(method, smooth, 6), []
    for seed in range(100):
        found = played(method.but(seed=seed), smooth, 6)
        assert found.errors is not None
        held.append(np.abs(found.values - expected) <= 1.96 * found.errors)

    assert least <= np.mean(held) <= most
