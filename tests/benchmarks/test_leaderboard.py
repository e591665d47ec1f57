"""The leaderboard: standings by hand, references that see no picture of the model, peers, and a run twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import saliency
from benchmarks.leaderboard import page, peers, record, run
from benchmarks.leaderboard.__main__ import board_of, is_chosen, not_measured, recorded, scene_counts
from benchmarks.leaderboard.entries import BUDGET, LARGE_BUDGET, OF_LAYERS, methods_for
from benchmarks.leaderboard.references import REFERENCES, ColourFilter, references_of
from benchmarks.leaderboard.standings import BedResult, overall, result_of
from saliency import testbed
from saliency.core.catalogue import METHODS
from saliency.results.evaluation import EvaluationRow

NAN = float("nan")


def rows_of(values: dict[str, dict[str, list[float]]], better: dict[str, str] | None = None) -> list[EvaluationRow]:
    """Return rows from values by metric, method and scene."""
    return [
        EvaluationRow(
            scene,
            "x",
            method,
            metric,
            value,
            better=(better or {}).get(metric, "higher"),
            method_images=1,
            method_seconds=1,
        )
        for metric, by_method in values.items()
        for method, listed in by_method.items()
        for scene, value in enumerate(listed)
    ]


def blind(scenes: int, value: float = 0.0) -> dict[str, list[float]]:
    """Return the values of the references."""
    return dict.fromkeys(REFERENCES, [value] * scenes)


def result(values: dict[str, dict[str, list[float]]], better: dict[str, str] | None = None) -> BedResult:
    """Return the result of a bed."""
    return result_of("bed", rows_of(values, better))


def test_standing_is_the_share_of_other_methods_that_are_beaten() -> None:
    """A standing is the mean over scenes and kinds of the share of other methods beaten, with ties counted half."""
    found = result(
        {
            "srg": {"gradient": [3.0, 1.0], "grad_cam": [2.0, 1.0], "lrp": [1.0, 0.0], **blind(2, -1)},
            "single_deletion": {"gradient": [0.0, 0.0], "grad_cam": [1.0, 1.0], "lrp": [0.5, 0.5], **blind(2, -1)},
        }
    )

    # removal: scene 1 (1, ½, 0), scene 2 (¾, ¾, 0); interventions: (0, 1, ½) in both
    expected = {"gradient": (0.5 + 0.375) / 2, "grad_cam": (0.75 + 0.875) / 2, "lrp": 0.25}
    for name, standing in expected.items():
        assert found.entries[name].standing.mean == pytest.approx(standing)
    assert [each.name for each in found.methods] == ["grad_cam", "gradient", "lrp"]
    assert [found.entries[each].rank for each in ("grad_cam", "gradient", "lrp")] == [1, 2, 3]
    assert found.entries["random"].standing.mean == 0
    assert found.entries["random"].rank == 4


def test_lower_is_better_and_undefined_is_lowest() -> None:
    """A metric whose low values are better is turned round; a map without a value loses to all with one."""
    found = result(
        {"distractibility": {"gradient": [0.1], "grad_cam": [NAN], "lrp": [0.3], **blind(1, 0.9)}},
        {"distractibility": "lower"},
    )

    assert {name: found.entries[name].standing.mean for name in ("gradient", "lrp", "grad_cam")} == {
        "gradient": 1.0,
        "lrp": 0.5,
        "grad_cam": 0.0,
    }


def test_a_measure_without_values_is_left_out() -> None:
    """A measure that is undefined for most methods of a scene counts nothing there."""
    values = {"gradient": [1.0], "grad_cam": [2.0], "lrp": [3.0], **blind(1)}
    alone, beside = (
        result({"srg": values, **more}).entries["gradient"].standing.mean
        for more in ({}, {"single_deletion": {"gradient": [1.0], "grad_cam": [NAN], "lrp": [NAN], **blind(1, NAN)}})
    )

    assert alone == beside == 0


def test_noise_wins_nothing_by_contrast_and_shuffling() -> None:
    """Class contrast and weight shuffling are conditions: all maps that meet them are tied, references fail both."""
    found = result(
        {
            "random_logit": {"gradient": [1.0], "grad_cam": [0.1], "lrp": [0.001], **blind(1, NAN)},
            "mprt": {"gradient": [0.0], "grad_cam": [0.4], "lrp": [0.6], **blind(1, NAN)},
            "srg": {"gradient": [1.0], "grad_cam": [1.0], "lrp": [1.0], **blind(1, 5.0)},
        },
        {"mprt": "lower"},
    )

    assert found.entries["gradient"].standing.mean == found.entries["grad_cam"].standing.mean > 0.5
    assert found.entries["lrp"].survives == {"class contrast": False, "weight shuffling": False}
    assert found.entries["random"].survives == {"class contrast": False, "weight shuffling": False}
    assert found.entries["colour_filter"].values["mprt"].mean == 1


def test_a_bed_that_colours_can_win_is_void() -> None:
    """A bed where the colour filter beats the median method is void, and leaves the standings."""
    methods = {"gradient": [1.0, 1.0], "grad_cam": [2.0, 2.0], "lrp": [3.0, 3.0]}
    void, valid = (
        result_of(name, rows_of({"srg": {**methods, **blind(2), "colour_filter": [value] * 2}}))
        for name, value in (("won", 2.5), ("lost", 1.5))
    )

    assert (void.void, valid.void) == (True, False)
    found = overall([void, valid], {"won": "a", "lost": "b"})
    assert {each.beds for each in found} == {1}
    (bed, *_) = testbed.beds()
    for won, line in ((void, f"Void: {bed.title}."), (valid, "No bed is void.")):
        assert line in page.text(page.Board([bed], {bed.id: won._replace(bed=bed.id)}, {bed.id: []}))


def test_a_bed_is_listed_where_colours_show_the_pixels_that_matter() -> None:
    """A colour filter that wins by removal and loses by class contrast makes no bed void, and is reported."""
    methods = {"gradient": [1.0, 1.0], "grad_cam": [2.0, 2.0], "lrp": [3.0, 3.0]}
    contrast = {name: [1.0, 1.0] for name in methods}
    (bed, *_) = testbed.beds()
    for value, shown in ((2.5, True), (1.5, False)):
        found = result_of(
            bed.id,
            rows_of(
                {
                    "srg": {**methods, **blind(2), "colour_filter": [value] * 2},
                    "random_logit": {**contrast, **blind(2, NAN)},
                }
            ),
        )
        text = page.text(page.Board([bed], {bed.id: found}, {bed.id: []}))

        assert (found.void, found.shown_by_colours) == (False, shown)
        assert (page.SHOWN in text) is shown


def test_a_failing_method_is_listed_with_its_reason() -> None:
    """A method that fails on every scene has no entry; its error is kept."""
    rows = rows_of({"srg": {"gradient": [1.0], "grad_cam": [2.0], **blind(1)}})
    found = result_of("bed", [*rows, EvaluationRow(0, "x", "lrp", "srg", error="Unsupported: no rule")])

    assert "lrp" not in found.entries
    assert found.left_out == {"lrp": "Unsupported: no rule"}


def test_groups_count_once() -> None:
    """The overall standing is the mean over groups of the mean over their beds."""
    high = {"gradient": [2.0], "grad_cam": [1.0], **blind(1)}
    low = {"gradient": [1.0], "grad_cam": [2.0], **blind(1)}
    beds = [result_of(name, rows_of({"srg": each})) for name, each in (("a", high), ("b", high), ("c", low))]

    (gradient,) = [each for each in overall(beds, {"a": "one", "b": "one", "c": "two"}) if each.name == "gradient"]

    assert gradient.standing.mean == 0.5


def test_methods_differ_where_the_interval_of_their_difference_excludes_zero() -> None:
    """A method that is a little better on every picture differs, though intervals overlap; one that varies does not."""
    draw = np.random.default_rng(0)
    level = draw.uniform(0, 10, 12)
    values = {
        "gradient": list(level),
        "lrp": list(level - 0.1),
        "grad_cam": list(draw.permutation(level)),
        **{name: [1 + 2.0 * i] * 12 for i, name in enumerate(("rise", "lime", "hsic", "xrai", "sobol"))},
        **blind(12, -1),
    }
    found = {each.name: each for each in overall([result({"srg": values})], {"bed": "a"})}

    assert found["gradient"].standing.low < found["lrp"].standing.high
    assert found["gradient"].differs(found["lrp"])
    assert not found["gradient"].differs(found["grad_cam"])
    assert not found["gradient"].differs(found["gradient"])


@pytest.mark.parametrize("side", [32, 56, 128, 224])
def test_every_method_fits_the_budget(side: int) -> None:
    """Every method runs at every size of a bed, with at most as many images as the budget; two need more than 64."""
    for budget, missing in ((BUDGET, set()), (LARGE_BUDGET, {"shapley", "sobol"})):
        found, left_out = methods_for((side, side, 3), budget)

        assert set(left_out) == missing
        assert list(found) == [name for name in METHODS if name not in {*OF_LAYERS, *missing}]
        assert all(each.cost((1, side, side, 3)) <= budget for each in found.values())


def test_colour_filter_learns_the_colours_of_the_truth() -> None:
    """The filter marks a red disc where other scenes had red ones, wherever they were, and no green one."""
    draw = np.random.default_rng(0)

    def scene(red: tuple[int, int], green: tuple[int, int]) -> testbed.Scene:
        image = draw.uniform(0.3, 0.6, (56, 56, 3)).astype(np.float32)
        truth = np.zeros((56, 56), bool)
        truth[red[0] : red[0] + 12, red[1] : red[1] + 12] = True
        image[truth] = 0.9, 0.1, 0.1
        image[green[0] : green[0] + 12, green[1] : green[1] + 12] = 0.1, 0.9, 0.1
        return testbed.Scene(image, 0, truth)

    learned = ColourFilter([scene((4, 4), (40, 40)), scene((40, 4), (4, 40))])
    found = references_of(scene((20, 30), (4, 4)), learned, 0)

    assert found["colour_filter"][20:32, 30:42].mean() > found["colour_filter"][4:16, 4:16].mean() + 1
    assert record.trueness(found["colour_filter"], scene((20, 30), (4, 4)).truth) > 0.9
    assert found["sobel"][31, 35] > found["sobel"][26, 36]
    assert found["centre"].max() == found["centre"][27:29, 27:29].min()


def test_peers_are_measured_like_ours() -> None:
    """Captum's Grad-CAM has the values of ours, its images are counted, and class contrast runs it again."""
    (bed,) = (each for each in testbed.beds() if each.id == "demo_objects")
    scene = bed.scenes(1)[0]
    small = testbed.Scene(np.ascontiguousarray(scene.image[:112, :112]), scene.target)
    found = saliency.evaluate(
        bed.model,
        small.image,
        {"ours": saliency.GradCam(), "theirs": peers.PeerMethod("captum: LayerGradCam")},
        ["srg", "random_logit"],
        small.target,
        progress=False,
    )
    ours, theirs = found.rows[:2], found.rows[2:]

    assert [row.value for row in theirs] == pytest.approx([row.value for row in ours], abs=1e-4)
    assert {row.method_images for row in theirs} == {1}
    assert not any(row.error for row in found.rows)


