"""Testing with concept activation vectors: goldens, false alarms, a planted concept, Captum beside it, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import saliency
from saliency.concepts import TCAV, fit_cav
from saliency.concepts.tcav import Directions, scores_of
from saliency.testbed.planted import Planted

CLASSIFIERS = ("logistic", "sgd", "mean_difference")


def cloud(centre: tuple[float, ...], count: int, seed: int, spread: float = 0.1) -> np.ndarray:
    """Return points around a centre, (count, D)."""
    return np.random.default_rng(seed).normal(centre, spread, (count, len(centre)))


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_a_cav_points_to_its_concept(classifier: str) -> None:
    """Two separable sets at ±1 on the first axis give (1, 0), of unit length, with the accuracy 1 both ways."""
    one, other = cloud((1, 0), 60, 0), cloud((-1, 0), 60, 1)

    there, back = fit_cav(one, other, classifier), fit_cav(other, one, classifier)

    np.testing.assert_allclose(there.vector, (1, 0), atol=0.1)
    np.testing.assert_allclose(back.vector, (-1, 0), atol=0.1)
    assert np.linalg.norm(there.vector) == pytest.approx(1, abs=1e-6)
    assert (there.accuracy, back.accuracy) == (1, 1)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_captums_accuracy_of_two_concepts_is_another() -> None:
    """Captum's classifier separates the same sets, but reports the share of one class as its accuracy."""
    pytest.importorskip("captum")
    from captum.concept._utils.classifier import DefaultClassifier
    from torch.utils.data import DataLoader, TensorDataset

    rows = np.concatenate([cloud((1, 0), 60, 0), cloud((-1, 0), 60, 1)])
    data = TensorDataset(torch.tensor(rows).float(), torch.tensor([0] * 60 + [1] * 60))
    made = DefaultClassifier()

    found = made.train_and_eval(DataLoader(data, 60, shuffle=True))

    direction = (made.weights()[0] / made.weights()[0].norm()).numpy()
    np.testing.assert_allclose(direction, fit_cav(rows[:60], rows[60:], "sgd").vector, atol=0.1)
    assert found is not None
    assert 0.2 < float(found["accs"]) < 0.8


def directions_of(concept: np.ndarray, sets: list[np.ndarray], classifier: str = "mean_difference") -> Directions:
    """Return the directions of a concept and of random sets."""
    tcav = object.__new__(TCAV)
    tcav.classifier, tcav.seed, tcav.sets, tcav.pooling, tcav.notes = classifier, 0, len(sets), "mean", []
    return tcav._fit({"concept": concept}, sets)


def test_the_golden_of_two_values() -> None:
    """Of h ∈ R² and the scores h₀ and h₁, a concept at (1, 0) raises the first in all images, and has no say in h₁."""
    sets = [cloud((-1, 0), 20, 10 + i) for i in range(20)]
    directions = directions_of(cloud((1, 0), 20, 0), sets)
    slopes = np.eye(2)

    (first,) = scores_of(directions, np.tile(slopes[0], (30, 1)), "h")
    (second,) = scores_of(directions, np.tile(slopes[1], (30, 1)), "h")

    assert first.score == 1
    assert first.sensitivity == pytest.approx(1, abs=0.01)
    assert first.accuracy == 1
    assert not second.significant
    assert abs(second.sensitivity) < 0.1


@pytest.mark.parametrize("count", [40, pytest.param(200, marks=pytest.mark.long)])
def test_random_concepts_raise_few_false_alarms(count: int) -> None:
    """Of random concepts, in correlated values, at most 5 % are significant; the test is near its level."""
    alarms = []
    for seed in range(count):
        random = np.random.default_rng(seed)
        mixing = random.normal(size=(6, 12))
        pool = random.exponential(size=(21 * 12, 6)) @ mixing
        directions = directions_of(pool[:12], [pool[12 * i : 12 * i + 12] for i in range(1, 21)])
        slopes = random.normal(size=(1, 12)) + 0.3 * random.normal(size=(20, 12))
        (row,) = scores_of(directions, slopes, "h")
        alarms.append(row.p)

    assert np.mean(np.less(alarms, 0.05)) <= 0.05
    assert np.mean(np.less(alarms, 0.5)) == pytest.approx(0.5, abs=0.15)


@pytest.fixture(scope="module")
def pictures() -> dict[str, list[np.ndarray]]:
    """Pictures of the logo bed: with a logo, random ones without, those of which the class is tested."""
    scenes = Planted("shortcut").scenes(238, seed=5)
    return {
        "logo": [each.without(["trigger"]) for each in scenes[:20]],
        "random": [each.without(["logo", "trigger"]) for each in scenes[20:226]],
        "class": [each.without(["trigger"]) for each in scenes[226:]],
    }


