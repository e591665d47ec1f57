"""Metrics that remove pixels: literal re-derivations, closed forms, and invariances."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

import saliency
from saliency import metrics
from saliency.api.cases import case_of
from saliency.metrics.imputation import impute
from saliency.metrics.metric import Measurement, band_of
from saliency.metrics.orders import Order, at_random, by_salience, cells, random_map
from tests.metrics.test_imputation import exact

SIDE = 12
WEIGHTS = np.random.default_rng(5).random((SIDE, SIDE, 3))
IMAGE = np.random.default_rng(6).random((SIDE, SIDE, 3)).astype(np.float32)


def linear(images: np.ndarray) -> np.ndarray:
    """Return Σ w x of each image, as one value."""
    return np.asarray(images, np.float64).reshape(len(images), -1) @ WEIGHTS.reshape(-1, 1)


def curved(images: np.ndarray) -> np.ndarray:
    """Return logits of three classes, the first from products of two halves of the image."""
    grey = np.asarray(images, np.float64).mean(3)
    first = 30 * grey[:, :6].mean((1, 2)) * grey[:, 6:].mean((1, 2)) - 5
    return np.stack([first, grey[:, ::2].mean((1, 2)), np.zeros(len(grey))], 1)


def case(function: Callable[..., Any] = linear, image: np.ndarray = IMAGE, target: int = 0) -> metrics.Case[Any]:
    """Return the case of a function and an image."""
    return case_of(saliency.prepare(function, [image], framework="numpy"), target)


def softmax(outputs: np.ndarray) -> np.ndarray:
    """Return the probabilities of logits (N, classes)."""
    powers = np.exp(outputs - outputs.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def contributions(fill: np.ndarray | float = 0.0) -> np.ndarray:
    """Return each pixel's exact contribution to the linear score, (H, W)."""
    return np.asarray((WEIGHTS * (IMAGE - fill)).sum(2))


def blurred(image: np.ndarray = IMAGE) -> np.ndarray:
    """Return the fill "blur", re-derived."""
    return np.asarray(gaussian_filter(image, (SIDE / 16, SIDE / 16, 0), mode="nearest"))


def removed_one_by_one(mask: np.ndarray, fill: np.ndarray, function: Callable[..., Any] = linear) -> np.ndarray:
    """Return the outputs as the pixels are removed one by one, literally, (n + 1, classes)."""
    now, found = IMAGE.copy(), [function(IMAGE[None])[0]]
    for place in np.argsort(-mask.ravel()):
        now[np.unravel_index(place, mask.shape)] = fill[np.unravel_index(place, mask.shape)]
        found.append(function(now[None])[0])
    return np.array(found)


def test_deletion_and_insertion_equal_a_literal_loop() -> None:
    """The areas are those of the curves of removing, and of adding, every pixel by itself."""
    mask = np.random.default_rng(1).normal(size=(SIDE, SIDE))
    values = softmax(removed_one_by_one(mask, blurred(), curved))[:, 0]
    again = softmax(removed_one_by_one(-mask, blurred(), curved))[::-1, 0]
    all_levels = SIDE * SIDE

    found = metrics.Deletion(levels=all_levels)(case(curved), metrics.Attribution(mask), band=False)
    inserted = metrics.Insertion(levels=all_levels)(case(curved), metrics.Attribution(mask), band=False)
    gain = metrics.SRG(levels=all_levels, cell=1)(case(curved), metrics.Attribution(mask), band=False)

    assert found.value == pytest.approx(np.trapezoid(values) / all_levels, rel=1e-6)
    assert inserted.value == pytest.approx(np.trapezoid(again) / all_levels, rel=1e-6)
    assert gain.value == pytest.approx(inserted.value - found.value, abs=1e-12)
    np.testing.assert_allclose(found.curves["deletion"].values, values, rtol=1e-6)


def test_the_exact_order_is_the_best_and_its_reverse_the_worst() -> None:
    """For a linear score no order deletes faster than that of the exact contributions, none slower than its reverse."""
    drops = contributions(blurred())
    areas = [
        metrics.Deletion(levels=36)(case(), metrics.Attribution(each), band=False).value
        for each in (drops, -drops, *np.random.default_rng(2).normal(size=(5, SIDE, SIDE)))
    ]

    assert min(areas) == areas[0]
    assert max(areas) == areas[1]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_a_reversed_map_has_the_negative_gain(seed: int) -> None:
    """SRG of -a is minus SRG of a, if no two values are equal; random orders have a mean of 0."""
    mask = np.random.default_rng(seed).normal(size=(SIDE, SIDE))
    gain = metrics.SRG(levels=6, cell=1)
    one, other = (gain(case(curved), metrics.Attribution(each)) for each in (mask, -mask))

    assert one.value == pytest.approx(-other.value, abs=1e-12)
    assert one.band is not None
    assert one.band.mean == pytest.approx(0, abs=1e-12)
    assert one.band.low == pytest.approx(-one.band.high)


