"""Metrics of parts: values derived by hand on a linear network, and reasons where they are undefined."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import saliency
from saliency.api.cases import case_of
from saliency.metrics import Attribution, Measurement
from saliency.testbed import BACKGROUND, Scene
from saliency.testbed.measures import PART_METRICS, PartMetric, SingleDeletion, measures_of

SIDE = 12
NAMES = ("a", "b", "c", BACKGROUND)
PARTS = {name: np.kron(np.eye(4, dtype=bool)[k].reshape(2, 2), np.ones((6, 6), bool)) for k, name in enumerate(NAMES)}
WEIGHTS = np.array([[8.0, 4.0, 0.0, 0.0], [0.0, 2.0, 6.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
"""(classes, parts): the score of a class is Σ wₚ · mean of part p, plus BIAS."""
BIAS = np.array([-5.0, 0.0, 1.0])


class Linear(torch.nn.Module):
    """Logits that are linear in the mean of each part, or the first of them another function."""

    def __init__(self, combine: Any = None, weights: NDArray[np.float64] = WEIGHTS) -> None:
        super().__init__()
        self.combine, self.weights = combine, weights

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) to (N, 3)."""
        grey = images.mean(1)
        means = torch.stack([(grey * torch.as_tensor(each)).sum((1, 2)) / each.sum() for each in PARTS.values()], 1)
        if self.combine is not None:
            first = self.combine(means)
            return torch.stack([first, torch.zeros_like(first), torch.full_like(first, -1.0)], 1)
        return means @ torch.as_tensor(self.weights.T, dtype=means.dtype) + torch.as_tensor(BIAS, dtype=means.dtype)


def scene(target: int = 0, contrast: int | None = 1, names: tuple[str, ...] = NAMES) -> Scene:
    """Return a white picture; a part that is removed is black."""

    def render(without: frozenset[str]) -> NDArray[np.float32]:
        picture = np.ones((SIDE, SIDE, 3), np.float32)
        for name in without:
            picture[PARTS[name]] = 0
        return picture

    parts = {name: PARTS[name] for name in names}
    return Scene(render(frozenset()), target, PARTS["a"], parts, render, contrast)


def painted(*values: float) -> NDArray[np.float64]:
    """Return a map whose sum over each part is the part's value."""
    return np.sum([value / pixels.sum() * pixels for value, pixels in zip(values, PARTS.values(), strict=True)], 0)


class Painter:
    """A method that returns a given map for a class."""

    def __init__(self, masks: dict[int, NDArray[np.float64]]) -> None:
        self.masks = masks

    def __call__(self, images: Any, targets: Any = None, model: Any = None) -> NDArray[np.float64]:
        return np.stack([self.masks[each] for each in targets])[:, None]


def measured(
    metric: str, mask: NDArray[np.float64], where: Scene | None = None, model: Any = None, **options: Any
) -> Measurement:
    """Measure a map of the scene."""
    where = where or scene()
    case = case_of(saliency.prepare(model or Linear(), [where.image]), where.target)
    case.runner = options.pop("runner", None)
    found: PartMetric = {each.id: each for each in PART_METRICS}[metric](where, **options)
    return found(case, Attribution(mask))


def test_single_deletion_orders_parts_as_their_removal_does() -> None:
    """Drops of class 0 are 8, 4, 0, 0: a map in this order has 1, its negative -1, one of equal sums 0."""
    perfect = measured("single_deletion", painted(8, 4, 0, 0))

    assert perfect.value == pytest.approx(1)
    np.testing.assert_allclose(list(perfect.details.values()), [8, 4, 0, 0], atol=1e-5)
    assert measured("single_deletion", painted(-8, -4, 0, 0)).value == pytest.approx(-1)
    # salience in no part, though the map is not constant
    nowhere = np.zeros((SIDE, SIDE))
    nowhere[0, 0], nowhere[0, 1] = 1, -1
    assert measured("single_deletion", nowhere).value == 0
    # ranks 1, 2, 3.5, 3.5 of the sums are the reverse of those of the drops, 4, 3, 1.5, 1.5
    assert measured("single_deletion", painted(1, 2, 3, 3)).value == pytest.approx(-1)
    # ranks 1, 4, 2.5, 2.5: deviations from 2.5 give a covariance of -2.25 + 0.75, and both variances are 4.5
    assert measured("single_deletion", painted(1, 4, 2, 2)).value == pytest.approx(-1 / 3)