def test_a_planted_concept_is_found_where_it_decides(pictures: dict[str, list[np.ndarray]]) -> None:
    """The logo is significant, and raises the score, in the network with the shortcut, and not in its clean twin."""
    found = {}
    for name in ("shortcut", "clean"):
        tcav = TCAV(Planted(name).model, {"logo": pictures["logo"]}, pictures["random"], "features.11")
        found[name] = tcav.scores(pictures["class"], 0)["logo"]

    assert found["shortcut"].significant
    assert found["shortcut"].score == 1
    assert found["shortcut"].sensitivity > found["shortcut"].band[1]
    assert found["shortcut"].accuracy > 0.85
    assert not found["clean"].significant
    assert found["clean"].band[0] < found["clean"].sensitivity < found["clean"].band[1]


@pytest.mark.long
def test_random_concepts_of_the_planted_bed() -> None:
    """Random sets of pictures as concepts, at a layer of a trained network, raise at most 5 % of alarms."""
    bed = Planted("shortcut")
    scenes = bed.scenes(500, seed=21)
    values = saliency.features(bed.model, [each.image for each in scenes], "features.11", progress=False).values
    model = nn.Linear(values.shape[1], 1, bias=False)
    alarms = []
    for seed in range(200):
        order = np.random.default_rng(seed).permutation(len(values))
        sets = [values[order[12 * i : 12 * i + 12]] for i in range(21)]
        slopes = model.weight.detach().numpy() * np.ones((10, 1))
        (row,) = scores_of(directions_of(sets[0], sets[1:]), slopes, "h")
        alarms.append(row.significant)
        nn.init.normal_(model.weight)

    assert np.mean(alarms) <= 0.05


def test_the_map_shows_the_logo(pictures: dict[str, list[np.ndarray]]) -> None:
    """In one picture the concept's sensitivity is beyond the null band, and its map is largest at the logo."""
    bed = Planted("shortcut")
    tcav = TCAV(bed.model, {"logo": pictures["logo"]}, pictures["random"], "features.11", classifier="mean_difference")
    hits = 0
    for scene in bed.scenes(8, seed=77):
        (found,) = tcav.maps(scene.image, 0)
        placed = found.on_picture("presence")
        row, column = np.unravel_index(placed.argmax(), placed.shape)
        rows, columns = np.nonzero(scene.parts["logo"])
        near = abs(row - rows.mean()) < 16 and abs(column - columns.mean()) < 16
        hits += bool(near)
        assert placed.shape == scene.image.shape[:2]
        assert found.sensitivity > found.band[1]

    assert hits >= 6