RANKED: list[metrics.Metric] = [
    metrics.Deletion(levels=8),
    metrics.Insertion(levels=8),
    metrics.SRG(levels=8),
    metrics.ROAD(shares=(0.2, 0.5)),
    metrics.AOPC(cell=3, levels=10),
]
SUMMED: list[metrics.Metric] = [metrics.FaithfulnessCorrelation(cell=3, draws=20), metrics.Infidelity(draws=20)]


@pytest.mark.parametrize("metric", RANKED, ids=repr)
def test_metrics_of_order_ignore_a_monotone_change(metric: metrics.Metric) -> None:
    """2 a + 1 has the same order as a, and the same value; so has a second call with the same seed."""
    mask = np.random.default_rng(3).normal(size=(SIDE, SIDE))
    values = [
        metric(case(curved), metrics.Attribution(each), band=False).value for each in (mask, 2 * mask + 1, mask.copy())
    ]

    assert values[0] == values[1] == values[2]


def test_average_drop_is_scaled_and_infidelity_is_not_monotone_invariant() -> None:
    """Metrics of a mask's values change with a + constant where sums count, and not where the mask is scaled to 0–1."""
    mask = np.random.default_rng(3).normal(size=(SIDE, SIDE))
    both = [metrics.Attribution(each) for each in (mask, 2 * mask + 1)]
    same = [metrics.AverageDrop()(case(curved), each, band=False).value for each in both]
    other = [metrics.Infidelity(draws=20)(case(curved), each, band=False).value for each in both]

    assert same[0] == pytest.approx(same[1], rel=1e-5)
    assert abs(other[0] - other[1]) > 1e-3


@pytest.mark.parametrize("metric", RANKED + SUMMED, ids=repr)
def test_a_constant_map_has_no_order(metric: metrics.Metric) -> None:
    """A constant map, a map with NaN, and a map of another shape have no value, and the reason is given."""
    constant = metric(case(curved), metrics.Attribution(np.ones((SIDE, SIDE))))
    broken = metric(case(curved), metrics.Attribution(np.full((SIDE, SIDE), np.nan)))
    other = metric(case(curved), metrics.Attribution(np.ones((SIDE, 3))))

    assert [np.isnan(each.value) for each in (constant, broken, other)] == [True] * 3
    assert "constant" in constant.reason
    assert "NaN" in broken.reason
    assert "(12, 3)" in other.reason
    assert constant.images == broken.images == other.images == 0


def test_ties_are_broken_at_random_not_by_position() -> None:
    """Of equal pixels, the first removed ones are spread over the image; the order depends on the seed only."""
    flat = np.zeros((40, 40))
    flat[0, 0] = 1
    order = by_salience(flat)
    early = np.argwhere(order.ranks < 400)

    assert order.ranks[0, 0] == 0
    assert abs(early.mean() - 19.5) < 2
    assert np.array_equal(order.ranks, by_salience(flat).ranks)
    assert not np.array_equal(order.ranks, by_salience(flat, seed=1).ranks)


def test_random_maps_are_as_smooth_as_a_map_of_seven_values() -> None:
    """Values are interpolated between 7 of them along the shorter side, by their centres."""
    found = random_map((28, 56), 3)
    values = np.random.default_rng([3, 1]).normal(size=(7, 14))

    assert found.shape == (28, 56)
    assert not np.array_equal(found, random_map((28, 56), 4))
    # pixels 5 and 6 of a row are 1/8 before and after the centre of its second value, row 0 is before the first one
    assert found[0, 5] == pytest.approx(0.875 * values[0, 1] + 0.125 * values[0, 0])
    assert found[0, 6] == pytest.approx(0.875 * values[0, 1] + 0.125 * values[0, 2])
    steps = at_random((28, 56), cells((28, 56), 2), 3).ranks[::2, ::2]
    assert np.corrcoef(steps[:, :-1].ravel(), steps[:, 1:].ravel())[0, 1] > 0.7