def test_truth_of_maps_in_the_record() -> None:
    """The truth has trueness 1, the reverse at most 0; verdicts count by the pairs that they order rightly."""
    truth = np.zeros((20, 20), bool)
    truth[:5, :5] = True
    scene = [
        record.Checked("0% swapped", 1.0, 0.9, True),
        record.Checked("50% swapped", 0.5, 0.4, True),
        record.Checked("elsewhere", 0.0, 0.6, None),
        record.Checked("random smooth", 0.5, 0.1, True),
        record.Checked("random smooth", 0.0, 0.1, True),
        record.Checked("random cells", 0.0, 0.1, False),
        record.Checked("random pixels", 0.0, 0.1, None),
    ]
    (table,) = record.lines({"bed": [scene]}, {"bed": "A bed"})

    assert record.trueness(truth.astype(float), truth) == 1
    assert record.trueness(-truth.astype(float), truth) < 0
    # 1.0 above 0.5 and 0.0 above 0.5 rightly, 0.5 above 0.0 wrongly
    assert "| A bed | 3 | 67 % | – | – | 50 % | 100 % | 4 | 50.0 % [15.0, 85.0] | 25.0 % [4.6, 69.9] |" in table
    assert "[4.6, 69.9] | 100.0 % [20.7, 100.0] |" in table
    assert "smooth 100.0 % [34.2, 100.0]" in table