def of_framework(name: str) -> tuple[Any, dict[str, Any]]:
    """Return a network of two linear maps of channels, a ReLU between them, and a mean, in a framework."""
    random = np.random.default_rng(1)
    first, second = (random.normal(size=size).astype(np.float32) for size in ((3, 6), (6, 2)))
    if name == "jax":
        jnp = pytest.importorskip("jax.numpy")
        return lambda x: jnp.maximum(jnp.maximum(x @ first, 0) @ second, 0).mean((1, 2)), {"framework": "jax"}
    if name == "keras":
        keras = pytest.importorskip("keras")
        image = keras.Input((None, None, 3))
        inner = keras.layers.Dense(6, activation="relu", use_bias=False)
        outer = keras.layers.Dense(2, activation="relu", use_bias=False)
        made = keras.Model(image, keras.layers.GlobalAveragePooling2D()(outer(inner(image))))
        inner.set_weights([first])
        outer.set_weights([second])
        return made, {}
    inner, outer = nn.Conv2d(3, 6, 1, bias=False), nn.Conv2d(6, 2, 1, bias=False)
    with torch.no_grad():
        inner.weight.copy_(torch.tensor(first.T[..., None, None]))
        outer.weight.copy_(torch.tensor(second.T[..., None, None]))
    return nn.Sequential(inner, nn.ReLU(), outer, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval(), {}


@pytest.mark.parametrize("name", ["jax", "keras"])
def test_frameworks_agree(name: str) -> None:
    """The same network in another framework gives torch's scores and sensitivities within 1e-4, at the first ReLU."""
    images = np.random.default_rng(0).random((236, 5, 4, 3)).astype(np.float32)
    concept = 0.6 * images[:12] + 0.4
    found = []
    for each in ("torch", name):
        model, options = of_framework(each)
        adapted = saliency.adapt(model, **options)
        names = [row.name for row in saliency.layers(adapted, images[0]) if 6 in row.shape]
        tcav = TCAV(
            adapted, {"bright": concept}, images[12:230], names[-1], classifier="mean_difference", batch_size=32
        )  # fmt: skip
        found.append(tcav.scores(images[230:], 1)["bright"])

    assert found[1].sensitivity == pytest.approx(found[0].sensitivity, abs=1e-4)
    assert found[1].score == found[0].score
    assert found[1].p == pytest.approx(found[0].p, abs=1e-3)


def test_crops_of_a_region_are_a_concept() -> None:
    """Crops differ in place and scale, contain the region, and are the same for the same seed."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[10:20, 30:40] = 255
    mask = picture[..., 0] > 0

    found = saliency.concepts.crops(picture, mask, 12, seed=1)

    assert len(found) == 12
    assert {each.shape for each in found} == {(16, 16, 3)}
    assert all((each > 127).mean() > 0.4 for each in found)
    assert len({each.tobytes() for each in found}) == 12
    np.testing.assert_array_equal(found, saliency.concepts.crops(picture, mask, 12, seed=1))
    with pytest.raises(saliency.BadShape, match="picture's size"):
        saliency.concepts.crops(picture, mask[:9])
    with pytest.raises(saliency.BadField, match="selects no pixels"):
        saliency.concepts.crops(picture, np.zeros((40, 60), bool))


def test_crops_have_the_type_of_the_picture() -> None:
    """A PIL image gives PIL images, a tensor (C, H, W) such tensors; `size` is their side."""
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    mask = np.zeros((40, 60), bool)
    mask[10:20, 30:40] = True
    arrays = saliency.concepts.crops(picture, mask, 3, size=24)

    images = saliency.concepts.crops(Image.fromarray(picture), mask, 3, size=24)
    tensors = saliency.concepts.crops(torch.tensor(picture).permute(2, 0, 1), mask, 3, size=24)

    assert {each.size for each in images} == {(24, 24)}
    np.testing.assert_array_equal([np.asarray(each) for each in images], arrays)
    np.testing.assert_array_equal([each.permute(1, 2, 0).numpy() for each in tensors], arrays)


def test_crops_of_the_rest_avoid_the_regions() -> None:
    """They have the regions' sizes, hardly touch them, and differ; without room, smaller regions are the way out."""
    picture = np.zeros((60, 80, 1), np.float32)
    picture[5:15, 5:15] = picture[40:56, 60:76] = 1
    masks = [np.zeros((60, 80), bool) for _ in range(2)]
    masks[0][5:15, 5:15] = masks[1][40:56, 60:76] = True

    found = saliency.concepts.crops_outside(picture, masks, 200, size=16)

    assert {each.shape for each in found} == {(16, 16, 1)}
    assert max(each.mean() for each in found) < 0.3
    assert len(found) == 200
    again = saliency.concepts.crops_outside(picture, masks, 200, size=16)
    np.testing.assert_array_equal(found, again)
    with pytest.raises(saliency.BadImage, match=r"no room.*smaller regions"):
        saliency.concepts.crops_outside(picture, np.ones((60, 80), bool))


def test_a_test_is_cancelled() -> None:
    """`cancelled` is called between classifiers."""
    calls = iter([False] * 40 + [True])

    with pytest.raises(saliency.Cancelled):
        TCAV(tiny(), {"a": NOISE[:12]}, NOISE[12:], "1", classifier="mean_difference", cancelled=lambda: next(calls))


NOISE = np.random.default_rng(3).random((260, 8, 8, 3)).astype(np.float32)


def tiny() -> nn.Module:
    """A network of one convolution."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()


@pytest.mark.parametrize(
    ("given", "error", "sentence"),
    [
        ({"concepts": {"one": NOISE[:1]}}, saliency.BadImage, "at least 10 images.*crops"),
        ({"concepts": {}}, saliency.BadField, "dict from name"),
        ({"random": NOISE[:150]}, saliency.BadImage, "20 random sets without overlap need at least 200 images"),
        ({"random": [NOISE[8 * i : 8 * i + 12] for i in range(20)]}, saliency.BadImage, "share an image"),
        ({"concepts": {"a": NOISE[200:212]}}, saliency.BadImage, "12 images of the concept 'a' are also in the random"),
        ({"sets": 5}, saliency.BadField, "at least 20"),
        ({"layers": "nowhere"}, saliency.UnknownName, "nowhere"),
        ({"classifier": "svm"}, saliency.UnknownName, "svm"),
    ],
)
def test_bad_concepts_are_refused(given: dict[str, Any], error: type[Exception], sentence: str) -> None:
    """One image, overlapping or too few random images, and unknown names are refused, each with its reason."""
    good: dict[str, Any] = {"concepts": {"a": NOISE[:12]}, "random": NOISE[12:], "layers": "1"}
    with pytest.raises(error, match=sentence):
        TCAV(tiny(), **{**good, **given})


def test_classifiers_that_do_not_converge_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A note counts the classifiers that reached the last step."""
    monkeypatch.setattr("saliency.concepts.cav.STEPS", 1)

    tcav = TCAV(tiny(), {"a": NOISE[:12]}, NOISE[12:], "1", classifier="sgd")

    assert "of 210 classifiers did not converge" in tcav.notes[-2]