@pytest.mark.parametrize("kind", ["normal", "uniform", "standard_cauchy"])
def test_the_range_of_random_maps_has_its_level_for_any_distribution(kind: str) -> None:
    """Another value exceeds 19 values and their negatives with a probability of 1 in 40."""
    draws = getattr(np.random.default_rng(0), kind)(size=(4000, 20))
    draws -= 0.5 if kind == "uniform" else 0
    exceeded = 0
    for new, *known in draws:
        band = band_of([Measurement(sign * each) for each in known for sign in (1, -1)], is_range=True)
        assert band is not None
        exceeded += new > band.high

    assert abs(exceeded / 4000 - 1 / 40) < 3 * np.sqrt(1 / 40 / 4000)


def test_an_order_and_its_reverse_share_their_images() -> None:
    """Keeping the first groups of a reversed order is keeping the last ones of the order."""
    order = at_random((9, 8), cells((9, 8), 2), 3)
    backwards = order.reverse()

    for count in range(len(order) + 1):
        for first in (True, False):
            one, other = backwards.keep(count, first=first), order.keep(len(order) - count, first=not first)
            assert one.key == other.key
            np.testing.assert_array_equal(one.mask(), other.mask())
            expected = backwards.ranks < count if first else backwards.ranks >= count
            np.testing.assert_array_equal(one.mask(), expected)
    assert order.share(np.array([0, len(order)])).tolist() == [0, 1]


def test_metrics_share_forward_passes() -> None:
    """Deletion, insertion and SRG of one fill evaluate each perturbed image once, and another map shares the ends."""
    one, mask = case(curved), metrics.Attribution(np.random.default_rng(1).normal(size=(SIDE, SIDE)))
    same: dict[str, Any] = {"levels": 8, "cell": 1}

    first = metrics.Deletion(**same)(one, mask, band=False).images
    assert first == 9
    assert metrics.Insertion(**same)(one, mask, band=False).images == 7
    assert metrics.SRG(**same)(one, mask, band=False).images == 0
    assert metrics.Deletion(**same)(one, metrics.Attribution(-mask.values), band=False).images == 7


def test_road_equals_a_literal_imputation() -> None:
    """With noise 0, both orders are evaluated on images whose holes are filled by a direct solve."""
    mask = np.random.default_rng(4).normal(size=(SIDE, SIDE))
    shares = (0.1, 0.4)

    def mean(order: np.ndarray) -> float:
        keeps = [order >= np.rint(share * SIDE * SIDE) for share in shares]
        return float(np.mean([softmax(curved(exact(IMAGE, keep)[None]))[0, 0] for keep in keeps]))

    ranks = np.argsort(np.argsort(-mask.ravel())).reshape(SIDE, SIDE)
    expected = (mean(SIDE * SIDE - 1 - ranks) - mean(ranks)) / 2
    found = metrics.ROAD(shares=shares, noise=0, cell=1)(case(curved), metrics.Attribution(mask), band=False)

    assert found.value == pytest.approx(expected, abs=1e-4)
    with pytest.raises(saliency.BadField, match="ascending"):
        metrics.ROAD(shares=(0.4, 0.1))


def test_aopc_is_the_mean_drop_over_regions() -> None:
    """AOPC is the mean of f(x) - f(x without the k best cells), k = 0 … L, literally; 0 for L = 1 of an unread cell."""
    mask = np.random.default_rng(4).normal(size=(SIDE, SIDE))
    blocks = mask.reshape(4, 3, 4, 3).mean((1, 3))
    now, drops = IMAGE.copy(), [0.0]
    for place in np.argsort(-blocks.ravel())[:5]:
        row, column = (3 * int(each) for each in np.unravel_index(place, blocks.shape))
        now[row : row + 3, column : column + 3] = 0
        drops.append(float((linear(IMAGE[None]) - linear(now[None]))[0, 0]))

    found = metrics.AOPC(cell=3, levels=5, fill="black")(case(), metrics.Attribution(mask), band=False)

    assert found.value == pytest.approx(np.mean(drops), rel=1e-5)


