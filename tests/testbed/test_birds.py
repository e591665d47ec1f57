"""The beds of birds: exact drawing, classes, interventions, and the protocols of FunnyBirds on maps made by hand.

That scenes are repeatable, that gates pass, and that pictures and weights are those kept: ``test_beds.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.path import Path as Polygon
from numpy.typing import NDArray

import saliency
from saliency.api.cases import case_of
from saliency.metrics import Attribution
from saliency.testbed.birds.bed import Birds, minimal_sets, picture, rivals, scene_of, shared
from saliency.testbed.birds.canvas import Layer, Placement, Shape, areas, curve, disc, owners, painted, ribbon
from saliency.testbed.birds.parts import KINDS
from saliency.testbed.birds.pictures import CLASSES, PARTS, possible
from saliency.testbed.birds.protocols import protocols
from saliency.testbed.measures import SingleDeletion
from saliency.testbed.scene import BACKGROUND, Scene

STAR = np.array([(5.2, 0.4), (6.3, 3.7), (11.6, 4.1), (7.4, 6.6), (9.1, 11.3), (5.0, 8.2), (1.3, 10.9), (2.8, 6.4)])
IDENTITY = Placement(0.0, 0.0, 1.0)


def shape(outline: NDArray[np.float64], colour: tuple[float, float, float] = (1.0, 0.0, 0.0)) -> Shape:
    """Return an area of one colour."""
    return Shape(outline, colour, 0.0, 0.0)


@pytest.mark.parametrize("outline", [STAR, STAR - 4, disc(6, 6, 4.3, 2.1, 0.7), curve([(1, 1), (10, 2), (6, 11)])])
def test_coverage_is_the_area_inside_of_the_outline(outline: NDArray[np.float64]) -> None:
    """Each pixel's coverage equals the share of 32×32 points in it that matplotlib finds inside, within 0.06."""
    size, fine = 12, 32
    places = (np.arange(size * fine) + 0.5) / fine
    points = np.stack(np.meshgrid(places, places), 2).reshape(-1, 2)
    inside = Polygon(outline).contains_points(points).reshape(size, fine, size, fine).mean((1, 3))

    found = painted(np.zeros((size, size, 3)), areas([Layer([shape(outline)], IDENTITY)], size))[..., 0]

    np.testing.assert_allclose(found, inside, atol=0.06)
    assert found.sum() == pytest.approx(inside.sum(), rel=0.01)


def test_a_rectangle_covers_its_area_exactly() -> None:
    """The rectangle 1.25–3.5 × 0.5–2 covers 0.75, 1 and 0.5 of its columns, and half of its first row."""
    rectangle = np.array([(1.25, 0.5), (3.5, 0.5), (3.5, 2.0), (1.25, 2.0)])
    expected = np.zeros((4, 4))
    expected[:2] = np.outer((0.5, 1), (0, 0.75, 1, 0.5))

    for outline in (rectangle, rectangle[::-1]):
        found = painted(np.zeros((4, 4, 3)), areas([Layer([shape(outline)], IDENTITY)], 4))[..., 0]
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_overlaps_of_one_outline_are_covered_once() -> None:
    """A ribbon that crosses itself is opaque where it does, and shapes outside of the picture paint nothing."""
    loop = ribbon(curve([(2, 10), (10, 2), (10, 10), (2, 2)], closed=False), (2, 2))
    found = painted(np.zeros((12, 12, 3)), areas([Layer([shape(loop), shape(loop + 50)], IDENTITY)], 12))

    assert found.max() == pytest.approx(1)
    np.testing.assert_allclose(found[5:7, 4:7, 0], 1, atol=1e-9)


def test_a_pixel_belongs_to_the_layer_that_it_shows_most_of() -> None:
    """The upper layer owns a pixel of which it covers 60 %, and the lower one that of which it leaves 60 %."""
    lower = shape(np.array([(0, 0), (2, 0), (2, 1), (0, 1)], np.float64))
    upper = shape(np.array([(0.4, 0), (1.4, 0), (1.4, 1), (0.4, 1)], np.float64))

    painting = areas([Layer([], IDENTITY), Layer([lower], IDENTITY), Layer([upper], IDENTITY)], 2)

    np.testing.assert_array_equal(owners(painting, 3, 2), [[2, 1], [-1, -1]])


def test_placements_turn_mirror_and_move() -> None:
    """(1, 0) turned by a right angle is (0, 1), doubled and moved; mirrored, x changes its sign before it is moved."""
    point = np.array([(1.0, 0.0), (0.0, 1.0)])

    np.testing.assert_allclose(Placement(3, 4, 2, np.pi / 2)(point), [(3, 6), (1, 4)], atol=1e-12)
    np.testing.assert_allclose(Placement(3, 4, 2, np.pi / 2, mirrored=True)(point), [(3, 6), (5, 4)], atol=1e-12)


