"""`saliency.evaluate`: the table, its references, errors, progress and resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saliency
from saliency.api.cases import case_of
from saliency.metrics import SRG, Attribution, Deletion, Gini
from tests.nets import LABELS, small_net

SHORT = SRG(levels=4), Deletion(levels=4)
SIZE = 24, 20


def pictures(count: int = 2) -> list[np.ndarray]:
    """Return pictures of 24×20 pixels, uint8."""
    return list(np.random.default_rng(0).integers(0, 256, (count, *SIZE, 3), np.uint8))


def evaluated(images: Any = None, methods: Any = "gradient", metrics: Any = SHORT, **options: Any) -> Any:
    """Return the evaluation of a small network."""
    model = options.pop("model", None) or small_net()
    images = pictures() if images is None else images
    return saliency.evaluate(model, images, methods, metrics, **{"progress": False, "labels": LABELS, **options})


def test_rows_are_those_of_the_metrics() -> None:
    """Each row has the value and the band of the metric, called with the mask of `explain`."""
    found = evaluated(methods=["gradient", saliency.GradCam()], targets=["cat", 0])

    assert [(row.image, row.method, row.metric) for row in found.rows] == [
        (image, method, metric)
        for image in (0, 1)
        for method in ("gradient", "grad_cam")
        for metric in ("SRG(levels=4)", "Deletion(levels=4)")
    ]
    assert [row.target for row in found.rows[::4]] == ["cat", "ape"]
    for image, target, method in ((0, 2, "gradient"), (1, 0, "grad_cam")):
        net, picture = small_net(), pictures()[image]
        mask = Attribution.of(saliency.explain(net, picture, method, target, progress=False))
        case = case_of(saliency.prepare(net, [picture]), target)
        rows = [row for row in found.rows if (row.image, row.method) == (image, method)]
        for metric, row in zip(SHORT, rows, strict=True):
            expected = metric(case, mask)
            assert expected.band is not None
            assert row.value == pytest.approx(expected.value, abs=1e-6)
            assert (row.random, row.random_high) == pytest.approx((expected.band.mean, expected.band.high), abs=1e-6)
            assert row.better == ("higher" if metric.id == "srg" else "lower")
            assert not row.error
            assert not row.reason


def test_forward_passes_are_shared() -> None:
    """Deletion evaluates no image after SRG with the same cells; random maps are measured once for each image."""
    sizes: list[int] = []
    weights = np.random.default_rng(0).normal(size=(3, 4))

    def model(images: np.ndarray) -> np.ndarray:
        sizes.append(len(images))
        return np.asarray(images.mean((1, 2)) @ weights)

    masks = [np.random.default_rng(i).normal(size=SIZE) for i in range(3)]
    metrics = {"srg": SRG(levels=4, cell=1), "deletion": Deletion(levels=4)}
    one = evaluated(pictures(1)[0], {"a": masks[0]}, metrics, model=model)
    of_one, sizes[:] = sum(sizes), []
    evaluated(pictures(1)[0], {"a": masks[0], "b": masks[1], "c": masks[2]}, metrics, model=model)

    assert one.rows[1].images == 0
    # each further mask costs its own levels only: 2 × 3, without the whole image and the fill
    assert sum(sizes) - of_one == 2 * 6


def test_rows_have_the_cost_of_the_method(tmp_path: Path) -> None:
    """Each row has the images and seconds that the method took for its mask, also from a file; masks have none."""
    methods = {"smooth": saliency.SmoothGrad(samples=5), "own": [np.arange(480.0).reshape(SIZE)]}
    first, again = (
        evaluated(pictures(1), methods, resume=tmp_path / "rows.jsonl", metrics=SHORT).rows for _ in range(2)
    )

    assert [row.method_images for row in first] == [5, 5, 0, 0]
    assert np.isnan([row.method_seconds for row in first]).tolist() == [False, False, True, True]
    assert [row[:-1] for row in again] == [row[:-1] for row in first]
    assert again[0].method_seconds == first[0].method_seconds > 0


def test_one_image_and_one_name() -> None:
    """One image, method and metric need no lists; the default target is the top class."""
    found = evaluated(pictures()[0], saliency.GradCam, "gini")

    (row,) = found.rows
    assert (row.method, row.metric, row.better, row.random) == (
        "grad_cam",
        "gini",
        "neither",
        pytest.approx(np.nan, nan_ok=True),
    )
    assert row.target == saliency.predict(small_net(), pictures()[0], labels=LABELS)[0].label


def test_a_batch_is_several_images() -> None:
    """An array (N, H, W, C) and its images one by one give the same rows."""
    together, apart = (evaluated(each, metrics=Gini()) for each in (np.stack(pictures()), pictures()))

    rows = [[row._replace(seconds=0, method_seconds=0) for row in each.rows] for each in (together, apart)]
    assert rows[0] == rows[1]


def test_masks_of_ones_own() -> None:
    """Explanations and arrays are measured as they are; an explanation brings its target."""
    explanations = [
        saliency.explain(small_net(), each, "gradient", "bee", labels=LABELS, progress=False) for each in pictures()
    ]
    found = evaluated(methods={"mine": explanations, "array": [each.salience() for each in explanations]})

    assert {row.target for row in found.rows} == {"bee"}
    values = found.values("SRG(levels=4)")
    np.testing.assert_allclose(values[:, 0], values[:, 1])
    by_method = evaluated(methods="gradient", targets="bee").values("SRG(levels=4)")
    np.testing.assert_allclose(values[:, 0], by_method[:, 0], atol=1e-6)


def test_an_explanation_of_another_target() -> None:
    """An explanation of another class than the target is an error of its own rows."""
    explanations = [saliency.explain(small_net(), each, "gradient", 1, progress=False) for each in pictures()]
    found = evaluated(methods={"mine": explanations, "gradient": "gradient"}, targets=0)

    assert all(("pass explanations of one target" in row.error) == (row.method == "mine") for row in found.rows)


def test_a_mask_with_nan_and_one_that_is_missing(tmp_path: Path) -> None:
    """Each is an error of its own rows, also with a file."""
    masks = [np.full(SIZE, np.nan), None]
    for options in ({}, {"resume": tmp_path / "rows.jsonl"}):
        found = evaluated(methods={"mine": masks, "gradient": "gradient"}, **options)
        errors = [row.error for row in found.rows if row.method == "mine"]
        assert ["NaN" in each for each in errors] == [True, True, False, False]
        assert ["There is no mask" in each for each in errors] == [False, False, True, True]
        assert not any(row.error for row in found.rows if row.method == "gradient")


def truth() -> np.ndarray:
    """Return an object of 24 pixels in the upper left."""
    found = np.zeros(SIZE, bool)
    found[2:8, 3:7] = True
    return found


def test_objects_as_masks_and_boxes() -> None:
    """A mask, the same of 0 and 1, and its box are one; images without an object have a reason."""
    masks = [truth(), truth().astype(int), (2, 3, 8, 7), None]
    found = evaluated(pictures(1) * 4, metrics=["localisation_auc", "gini"], masks=masks)

    values = found.values("localisation_auc")[:, 0]
    assert values[0] == values[1] == values[2]
    assert [row.reason for row in found.rows if row.image == 3] == ["needs the pixels of the object: pass masks", ""]


def test_objects_follow_the_placement() -> None:
    """An object of the picture is brought to a resized input: the object itself, as a mask, is found exactly."""
    picture = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    small = np.zeros((24, 24), bool)
    small[2:8, 3:7] = True
    large = np.kron(small, np.ones((2, 2))).astype(bool)
    options = {"metrics": "relevance_mass_accuracy", "preprocess": "0..1 24"}
    found = evaluated([picture] * 3, {"object": [small * 1.0] * 3}, masks=[large, (4, 6, 16, 14), small], **options)

    assert [row.value for row in found.rows] == [1, 1, 1]


def test_objects_beyond_a_crop() -> None:
    """Of a cropped picture, only the part of the object that the model is fed counts."""

    def cropped(picture: np.ndarray) -> np.ndarray:
        return np.asarray(picture[12:36, 10:30] / 255, np.float32)

    picture = np.random.default_rng(0).integers(0, 256, (48, 40, 3), np.uint8)
    left = np.zeros(SIZE)
    left[:, :4] = 1
    found = evaluated(picture, {"left": left}, ["iou"], masks=(0, 0, 48, 14), preprocess=cropped)

    assert found.rows[0].value == 1


def test_failures_are_rows() -> None:
    """A missing file, a method that the model does not support and a failing metric each give their own rows."""

    class Failing(Gini):
        def of(self, shares: np.ndarray) -> float:
            raise ZeroDivisionError("no luck")

    images = ["/nowhere/a.png", *pictures()]
    found = evaluated(images, ["gradient", "attention_rollout"], {"gini": "gini", "failing": Failing()})

    errors = {(row.image, row.method, row.metric): row.error for row in found.rows}
    assert all("FileNotFoundError" in error for (image, *_), error in errors.items() if image == 0)
    assert all("Unsupported" in error for (image, method, _), error in errors.items() if image and "rollout" in method)
    assert errors[1, "gradient", "failing"] == "ZeroDivisionError: no luck"
    assert [key for key, error in errors.items() if not error] == [(1, "gradient", "gini"), (2, "gradient", "gini")]
    assert "first error, image 0" in repr(found)


def test_if_everything_fails_the_first_error_is_raised() -> None:
    """A target that does not exist is an error, not a table of errors."""
    with pytest.raises(saliency.UnknownName, match="no label 'hen'"):
        evaluated(targets="hen")
    with pytest.raises(saliency.Unsupported, match="attention"):
        evaluated(methods="attention_rollout")
    with pytest.raises(FileNotFoundError):
        evaluated(np.array(["/nowhere/a.png", "/nowhere/b.png"]))


@pytest.mark.parametrize(
    ("error", "match", "options"),
    [
        (saliency.UnknownName, "Did you mean 'grad_cam'", {"methods": ["gradcam"]}),
        (saliency.UnknownName, "Did you mean 'deletion'", {"metrics": ["deletions"]}),
        (saliency.BadField, "images is an empty list", {"images": []}),
        (saliency.BadField, "methods is empty", {"methods": []}),
        (saliency.BadField, "metrics is empty", {"metrics": {}}),
        (saliency.BadField, "gradient twice", {"methods": ["gradient", saliency.GradientSaliency()]}),
        (saliency.BadField, "Masks need a name", {"methods": [np.zeros(SIZE)]}),
        (saliency.BadField, "one mask for each image", {"methods": {"mine": 3}}),
        (saliency.BadField, "has 1 entries for 2 images", {"methods": {"mine": [np.zeros(SIZE)]}}),
        (saliency.BadField, "must be metrics", {"metrics": [3]}),
        (saliency.BadTarget, "3 entries for 2 images", {"targets": [0, 1, 2]}),
        (saliency.BadShape, "1 entries for 2 images", {"masks": [None]}),
        (saliency.BadShape, "one mask, box or None", {"masks": np.zeros(SIZE, bool)}),
        (saliency.BadShape, r"\(24, 20\), got \(3, 3\)", {"masks": [np.zeros((3, 3), bool)] * 2}),
        (saliency.BadShape, "does not fit the picture", {"masks": [(2, 3, 30, 7)] * 2}),
        (saliency.BadField, "a mask of True and False", {"masks": [np.full(SIZE, 0.5)] * 2}),
        (saliency.BadField, "seed", {"seed": -1}),
        (saliency.BadField, "progress", {"progress": lambda: None}),
        (saliency.BadImage, "rows and columns", {"images": [[np.zeros((1, 3), np.float32)] * 2]}),
    ],
)
def test_bad_arguments(error: Any, match: str, options: dict[str, Any]) -> None:
    """Wrong arguments raise an error that names what was expected."""
    with pytest.raises(error, match=match):
        evaluated(**options)


def test_progress_and_cancelling() -> None:
    """Progress counts rows; cancelling raises after the current batch."""
    seen: list[tuple[int, int]] = []
    evaluated(progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]

    with pytest.raises(saliency.Cancelled):
        evaluated(progress=lambda done, total: seen.append((done, total)), cancelled=lambda: len(seen) > 4)
    assert len(seen) == 5


def test_resuming_computes_nothing_twice(tmp_path: Path) -> None:
    """After an interruption, even within a line, stored rows are read; the result equals that of one run."""
    file = tmp_path / "rows.jsonl"
    seen: list[int] = []
    whole = evaluated()
    with pytest.raises(saliency.Cancelled):
        evaluated(resume=file, cancelled=lambda: len(seen) == 3, progress=lambda done, _: seen.append(done))
    with file.open("ab") as torn:
        torn.write(b'{"key": "3f')
    assert len(saliency.Evaluation.load(file).rows) == 3

    resumed = evaluated(resume=file)
    again = evaluated(resume=file)

    for found in (resumed, again):
        for row, expected in zip(found.rows, whole.rows, strict=True):
            assert row[:4] == expected[:4]
            assert row.value == pytest.approx(expected.value, abs=1e-6)
            assert row.random == pytest.approx(expected.random, abs=1e-6)
    assert resumed.rows[0] == again.rows[0] == saliency.Evaluation.load(file).rows[0]
    assert len(file.read_text().splitlines()) == 5


def test_changed_arguments_are_computed(tmp_path: Path) -> None:
    """Another model, image, target, object, method, metric or seed has rows of its own; other names have not."""
    file = tmp_path / "rows.jsonl"
    first: dict[str, Any] = {"images": pictures(1), "methods": {"a": "gradient"}, "metrics": {"b": Deletion(levels=2)}}

    def added(**changes: Any) -> int:
        before = len(file.read_text().splitlines()) if file.exists() else 1
        evaluated(**{**first, **changes}, resume=file)
        return len(file.read_text().splitlines()) - before

    assert added(targets=1) == 1
    assert added(targets="bee", methods={"other": "gradient"}, metrics={"name": Deletion(levels=2)}) == 0
    assert added(targets=0) == 1
    assert added(targets=1, model=small_net(seed=1)) == 1
    assert added(targets=1, images=pictures(2)) == 1
    assert added(targets=1, seed=1) == 1
    assert added(targets=1, masks=[truth()]) == 1
    assert added(targets=1, metrics=Deletion(levels=2, fill="black")) == 1
    assert added(targets=1, methods=saliency.GradCam()) == 1
    assert added(targets=1, methods={"mine": [np.eye(24, 20)]}) == 1


def test_values_of_any_float_type_are_stored(tmp_path: Path) -> None:
    """A metric that returns a NumPy float32 is stored as a number; one that returns none is a row with an error."""

    class Single(Gini):
        def of(self, shares: np.ndarray) -> float:
            return np.float32(0.5)  # type: ignore[return-value]

    class Nothing(saliency.metrics.Metric):
        pairs = 0

        def measure(self, case: Any, mask: Attribution) -> saliency.metrics.Measurement:
            return saliency.metrics.Measurement(None)  # type: ignore[arg-type]

    file = tmp_path / "rows.jsonl"
    found = evaluated(pictures(1), metrics={"single": Single(), "nothing": Nothing()}, resume=file)

    assert [row.value for row in saliency.Evaluation.load(file).rows] == [0.5]
    assert "TypeError" in found.rows[1].error


def test_errors_are_tried_again(tmp_path: Path) -> None:
    """Rows with an error are not stored; NaN with a reason is."""
    file = tmp_path / "rows.jsonl"
    evaluated(methods=["attention_rollout", "gradient"], metrics="iou", resume=file)

    (one, other) = saliency.Evaluation.load(file).rows
    assert {one.method, other.method} == {"gradient"}
    assert np.isnan(one.value)
    assert one.reason


@pytest.mark.parametrize("content", ['{"a": 1}\n', "text\n", '{"format": "saliency evaluation", "version": 1}\n[1]\n'])
def test_foreign_files_are_refused(tmp_path: Path, content: str) -> None:
    """A file that evaluate has not written is left unchanged, and an error names it."""
    file = tmp_path / "rows.jsonl"
    file.write_text(content)

    with pytest.raises(saliency.BadField, match=r"rows\.jsonl"):
        evaluated(resume=file)
    assert file.read_text() == content


def test_metrics_that_run_the_method_again() -> None:
    """A metric that needs the method gets a runner for methods, and a reason for masks of one's own."""

    class Flipped(saliency.metrics.Metric):
        id = "flipped"
        needs_method = True
        pairs = 0

        def measure(self, case: Any, mask: Attribution) -> saliency.metrics.Measurement:
            found = case.runner(case.image)[0, 0]
            return saliency.metrics.Measurement(float(np.abs(found - mask.values).max()))

    methods = {"gradient": "gradient", "mine": [np.eye(24, 20)] * 2}
    found = evaluated(methods=methods, metrics=Flipped())

    assert [row.value for row in found.rows if row.method == "gradient"] == [0, 0]
    assert {row.reason for row in found.rows if row.method == "mine"} == {"needs the method that created the mask"}
    assert found.rows[0].images == 1