def test_irof_of_a_perfect_map_is_the_best_value() -> None:
    """If the score is 1 while the decisive segment is kept, and 0 afterwards, IROF is 1 - 1 / (2 L)."""

    def corner(images: np.ndarray) -> np.ndarray:
        return (np.asarray(images)[:, :3, :3].mean((1, 2)) > 0.5).astype(np.float64)[:, :1]

    image = np.zeros((SIDE, SIDE, 3), np.float32)
    image[:3, :3] = 1
    mask = np.zeros((SIDE, SIDE))
    mask[:3, :3] = 1
    irof = metrics.IROF(segments="grid", count=16)

    assert irof(case(corner, image), metrics.Attribution(mask), band=False).value == pytest.approx(1 - 1 / 32)
    nothing = irof(case(corner, np.zeros_like(image)), metrics.Attribution(mask), band=False)
    assert "zero" in nothing.reason


def test_correlation_metrics_are_exact_for_a_linear_score() -> None:
    """A mask of the exact contributions has correlation 1 with every change of a linear score, and no infidelity."""
    true = metrics.Attribution(contributions())
    for metric in (metrics.FaithfulnessCorrelation(cell=2, draws=40), metrics.SensitivityN(cell=2, draws=20, sizes=5)):
        assert metric(case(), true, band=False).value == pytest.approx(1, abs=1e-6)
        assert metric(case(), metrics.Attribution(-true.values), band=False).value == pytest.approx(-1, abs=1e-6)

    infidelity = metrics.Infidelity(draws=30)(case(), true, band=False)
    assert infidelity.value == pytest.approx(0, abs=1e-9)
    assert infidelity.details["raw"] == pytest.approx(0, abs=1e-9)
    gradient = metrics.Infidelity(draws=30, kind="gradient")(case(), metrics.Attribution(WEIGHTS), band=False)
    assert gradient.value == pytest.approx(0, abs=1e-9)


def test_faithfulness_correlation_gives_both_correlations() -> None:
    """The details have Spearman's correlation of the same sets, re-derived by SciPy."""
    one, mask = case(curved), np.random.default_rng(4).normal(size=(SIDE, SIDE))
    metric = metrics.FaithfulnessCorrelation(cell=3, draws=30)
    found = metric(one, metrics.Attribution(mask), band=False)
    sets = metric.drawn(one, round(0.2 * 16), 30)
    labels = np.arange(SIDE) // 3
    labels = labels[:, None] * 4 + labels
    sums = [mask[each[labels]].sum() for each in sets]
    drops = [(curved(IMAGE[None]) - curved(np.where(each[labels][..., None], 0, IMAGE)[None]))[0, 0] for each in sets]

    assert found.value == pytest.approx(np.corrcoef(sums, drops)[0, 1], rel=1e-4)
    assert found.details["spearman"] == pytest.approx(spearmanr(sums, drops).statistic, rel=1e-4)


def test_infidelity_equals_captums() -> None:
    """With Captum's squares as perturbations, raw infidelity is Captum's with multiply_by_inputs."""
    import torch
    from captum.metrics import infidelity, infidelity_perturb_func_decorator

    metric, one = metrics.Infidelity(draws=16), case()
    mask = np.random.default_rng(4).normal(size=(SIDE, SIDE, 3))
    squares = iter(metric.squares((SIDE, SIDE)))

    def remove(inputs: Any, baselines: Any) -> Any:
        changed = inputs.clone()
        for row in range(len(changed)):
            rows, columns = next(squares)
            changed[row, rows, columns] = 0
        return changed

    def forward(images: Any) -> Any:
        return (images.double() * torch.as_tensor(WEIGHTS)).sum((1, 2, 3))

    image = torch.as_tensor(IMAGE[None])
    perturbed = infidelity_perturb_func_decorator(True)(remove)
    expected = infidelity(
        forward,
        perturbed,
        image,
        torch.as_tensor(mask[None]),
        baselines=torch.zeros_like(image),
        n_perturb_samples=16,
    )
    found = metric(one, metrics.Attribution(mask), band=False)

    assert found.details["raw"] == pytest.approx(float(expected), rel=1e-4)


def test_average_drop_and_increase() -> None:
    """A map that keeps everything loses nothing; one that keeps only what the score does not read loses it all."""

    def left(images: np.ndarray) -> np.ndarray:
        return np.asarray(images, np.float64)[:, :, :6].mean((1, 2))[:, :1]

    sides = np.zeros((SIDE, SIDE))
    sides[:, :6] = 1
    drop = metrics.AverageDrop()

    assert drop(case(left), metrics.Attribution(sides), band=False).value == pytest.approx(0, abs=1e-6)
    assert drop(case(left), metrics.Attribution(1 - sides), band=False).value == pytest.approx(1, abs=1e-6)
    assert metrics.AverageIncrease()(case(left), metrics.Attribution(1 - sides), band=False).value == 0