def test_curves_pass_through_their_points() -> None:
    """A smooth curve contains its points, and goes straight from one doubled point to the next."""
    points = [(0.0, 0.0), (2.0, 1.0), (3.0, -1.0), (1.0, -2.0)]

    np.testing.assert_allclose(curve(points, steps=5)[::5], points)
    np.testing.assert_allclose(curve(points, closed=False, steps=5)[::5], points)
    straight = curve([(0, 0), (0, 0), (4, 2), (4, 2)], steps=4)
    np.testing.assert_allclose(straight[:, 1] * 2, straight[:, 0], atol=1e-12)


def test_classes_are_combinations_that_share_at_most_two_parts() -> None:
    """Every variant is used, two classes share at most two parts, and each has two rivals of different pairs."""
    assert len(set(CLASSES)) == len(CLASSES) == 16
    for i, kind in enumerate(KINDS):
        assert {each[i] for each in CLASSES} == set(range(len(kind.variants)))
    assert max(len(shared(a, b)) for a, b in combinations(range(16), 2)) == 2
    for target in range(16):
        first, second = (shared(each, target) for each in rivals(target))
        assert len(first) == len(second) == 2
        assert not first & second


def test_smallest_sufficient_sets_are_those_by_trial() -> None:
    """A set determines its class exactly if the class alone has it; sets of three always do."""
    for target in range(16):
        sets = minimal_sets(target)
        for size in range(1, 6):
            for names in map(frozenset, combinations(PARTS, size)):
                alone = possible(CLASSES[target], set(PARTS) - names).sum() == 1
                assert alone == any(names.issuperset(each) for each in sets)
        assert all(len(each) <= 3 for each in sets)


def test_what_was_hidden_appears() -> None:
    """Without a part, every other mask grows or stays, and together they cover all of the part's pixels."""
    grew = set()
    for i in range(16):
        drawn = picture(i, 0)
        _, masks = drawn.drawn()
        assert np.sum(list(masks.values()), 0).min() == 1
        for part in PARTS:
            _, rest = drawn.drawn([part])
            assert part not in rest
            for name, pixels in rest.items():
                # a pixel at an edge may pass from one to the other
                assert (masks[name] & ~pixels).sum() <= 2
                if (pixels & masks[part]).sum() > 20 and name not in (BACKGROUND, "body"):
                    grew.add(name.split()[0])
    assert {"tail", "eye"} & grew
    assert len(grew) > 1


def test_a_removed_part_leaves_no_trace() -> None:
    """Without a part, the picture is that of a bird of another variant without it; elsewhere nothing changes."""
    drawn = picture(3, 0)
    other = tuple((variant + 1) % len(kind.variants) for variant, kind in zip(drawn.bird.variants, KINDS, strict=True))
    for i, part in enumerate(PARTS):
        changed = list(drawn.bird.variants)
        changed[i] = other[i]
        swapped = type(drawn)(type(drawn.bird)(**{**vars(drawn.bird), "variants": tuple(changed)}), drawn.background)
        np.testing.assert_array_equal(drawn.draw([part]), swapped.draw([part]))
        assert (drawn.draw() != swapped.draw()).any()


def test_no_colour_gives_a_class_away() -> None:
    """The mean colour of a picture says little about its class: the nearest class mean is right in under 30 %."""
    drawn = [(picture(i, seed).draw().mean((0, 1)), i) for seed in (1, 2) for i in range(48)]
    colours, labels = np.array([each for each, _ in drawn]), np.array([i % 16 for _, i in drawn])
    means = np.stack([colours[:48][labels[:48] == label].mean(0) for label in range(16)])
    nearest = np.linalg.norm(colours[48:, None] - means, axis=2).argmin(1)

    assert (nearest == labels[48:]).mean() < 0.3


