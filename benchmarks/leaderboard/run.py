"""Measure the scenes of beds, each in a file of its own, in several processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import saliency
from benchmarks.leaderboard.entries import BESIDE_PEERS, LARGE, RERUNS, budget_of, methods_for, metrics_of
from benchmarks.leaderboard.peers import peer_methods
from benchmarks.leaderboard.references import OTHERS, ColourFilter, references_of
from saliency import testbed
from saliency.metrics import Metric
from saliency.results.evaluation import EvaluationRow

T = TypeVar("T")

BATCH = 32
"""Images per model call: a measured size would differ from run to run, and with it the last digits."""


@dataclass(frozen=True)
class Task:
    """One scene of one bed.

    Attributes:
        bed: id of the bed.
        index: index of the scene.
        count: number of scenes of this bed.
        folder: where its file is.
    """

    bed: str
    index: int
    count: int
    folder: Path

    @property
    def has_truth(self) -> bool:
        """Whether the true pixels of the scene are known."""
        return scenes_of(self.bed, self.count)[self.index].truth is not None

    def file(self, kind: str) -> Path:
        """Return the path of a file of this scene."""
        found = self.folder / self.bed / f"{kind}-{self.index:03}.jsonl"
        found.parent.mkdir(parents=True, exist_ok=True)
        return found


@cache
def all_beds() -> tuple[list[testbed.Bed], list[str]]:
    """Return all beds, those of photographs last, and a line for each that is left out here."""
    real, lines = testbed.real_beds()
    return [*testbed.beds(), *real], lines


@cache
def bed_of(name: str) -> testbed.Bed:
    """Return a bed by its id."""
    return next(each for each in all_beds()[0] if each.id == name)


@cache
def scenes_of(name: str, count: int) -> Sequence[testbed.Scene]:
    """Return scenes of a bed by its id."""
    return bed_of(name).scenes(count)


@cache
def adapted(name: str) -> Any:
    """Return the adapted model of a bed by its id."""
    bed = bed_of(name)
    return saliency.adapt(bed.model, labels=list(bed.labels))


@cache
def colour_filter(name: str) -> ColourFilter:
    """Return the colour filter of a bed by its id."""
    return ColourFilter(bed_of(name).scenes(OTHERS, seed=1))


def measured(task: Task) -> list[EvaluationRow]:
    """Return the rows of one scene: every method, reference and peer with every metric."""
    bed, scene = bed_of(task.bed), scenes_of(task.bed, task.count)[task.index]
    methods, _ = methods_for(scene.image.shape, budget_of(bed))
    references = references_of(scene, colour_filter(task.bed), task.index)
    metrics = metrics_of(bed, scene, task.index)
    contests: list[tuple[dict[str, Any], dict[str, Metric]]] = [({**methods, **references}, metrics)]
    if task.index < RERUNS and bed.group not in LARGE and (others := peer_methods()):
        contests.append((dict(others), {name: metrics[name] for name in BESIDE_PEERS}))
    rows = []
    for subjects, measures in contests:
        found = saliency.evaluate(
            adapted(task.bed),
            scene.image,
            subjects,
            measures,
            scene.target,
            scene.truth,
            preprocess=bed.preprocess,
            batch_size=BATCH,
            progress=False,
            seed=task.index,
            resume=task.file("rows"),
        )
        rows += [row._replace(image=task.index) for row in found.rows]
    return rows


def gates_of(task: Task) -> list[testbed.Gate]:
    """Return the gates of a bed, measured; from their file if it is there."""
    path = task.file("gates")
    if path.exists():
        return [testbed.Gate(*each) for each in json.loads(path.read_text())]
    found = [
        testbed.Gate(each.sentence, float(each.value), float(each.bound), bool(each.at_least))
        for each in bed_of(task.bed).gates()
    ]
    path.write_text(json.dumps(found))
    return found


def in_processes(work: Callable[[Any], T], tasks: Sequence[Any], jobs: int) -> Iterator[tuple[Any, T]]:
    """Yield each task with its result, as they finish.

    Args:
        work: a function of a module.
        tasks: its arguments.
        jobs: number of processes; 0 computes in this one.
    """
    started = time.perf_counter()
    if not jobs:
        results = ((task, _timed(work, task)) for task in tasks)
        yield from _reported(results, len(tasks), started)
        return
    # frameworks do not survive a fork
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=_start) as pool:
        futures = {pool.submit(_timed, work, task): task for task in tasks}
        try:
            results = ((futures[each], each.result()) for each in as_completed(futures))
            yield from _reported(results, len(tasks), started)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _timed(work: Callable[[Any], T], task: Task) -> T:
    """Return the result of a task, and add the CPU time that it took to its file."""
    started = time.process_time()
    result = work(task)
    with task.file("seconds").open("a") as file:
        file.write(f"{time.process_time() - started:.2f}\n")
    return result


def cpu_seconds(tasks: Sequence[Task]) -> float:
    """Return the CPU time that tasks took, over all runs that use their folder."""
    files = {task.file("seconds") for task in tasks}
    return sum(float(line) for each in files if each.exists() for line in each.read_text().split())


def _reported(results: Iterator[tuple[Any, T]], total: int, started: float) -> Iterator[tuple[Any, T]]:
    for done, (task, result) in enumerate(results, 1):
        minutes = (time.perf_counter() - started) / 60
        print(f"{done}/{total} after {minutes:.1f} min: {task.bed} {task.index}", file=sys.stderr, flush=True)
        yield task, result


def _start() -> None:
    """Prepare a process: one thread, so that sums have one order; and no warnings of peers."""
    import torch
    from threadpoolctl import threadpool_limits

    os.nice(1)
    torch.set_num_threads(1)
    threadpool_limits(1)  # NumPy and scikit-learn
    warnings.simplefilter("ignore")