def test_information_curves_equal_pairs() -> None:
    """SIC is the area of PAIR's curve for the same picture, pixels and thresholds; AIC needs classes."""
    from saliency.metrics import pic

    picture = np.random.default_rng(7).integers(0, 255, (32, 32, 3)).astype(np.uint8)
    picture[8:20, 8:20] = 230

    def bright(images: np.ndarray) -> np.ndarray:
        inside = 12 * np.asarray(images, np.float64)[:, 8:20, 8:20].mean((1, 2, 3)) - 9
        return np.stack([inside, np.zeros_like(inside)], 1)

    shares = (0.05, 0.1, 0.2, 0.4)
    mask = np.random.default_rng(8).random((32, 32))
    mask[8:20, 8:20] += 0.5
    metric, one = metrics.SIC(shares=shares), case(bright, picture)
    visible = np.random.default_rng(0).random((32, 32)) < metric.visible
    expected = pic.compute_pic_metric(
        picture, mask, visible, lambda x: list(softmax(bright(x / 255))[:, 0]), shares, 0.0, num_data_points=100
    )

    assert metric(one, metrics.Attribution(mask), band=False).value == pytest.approx(expected.auc, abs=1e-4)
    of_value = metrics.AIC(shares=shares)(case(), metrics.Attribution(mask[:SIDE, :SIDE]))
    assert of_value.reason == "needs a model of classes"


def test_road_imputes_while_the_model_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """During the first model call, images of later calls are imputed."""
    imputed, ahead = [0], []

    def counted(*arguments: Any) -> np.ndarray:
        found = impute(*arguments)
        imputed[0] += 1
        return found

    def waiting(images: np.ndarray) -> np.ndarray:
        for _ in range(200):
            if not imputed[0] or imputed[0] > 5:
                break
            time.sleep(0.01)
        ahead.append(imputed[0])
        return curved(images)

    monkeypatch.setattr("saliency.metrics.road.impute", counted)
    found = case_of(saliency.prepare(waiting, [IMAGE], framework="numpy"), 0, batch_size=2)
    found.value()
    ahead.clear()
    metrics.ROAD()(found, metrics.Attribution(np.random.default_rng(1).normal(size=(SIDE, SIDE))), band=False)

    assert ahead[0] > 2  # more than this call's own images
    assert imputed[0] == 18  # each image once


def test_a_small_array_is_copied_to_the_device_for_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """SRG copies the order of the pixels to the device once a batch, not the pixels of each image."""
    found, copied = case(curved), []
    found.value()
    asarray = found.ops.asarray

    def counted(host: Any) -> Any:
        copied.append(np.size(host))
        return asarray(host)

    monkeypatch.setattr(found.ops, "asarray", counted)
    calls, images = found.session.calls, found.images
    metrics.SRG(cell=1)(found, metrics.Attribution(np.random.default_rng(1).normal(size=(SIDE, SIDE))), band=False)

    fill = IMAGE.size
    assert sum(copied) <= fill + (found.session.calls - calls) * IMAGE.size + (found.images - images)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_kept_pixels_are_those_of_the_picture_in_any_precision(dtype: torch.dtype) -> None:
    """Each of 145 images keeps exactly its pixels of the picture, with numbers of the model's precision."""
    seen: list[np.ndarray] = []

    class Seeing(torch.nn.Module):
        """Records its input."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(3, dtype=dtype))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.extend(x.float().movedim(1, -1).numpy())
            return torch.stack([x.mean((1, 2, 3)), x.mean((1, 2, 3)) * self.weight[0]], 1)

    found = case_of(saliency.prepare(Seeing().eval(), [IMAGE]), 0, batch_size=SIDE * SIDE)
    ranks = np.random.default_rng(3).permutation(SIDE * SIDE).reshape(SIDE, SIDE)
    order = Order(ranks)
    for first in (True, False):
        seen.clear()
        found.removed([order.keep(n, first=first) for n in range(1, SIDE * SIDE)], "white")
        expected = torch.as_tensor(IMAGE).to(dtype).float().numpy()
        white = found.ops.tohost(found.filled("white"))[0]
        for count, image in enumerate(seen, start=1):
            kept = (ranks < count) == first
            np.testing.assert_array_equal(image, np.where(kept[..., None], expected, white))
        assert len(seen) == SIDE * SIDE - 1