def test_signs_are_pooled_as_the_field_says() -> None:
    """The negative of the perfect map is perfect if signs do not count, and all ties if only positive ones do."""
    assert measured("single_deletion", painted(-8, -4, 0, 0), sign="absolute").value == pytest.approx(1)
    assert measured("single_deletion", painted(-8, -4, 0, 0), sign="positive").value == 0


def test_preservation_and_deletion_follow_the_most_important_parts() -> None:
    """Class 0 (score 7, others 8, 5) needs parts a and b: derived for each number of parts."""
    # without c the scores are 7, 2, 4, so the scene of a, b and background decides for class 0
    where = scene(names=("a", "b", BACKGROUND))
    biased = Linear(lambda means: 8 * means[:, 0] + 4 * means[:, 1] - 6)
    # kept: {a} 2 > 0 yes, {a, b} yes; {background} -6 no, {background, b} -2 no
    assert measured("preservation_check", painted(8, 4, 0, 0), where, biased).value == 1
    assert measured("preservation_check", painted(0, 4, 0, 8), where, biased).value == 0
    # removed: {a} -2 yes, {a, b} yes; {background} 6 no, {background, b} 2 no
    assert measured("deletion_check", painted(8, 4, 0, 0), where, biased).value == 1
    assert measured("deletion_check", painted(0, 4, 0, 8), where, biased).value == 0
    # {b} alone: -2 no, {b, a}: yes
    assert measured("preservation_check", painted(4, 8, 0, 0), where, biased).value == 0.5


def test_checks_of_decisions_need_a_decision() -> None:
    """They are undefined where the model decides otherwise, and where it needs no part."""
    assert measured("preservation_check", painted(8, 4, 0, 0)).reason == "the model does not decide for the target"
    always = Linear(lambda means: 1 + means[:, 0])
    assert "without any part" in measured("deletion_check", painted(8, 4, 0, 0), model=always).reason


def test_distractibility_is_the_share_on_parts_without_effect() -> None:
    """Parts c and background have no effect on class 0: 0 for a map without them, 1 for one with nothing else."""
    assert measured("distractibility", painted(8, 4, 0, 0)).value == pytest.approx(0)
    assert measured("distractibility", painted(0, 0, 1, 3)).value == pytest.approx(1)
    assert measured("distractibility", painted(3, 3, 1, -1)).value == pytest.approx(0.25)
    assert "every part has an effect" in measured("distractibility", painted(1, 0, 0, 0), scene(2)).reason
    silent = np.zeros((SIDE, SIDE))
    silent[0, 0], silent[0, 1] = 1, -1
    assert measured("distractibility", silent).reason == "the map is zero on all parts"


def test_redundant_parts_are_not_irrelevant() -> None:
    """Of two parts of which one is enough, neither drop counts; both have an effect when added to nothing."""
    either = Linear(lambda means: 8 * means[:, :2].amax(1) - 3)
    found = measured("single_deletion", painted(1, 1, 0, 0), model=either)

    assert np.isnan(found.value)
    assert "another part is enough" in found.reason
    assert measured("distractibility", painted(1, 1, 0, 0), model=either).value == pytest.approx(0)
    assert measured("distractibility", painted(0, 0, 1, 0), model=either).value == pytest.approx(1)


def test_the_background_is_due_its_share_of_the_effect() -> None:
    """Effects 8, 4, 0, 0: the background is due nothing; with equal weights it is due a quarter."""
    assert measured("background_share", painted(8, 4, 0, 0)).value == pytest.approx(1)
    assert measured("background_share", painted(1, 1, 1, 3)).value == pytest.approx(0.5)
    assert measured("background_share", painted(0, 0, 0, -1)).value == pytest.approx(0)
    assert measured("background_share", painted(1, 2, 0, 1), scene(2)).value == pytest.approx(1)
    assert measured("background_share", painted(1, 2, 1, 0), scene(2)).value == pytest.approx(0.75)
    objects = scene(names=("a", "b", "c"))
    assert "background can be exchanged" in measured("background_share", painted(1, 0, 0, 0), objects).reason