class Additive:
    """A model whose score of a class is the sum of fixed weights of the parts it sees; it knows the scene."""

    def __init__(self, scenes: Sequence[Scene], weights: dict[str, float]) -> None:
        self.known = {}
        for scene in scenes:
            for count in range(len(PARTS) + 1):
                for without in combinations(PARTS, count):
                    self.known[scene.without(without).tobytes()] = scene.target, set(PARTS) - set(without)
            for name in scene.parts:
                self.known[scene.without([name]).tobytes()] = scene.target, set(PARTS) - {name}
        self.weights = weights

    def __call__(self, images: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        found = []
        for image in images:
            target, seen = self.known[image.tobytes()]
            found.append([sum(self.weights[name] for name in shared(k, target) & seen) for k in range(len(CLASSES))])
            found[-1][-1] += 0.5  # the decision for a bird without parts
        return np.array(found, np.float32)


WEIGHTS = {"beak": 5.0, "eye": 4.1, "foot": 3.1, "tail": 2.2, "wing": 1.0}


def true_map(scene: Scene, target: int) -> NDArray[np.float64]:
    """Return a map whose sum over a part is its effect on the score of a class."""
    total = np.zeros(scene.image.shape[:2])
    for name in shared(target, scene.target):
        # salience in the middle of a part, so that the border of another one does not reach it
        centre = inner(scene.parts[name])
        total[centre] += WEIGHTS[name] / centre.sum()
    return total


def inner(pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of a mask that are at least three pixels inside of it, or the innermost ones."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(pixels)
    return depth >= min(3.0, depth.max())


@pytest.fixture(scope="module")
def known() -> tuple[list[Scene], Additive]:
    """Eight scenes, and a model whose reasons in them are known."""
    scenes = [scene_of(picture(i, 0), i) for i in range(8)]
    return scenes, Additive(scenes, WEIGHTS)


def test_the_map_of_true_effects_passes_all_protocols(known: tuple[list[Scene], Additive]) -> None:
    """It is perfect in the orders, and in the checks of sets but for the threshold that all scenes share."""
    found = protocols(*known, true_map)

    assert found.accuracy == found.background_independence == 1
    assert found.single_deletion == pytest.approx(1)
    assert found.target_sensitivity == 1
    assert found.distractibility == 1
    assert found.controlled_synthetic_data_check == 1
    assert found.preservation_check == 1
    assert found.deletion_check == 1


def test_the_reversed_map_fails_them(known: tuple[list[Scene], Additive]) -> None:
    """The map of 6 - effect has single deletion 0; one on the objects alone preserves and deletes nothing."""
    scenes, model = known

    def reversed_map(scene: Scene, target: int) -> NDArray[np.float64]:
        centres = {name: inner(scene.parts[name]) for name in PARTS}
        return np.sum([(6 - WEIGHTS[name]) / each.sum() * each for name, each in centres.items()], 0)

    def elsewhere(scene: Scene, target: int) -> NDArray[np.float64]:
        objects = [name for name in scene.parts if name not in (*PARTS, BACKGROUND)]
        return np.sum([inner(scene.parts[name]) for name in objects], 0).astype(np.float64)

    assert protocols(scenes, model, reversed_map).single_deletion == pytest.approx(0)
    with_objects = [scene for scene in scenes if len(scene.parts) > 6]
    nothing = protocols(with_objects, model, elsewhere)
    assert nothing.controlled_synthetic_data_check == 0
    assert nothing.preservation_check == nothing.deletion_check == 0
    assert nothing.target_sensitivity == 0


def test_random_maps_are_at_chance(known: tuple[list[Scene], Additive]) -> None:
    """Means of 16 random maps: ½ for single deletion and target sensitivity, within 3 standard errors."""
    scenes, model = known
    random = np.random.default_rng(0)

    def noise(scene: Scene, target: int) -> NDArray[np.float64]:
        return np.sum([random.normal() / each.sum() * each for each in map(inner, scene.parts.values())], 0)

    found = [protocols(scenes[:2], model, noise) for _ in range(16)]
    for values in ([each.single_deletion for each in found], [each.target_sensitivity for each in found]):
        assert abs(np.mean(values) - 0.5) < 3 * np.std(values) / 4


@pytest.fixture(scope="module", params=["cnn", "vit"])
def bed(request: pytest.FixtureRequest) -> Birds:
    """Each of the two beds."""
    return Birds(request.param)


def test_the_effects_of_parts_are_the_best_map(bed: Birds) -> None:
    """A map painted from the drops of the score has single deletion 1, and no method is measured as better."""
    scene = bed.scenes(1)[0]
    case = case_of(saliency.prepare(bed.model, [scene.image]), scene.target)
    metric = bed.measures(scene)["single_deletion"]
    assert isinstance(metric, SingleDeletion)
    drops = dict(zip(metric.names, metric.drops(case, scene.target), strict=True))
    best = np.sum([drop / scene.parts[name].sum() * scene.parts[name] for name, drop in drops.items()], 0)

    assert set(metric.names) == set(PARTS)
    assert metric(case, Attribution(best)).value == pytest.approx(1)
    assert metric(case, Attribution(-best)).value == pytest.approx(-1)


METHODS = {
    "cnn": ("gradient", "grad_cam", "integrated_gradients", "lrp", "deep_lift"),
    "vit": ("gradient", "grad_cam", "attention_relevance", "attention_rollout", "lrp"),
}


def test_methods_run_on_both_networks(bed: Birds) -> None:
    """Gradients, CAMs, rules and attention give finite, varying maps of the picture's size."""
    scene = bed.scenes(1)[0]
    for method in METHODS[bed.kind]:
        mask = saliency.explain(bed.model, scene.image, method, target=scene.target).mask
        assert mask.shape[:2] == (96, 96)
        assert np.isfinite(mask).all()
        assert np.ptp(mask) > 0


def test_all_metrics_of_a_bird_are_measured(bed: Birds) -> None:
    """Every metric of a scene gives a value for a method's map; only those on the irrelevant see the objects."""
    scene = bed.scenes(1)[0]
    measures: Any = bed.measures(scene)
    found = saliency.evaluate(
        bed.model, [scene.image], ["input_x_gradient"], targets=[scene.target], metrics=list(measures.values())
    )

    assert np.isfinite([row.value for row in found.rows]).sum() >= len(measures) - 1
    assert set(measures["preservation_check"].names) == set(PARTS)
    assert BACKGROUND in measures["distractibility"].names
