"""Run the leaderboard; see the package."""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from pathlib import Path

from benchmarks.leaderboard import page, record, run
from benchmarks.leaderboard.entries import LARGE
from benchmarks.leaderboard.standings import result_of
from saliency import testbed
from saliency.core.evidence import evidence
from saliency.results.evaluation import EvaluationRow
from saliency.testbed.real.bed import PhotographBed
from scripts import methods_page

ROOT = Path(__file__).resolve().parents[2]

SCENES = 18
"""Scenes of each group of beds."""

LEAST = 2
"""Least number of scenes of a bed."""

SAME_AS_TORCH = "photographs_mobilenet_keras"
"""A bed that is left out: its maps equal those of the same weights in torch, see docs/testbeds.md."""

SMALL = {"birds_cnn": 1, "wired_distractor_brightness": 2, "wired_shortcut_texture": 2}
"""Scenes of the beds of a small run."""

RECORDED = 9
"""Scenes of a bed on which verdicts are recorded."""


def scene_counts(beds: list[testbed.Bed], scenes: int, least: int) -> dict[str, int]:
    """Return the number of scenes of each bed: those of a group share its number, those of photographs have the least.

    Beds of fewer photographs have all of them.
    """
    sizes = Counter(each.group for each in beds)
    counts = {each.id: least if each.group in LARGE else max(least, scenes // sizes[each.group]) for each in beds}
    real = {each.id for each in beds if isinstance(each, PhotographBed)}
    return {name: len(run.scenes_of(name, count)) if name in real else count for name, count in counts.items()}


def is_chosen(bed: testbed.Bed, photographs: list[str] | None) -> bool:
    """Return whether a bed is measured.

    Args:
        bed: the bed.
        photographs: ids of beds of photographs; an empty list chooses all but :data:`SAME_AS_TORCH`.
    """
    if not isinstance(bed, PhotographBed):
        return True
    return photographs is not None and (bed.id in photographs or (not photographs and bed.id != SAME_AS_TORCH))


def board_of(counts: dict[str, int], folder: Path, jobs: int, *, seconds: bool = True) -> page.Board:
    """Return the results of beds, measured as far as the files of the folder do not hold them.

    Args:
        counts: by bed, the number of scenes.
        folder: of the files.
        jobs: number of processes; 0 computes in this one.
        seconds: whether durations are shown.
    """
    beds = [each for each in run.all_beds()[0] if each.id in counts]
    first = [run.Task(each.id, 0, counts[each.id], folder) for each in beds]
    gates = {task.bed: found for task, found in run.in_processes(run.gates_of, first, jobs)}
    sound = [each for each in beds if all(gate.passed for gate in gates[each.id])]
    # all beds reach a number of scenes before any gets more
    tasks = [
        run.Task(each.id, index, counts[each.id], folder)
        for index in range(max(counts.values()))
        for each in sound
        if index < counts[each.id]
    ]
    rows: dict[str, list[EvaluationRow]] = defaultdict(list)
    for task, found in run.in_processes(run.measured, tasks, jobs):
        rows[task.bed] += found
    results = {each.id: result_of(each.id, sorted(rows[each.id], key=lambda row: row.image)) for each in sound}
    verdicts = recorded(tasks, jobs)
    known = [each for each in [*first, *tasks] if not isinstance(run.bed_of(each.bed), PhotographBed)]
    return page.Board(beds, results, gates, verdicts, not_measured(beds), seconds, run.cpu_seconds(known))


def not_measured(beds: list[testbed.Bed]) -> list[str]:
    """Return a line for each bed of photographs that is left out."""
    found, lines = run.all_beds()
    known = {each.id for each in beds}
    others = [each.id for each in found if isinstance(each, PhotographBed) and each.id not in known]
    if SAME_AS_TORCH in others:
        others.remove(SAME_AS_TORCH)
        lines = [*lines, f"`{SAME_AS_TORCH}` is not measured: its maps equal those of the same weights in torch."]
    if others:
        command = f"python -m benchmarks.leaderboard --photographs {' '.join(others)}"
        lines = [
            *lines,
            f"Not measured (up to 15 minutes of CPU time each): {page.in_code(others)}. Run `{command}`.",
        ]
    return lines


def recorded(tasks: list[run.Task], jobs: int) -> list[str]:
    """Return the section on the verdict's own record, of the first scenes of beds whose truth is known."""
    # what networks for photographs depend on is unknown, also where people outlined the objects
    titles = {each.id: each.title for each in run.all_beds()[0] if not isinstance(each, PhotographBed)}
    chosen = [each for each in tasks if each.bed in titles and each.index < RECORDED and each.has_truth]
    found: dict[str, dict[int, list[record.Checked]]] = defaultdict(dict)
    for task, checked in run.in_processes(record.checked, chosen, jobs):
        found[task.bed][task.index] = checked
    ordered = {bed: [scenes[index] for index in sorted(scenes)] for bed, scenes in found.items()}
    return record.lines({bed: ordered[bed] for bed in titles if bed in ordered}, titles)


def main() -> None:
    """Measure, and write the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a few scenes of three beds")
    parser.add_argument(
        "--beds", nargs="*", help="ids of beds, whose pages go to the folder; by default all, for docs/"
    )
    parser.add_argument("--scenes", type=int, default=SCENES, help="scenes of each group of beds")
    parser.add_argument(
        "--photographs", nargs="*", metavar="ID", help="beds of photographs too: those named, or all, which takes hours"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "leaderboard", help="where rows are kept")
    given = parser.parse_args()
    beds = [each for each in run.all_beds()[0] if is_chosen(each, given.photographs)]
    beds = [each for each in run.all_beds()[0] if each.id in given.beds] if given.beds else beds
    if given.small:
        folder = ROOT / "build" / "leaderboard-small"
        page.write(board_of(SMALL, folder, given.jobs), folder, folder / "evidence.json")
        return
    board = board_of(scene_counts(beds, given.scenes, LEAST), given.folder, given.jobs)
    if given.beds:
        page.write(board, given.folder, given.folder / "evidence.json")
        return
    page.write(board, ROOT / "docs", ROOT / "saliency" / "data" / "evidence.json")
    evidence.cache_clear()
    methods_page.PAGE.write_text(methods_page.text())


if __name__ == "__main__":
    main()
