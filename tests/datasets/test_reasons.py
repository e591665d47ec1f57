"""What the masks of a data set say: a planted logo is a cluster, and another reason is a change."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saliency
from saliency.datasets.pooled import place_of, pooled
from saliency.testbed.planted import OBJECTS, Planted

COUNT = 160


class Stores:
    """Masks of pictures, every other one with a logo, by the network that reads it and by its twin."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        scenes = Planted("shortcut").scenes(COUNT, seed=5)
        self.pictures = [
            np.asarray(each.image if i % 2 else each.without(("logo", "trigger"))) for i, each in enumerate(scenes)
        ]

    def of(self, bed: str, method: Any, name: str = "", **options: Any) -> saliency.Masks:
        """Return the masks of one network."""
        out = self.folder / f"{bed}-{name or method}"
        given: dict[str, Any] = {"labels": list(OBJECTS), "progress": False, "batch_size": 32, **options}
        return saliency.explain_dataset(self.pictures, Planted(bed).model, method, out=out, **given)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    """Return the masks of the test-bed."""
    return Stores(tmp_path_factory.mktemp("reasons"))


def test_a_planted_logo_is_a_cluster_of_its_own(stores: Stores) -> None:
    """At least 95 % of the pictures of one cluster have the logo, and it has at least 90 % of these pictures."""
    store = stores.of("shortcut", "guided_backprop")
    found = saliency.cluster(saliency.open_masks(store.path, stores.pictures), by_class=False)
    with_logo = [[i % 2 for i in each.images] for each in found]
    logo = max(range(len(found)), key=lambda number: sum(with_logo[number]))

    assert np.mean(with_logo[logo]) >= 0.95
    assert sum(with_logo[logo]) >= 0.9 * COUNT / 2
    assert found[logo].place == "a small spot"
    assert str(found).count("\n") == len(found)
    assert len(found) == 1 + int(np.argmax(np.diff(found.eigenvalues[None])))
    assert found.montage(logo, 3, 40).shape == (40, 120, 3)
    assert found.plot() is not None


def test_the_nearest_masks_are_those_of_the_same_reason(stores: Stores) -> None:
    """Maps on the logo have maps on the logo next to them; similarities fall, and are those of the features."""
    store = saliency.open_masks(stores.of("shortcut", "guided_backprop").path, stores.pictures)
    found = [store.nearest(i, count=5) for i in (1, 3, 5, 7)]

    assert np.mean([each.image % 2 for near in found for each in near]) >= 0.9
    for i, near in zip((1, 3, 5, 7), found, strict=True):
        assert [each.similarity for each in near] == sorted((each.similarity for each in near), reverse=True)
        assert i not in {each.image for each in near}
    assert [each.image for each in store.nearest(0, count=200, features="place")] != list(range(1, COUNT))
    assert len(store.nearest(0, count=200)) == COUNT - 1


def test_rows_are_sorted_filtered_and_drawn_when_they_are_needed(stores: Stores) -> None:
    """Rows with a value are first in order; thumbnails and overlays are small; without pictures masks are alone."""
    store = saliency.open_masks(stores.of("shortcut", "guided_backprop").path, stores.pictures)
    rows = store.rows(sort="probability", descending=True, where=lambda row: row["label"] == "cat")

    assert [each["probability"] for each in rows] == sorted((each["probability"] for each in rows), reverse=True)
    assert {each["label"] for each in rows} == {"cat"}
    assert 0 < len(rows) < COUNT
    thumbnail, overlay = store.thumbnail(3, 32), store.overlay(3, side=32)
    assert thumbnail is not None
    assert overlay is not None
    assert thumbnail.shape == overlay.shape == (32, 32, 3)
    assert np.abs(thumbnail.astype(int) - overlay).max() > 20
    alone = saliency.open_masks(store.path)
    assert alone.thumbnail(3) is None
    drawn = alone.overlay(3, side=32)
    assert drawn is not None
    assert drawn.shape == (32, 32, 3)
    with pytest.raises(saliency.UnknownName, match="colour"):
        store.rows(sort="colour")


def test_umap_is_named_where_it_is_missing() -> None:
    """The error names the package; t-SNE needs scikit-learn only."""
    found = saliency.cluster(list(np.random.default_rng(0).random((12, 8, 8))), clusters=2)
    assert found.embedding().shape == (12, 2)
    if importlib.util.find_spec("umap") is None:
        with pytest.raises(saliency.MissingPackage, match="umap-learn"):
            found.plot(by="umap")