def test_target_sensitivity_compares_two_classes() -> None:
    """Shares of class 0 are (⅔, ⅓, 0, 0), of class 1 (0, ¼, ¾, 0): the maps should differ in a and c, b is too near."""
    own, other = painted(8, 4, 0, 0), painted(0, 2, 6, 0)

    def value(one: NDArray[np.float64], two: NDArray[np.float64], **options: Any) -> float:
        return measured("target_sensitivity", one, runner=Painter({1: two}), **options).value

    assert value(own, other) == 1
    assert value(own, 1000 * other) == 1
    assert value(other, own) == 0
    assert value(own, own) == 0.5
    # a differs in the right direction, c is equal
    assert value(painted(2, 1, 1, 0), painted(1, 2, 1, 0)) == 0.75
    # b counts too, and the maps differ there by 1/3 - 1/2
    assert value(painted(2, 2, 0, 2), painted(0, 3, 3, 0), least=0.05) == pytest.approx(2 / 3)


def test_target_sensitivity_needs_two_classes_and_the_method() -> None:
    """It is undefined without the method, without another class, and for two classes of the same parts."""
    runner = Painter({1: painted(1, 2, 3, 4), 2: painted(1, 2, 3, 4)})
    mask = painted(8, 4, 0, 0)

    assert "needs the method" in measured("target_sensitivity", mask).reason
    assert "another class" in measured("target_sensitivity", mask, scene(contrast=None), runner=runner).reason
    scaled = Linear(weights=WEIGHTS[0] * np.array([[1], [0], [2]]))
    assert "the same parts" in measured("target_sensitivity", mask, scene(contrast=2), scaled, runner=runner).reason


def test_random_maps_are_at_chance() -> None:
    """Means of 60 random maps: 0 for single deletion, ½ for target sensitivity, within 3 standard errors."""
    random = np.random.default_rng(0)

    def noise() -> NDArray[np.float64]:
        return random.normal(size=(SIDE, SIDE))

    single = [measured("single_deletion", noise()).value for _ in range(60)]
    targets = [measured("target_sensitivity", noise(), runner=Painter({1: noise()})).value for _ in range(60)]
    for values, chance in ((single, 0), (targets, 0.5)):
        assert abs(np.mean(values) - chance) < 3 * np.std(values) / np.sqrt(60)


def test_metrics_of_a_scene_share_their_images() -> None:
    """All metrics of one scene render each set of parts once; the band costs nothing more."""
    where = scene(names=("a", "b", BACKGROUND))
    case = case_of(saliency.prepare(Linear(), [where.image]), 0)
    for metric in measures_of(where).values():
        found = metric(case, Attribution(painted(8, 4, 0, 0)))
        assert found.images <= metric.cost((SIDE, SIDE))
        assert (found.band is not None) == (metric.pairs > 0 and not found.reason)
    # the picture, without any part, 3 without one, 3 with one alone
    assert case.images - 1 <= 8


def test_scenes_without_parts_and_other_pictures_are_not_measured() -> None:
    """A photograph has no metrics of parts; another picture than the scene's gives the reason."""
    where = scene()
    photograph = replace(where, render=None)

    assert measures_of(photograph) == {}
    assert measures_of(replace(where, parts={})) == {}
    with pytest.raises(ValueError, match="cannot be rendered"):
        photograph.without([])
    assert "rendered" in measured("single_deletion", painted(1, 0, 0, 0), photograph).reason
    assert "2 parts" in measured("single_deletion", painted(1, 0, 0, 0), scene(names=("a",))).reason
    case = case_of(saliency.prepare(Linear(), [where.image * 0.5]), 0)
    assert "another one" in SingleDeletion(where)(case, Attribution(painted(1, 0, 0, 0))).reason


def test_the_key_of_a_metric_follows_the_scene() -> None:
    """Equal scenes give equal keys in every process; another part or target gives another key."""
    one, same = (each["single_deletion"] for each in (measures_of(scene()), measures_of(scene())))

    assert one.key() == same.key()
    assert one.key() != measures_of(scene(1))["single_deletion"].key()
    assert one.key() != measures_of(scene(names=("a", "b")))["single_deletion"].key()
    assert "Scene(12×12" in repr(one)