def test_verdicts_are_recorded_where_the_truth_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outlined objects of a photograph are no known truth: no verdict is recorded there."""
    known, real = (run.Task(bed, 0, 1, tmp_path) for bed in ("wired_one_patch_texture", "imagenet"))
    monkeypatch.setattr(run.Task, "has_truth", True)
    maps = [record.Checked(record.TRUE, 1.0, 1.0, True), record.Checked("random cells", 0.0, 0.0, False)]
    maps.append(record.Checked("elsewhere", 0.0, 0.0, False))
    monkeypatch.setattr(record, "checked", lambda _: maps)
    (table,) = recorded([known, real], 0)

    assert "| One patch, texture |" in table
    assert "EfficientNet" not in table


def test_evidence_follows_from_the_standings() -> None:
    """Each measured method has its class of cost, standing and reason; the page names the best of each class."""
    values = {
        name: [float(i)] * 4
        for i, name in enumerate(("rise", "eigen_cam", "grad_cam", "feature_ablation", "smooth_grad"))
    }
    rows = rows_of({"srg": {**values, **blind(4)}})
    rows = [
        row._replace(method_images={"rise": 256, "smooth_grad": 25, "feature_ablation": 51}.get(row.method, 1))
        for row in rows
    ]
    (bed, *_) = testbed.beds()
    board = page.Board([bed], {bed.id: result_of(bed.id, rows)}, {bed.id: []})
    found = page.evidence(board)

    assert {name: each["cost"] for name, each in found.items()} == {
        "smooth_grad": "tens",
        "feature_ablation": "tens",
        "grad_cam": "one pass",
        "eigen_cam": "one pass",
        "rise": "hundreds",
    }
    assert found["smooth_grad"]["standing"] == 1
    assert found["rise"]["reason"].startswith("the pixels that it marks matter no more than random ones")
    first, more, scores = page.sentences(board)
    assert "use `grad_cam`, which evaluates 1 image and beats 50 % of the other methods." in first
    assert "use `smooth_grad`, which evaluates 25 images and beats 100 % of the other methods." in more
    assert "`feature_ablation`, which evaluates 51 images" in scores
    assert "no such method" not in more
    slow = [row._replace(method_images=1 if row.method == "smooth_grad" else 99) for row in rows]
    _, later, *_ = page.sentences(page.Board([bed], {bed.id: result_of(bed.id, slow)}, {bed.id: []}))
    assert later.endswith("; no such method has a higher standing than `smooth_grad`.")
    assert '`method="auto"`, which is also the first method of the widget, is `smooth_grad`' in page.text(board)
    assert "`rise`" in page.never_better(board)
    assert "`grad_cam`" not in page.never_better(board)


def test_photographs_stand_apart(tmp_path: Path) -> None:
    """Beds of photographs have a table and a plot of their own, and change neither the others nor the evidence."""
    beds = [testbed.beds()[0], testbed.imagenet()]
    values = {name: [float(i)] * 2 for i, name in enumerate(("eigen_cam", "gradient", "grad_cam", "rise"))}
    reverse = {name: [-each for each in listed] for name, listed in values.items()}
    known, real = (
        result_of(bed.id, rows_of({"srg": {**each, **blind(2, -9)}}))
        for bed, each in zip(beds, (values, reverse), strict=True)
    )
    gates: dict[str, list[testbed.Gate]] = {bed.id: [] for bed in beds}
    alone = page.Board(beds[:1], {known.bed: known}, gates)
    board = page.Board(beds, {known.bed: known, real.bed: real}, gates)

    assert page.evidence(board) == page.evidence(alone)
    assert page.sentences(board) == page.sentences(alone)
    text = page.text(board)
    assert "correlation with the standings on convolutional networks is -1.00, over 4 methods" in text
    assert "trained networks and photographs" not in page.text(alone)
    first = text.partition("### On trained networks and photographs")[2].partition("| 1 | ")[2]
    assert first.startswith("[`eigen_cam`]")
    page.write(board, tmp_path, tmp_path / "evidence.json")
    assert {each.name for each in (tmp_path / "images").iterdir()} == {
        "leaderboard.png",
        "leaderboard-photographs.png",
    }


def test_beds_of_photographs_are_chosen() -> None:
    """They are measured on request: those named, or all; the others always."""
    beds = [testbed.beds()[0], testbed.imagenet()]

    for photographs, chosen in ((None, [True, False]), ([], [True, True]), (["other"], [True, False])):
        assert [is_chosen(bed, photographs) for bed in beds] == chosen
    assert any("python -m benchmarks.leaderboard --photographs imagenet" in line for line in not_measured(beds[:1]))
    assert not any("--photographs imagenet" in line for line in not_measured(beds))


def test_scenes_of_a_group_share_its_number() -> None:
    """Beds of one group share its scenes, at least so many each."""
    beds = testbed.beds()
    counts = scene_counts(beds, 24, 2)
    wired = [each.id for each in beds if each.group == "wired"]

    assert {counts[each] for each in wired} == {max(2, 24 // len(wired))}


def pages(bed: str, folder: Path) -> tuple[str, str, dict[str, object]]:
    """Return the pages and the evidence of one scene of a bed, without durations."""
    torch.set_num_threads(1)
    board = board_of({bed: 1}, folder, 0, seconds=False)
    return page.text(board), page.beds_text(board), page.evidence(board)


def test_a_run_is_reproduced_bit_by_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of a few methods give the same pages, and so does one that was interrupted."""
    few = {name: METHODS[name]() for name in ("gradient", "smooth_grad", "lime")}
    monkeypatch.setattr(run, "methods_for", lambda *_: (few, {}))
    monkeypatch.setattr(run, "peer_methods", dict)
    monkeypatch.setattr(record, "RANDOM", 3)
    bed = "wired_distractor_brightness"

    first = pages(bed, tmp_path / "one")
    rows = tmp_path / "one" / bed / "rows-000.jsonl"
    written = rows.read_bytes()
    rows.write_bytes(written[: len(written) // 2])

    assert pages(bed, tmp_path / "one") == first
    assert pages(bed, tmp_path / "two") == first
    assert "`lime`" in first[1]
    scene = run.Task(bed, 0, 1, tmp_path / "one")
    once, twice = run.cpu_seconds([scene]), run.cpu_seconds([scene, scene])
    assert once == twice > 0


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # some warn once only
@pytest.mark.parametrize("bed", [each.id for each in testbed.beds()])
def test_every_bed_is_reproduced_bit_by_bit(bed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of every method on a scene of a bed give the same pages."""
    monkeypatch.setattr(run, "peer_methods", dict)

    first = pages(bed, tmp_path / "one")
    assert pages(bed, tmp_path / "two") == first
    page.plot(board_of({bed: 1}, tmp_path / "one", 0, seconds=False), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000


@pytest.mark.long
def test_the_small_board_runs_in_processes(tmp_path: Path) -> None:
    """Tasks run in two processes with the results of one."""
    tasks = [run.Task("wired_one_patch_brightness", index, 2, tmp_path) for index in range(2)]
    apart = {task.index: rows for task, rows in run.in_processes(run.measured, tasks, 2)}
    together = {task.index: rows for task, rows in run.in_processes(run.measured, tasks, 0)}

    assert repr(apart[0]) == repr(together[0])
    assert repr(apart[1]) == repr(together[1])