def test_classes_are_grouped_apart(stores: Stores) -> None:
    """By default no cluster has pictures of two classes; HDBSCAN and places work too."""
    store = stores.of("shortcut", "guided_backprop")
    labels = {each["image"]: each["label"] for each in store.table.to_pylist()}
    for found in (saliency.cluster(store), saliency.cluster(store, algorithm="hdbscan", features="place")):
        assert all({labels[i] for i in each.images} == {each.group} for each in found)


def test_features_of_channels_are_clustered() -> None:
    """Relevance per channel, as an array, is grouped like maps are."""
    rng = np.random.default_rng(0)
    channels = np.repeat(np.eye(3, 8), 20, axis=0) + 0.05 * rng.normal(size=(60, 8))
    found = saliency.cluster(list(rng.random((60, 8, 8))), features=channels)

    assert sorted(sorted(each.images) for each in found) == [list(range(i, i + 20)) for i in (0, 20, 40)]


@pytest.mark.parametrize(
    ("rows", "columns", "place"),
    [
        (slice(0, 8), slice(0, 8), "a corner"),
        (slice(0, 4), slice(None), "the border"),
        (slice(30, 36), slice(30, 36), "a small spot"),
        (slice(10, 50), slice(10, 50), ""),
    ],
)
def test_the_place_of_maps_is_named(rows: slice, columns: slice, place: str) -> None:
    """Maps on a corner, on the border and on a spot are named; one on the whole object is not."""
    mask = np.zeros((64, 64))
    mask[rows, columns] = 1

    assert place_of([pooled(mask)]) == place
    assert pooled(mask).sum() == pytest.approx(1)


def test_a_network_with_a_shortcut_is_told_from_its_twin(stores: Stores) -> None:
    """The reasons differ from those of the clean twin; those of the same network do not."""
    first, second = stores.of("shortcut", "grad_cam"), stores.of("clean", "grad_cam")
    found = saliency.changed(first, second)

    assert found
    assert found.exit_code == 1
    assert next(iter(found.by_class())) == "cat"
    assert "cat" in str(found)
    assert not saliency.changed(first, first.path)
    assert found.plot() is not None


def test_a_rerun_with_another_seed_is_no_change(stores: Stores) -> None:
    """With the distances of a rerun as the reference, a third run is the same and the twin is not."""
    runs = [stores.of("shortcut", saliency.SmoothGrad(samples=3, seed=i), f"noisy{i}") for i in range(3)]
    twin = stores.of("clean", saliency.SmoothGrad(samples=3), "noisy")

    assert not saliency.changed(runs[0], runs[1], rerun=runs[2])
    assert saliency.changed(runs[0], twin, rerun=runs[1])


@pytest.mark.long
def test_false_alarms_and_power(tmp_path: Path) -> None:
    """Of 100 reruns at most 4 are changes (binomial bound of 1 %); of 20 sets of 200 pictures the twin always is."""
    stores = Stores(tmp_path)
    stores.pictures = stores.pictures[:40]
    runs = [stores.of("shortcut", saliency.SmoothGrad(samples=3, seed=i), f"noisy{i}") for i in range(15)]
    alarms = [
        bool(saliency.changed(runs[i], runs[j], rerun=runs[(j + 1) % 15]))
        for i in range(15)
        for j in range(i + 1, 15)
        if (j + 1) % 15 != i
    ][:100]
    assert sum(alarms) <= 4
    for seed in range(20):
        pictures = [np.asarray(each.image) for each in Planted("shortcut").scenes(200, seed=seed + 50)]
        stores.pictures = pictures
        first, second = (stores.of(bed, "grad_cam", f"power{seed}") for bed in ("shortcut", "clean"))
        assert saliency.changed(first, second)


def test_other_pictures_are_refused(stores: Stores, tmp_path: Path) -> None:
    """Stores without a common picture are not compared."""
    other = saliency.explain_dataset(
        [np.zeros((80, 80, 3), np.uint8)], Planted("clean").model, "grad_cam", out=tmp_path / "m", progress=False
    )
    with pytest.raises(saliency.BadField, match="no picture in common"):
        saliency.changed(stores.of("clean", "grad_cam"), other)
