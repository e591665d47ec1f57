"""Measure what explaining a data set will cost, on a few of its pictures."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from saliency.datasets import store
from saliency.datasets.sources import Source
from saliency.datasets.worker import Job, Worker

PROBED = 20
"""Number of pictures that are explained."""


class Probe(NamedTuple):
    """The cost of a data set, estimated from a few pictures.

    Attributes:
        pictures: in the data set.
        probed: pictures that were explained.
        failed: pictures of these that have an error.
        seconds: for each picture, of one worker, without the start.
        start: seconds until a worker is ready.
        mask_bytes: of the masks of each picture.
        index_bytes: of its rows of the index.
        batch_size: images per model call.
    """

    pictures: int
    probed: int
    failed: int
    seconds: float
    start: float
    mask_bytes: float
    index_bytes: float
    batch_size: int

    def described(self, workers: int = 1) -> str:
        """Return the estimate in words, for a number of workers of the same speed."""
        hours = (self.start + self.seconds * self.pictures / workers) / 3600
        time_ = f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"
        plan = f"{time_} with {workers} worker{'s' * (workers > 1)}"
        ready = f"(batch size {self.batch_size}, {self.start:.1f} s until a worker starts)"
        lines = [
            f"{self.pictures:,} pictures; {self.probed} probed, {self.failed} of them with an error",
            f"time     {1000 * self.seconds:.1f} ms a picture, {plan} {ready}",
            f"masks    {_size(self.mask_bytes)} a picture, {_size(self.mask_bytes * self.pictures)} in total",
            f"index    {_size(self.index_bytes)} a picture, {_size(self.index_bytes * self.pictures)} in total",
        ]
        return "\n".join(lines)


def probed(job: Job, count: int = PROBED) -> Probe:
    """Explain the first pictures of a data set into a temporary folder.

    Args:
        job: what to explain; its folder is not used.
        count: number of pictures.
    """
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        worker = Worker(replace(job, root=root, shard_size=count))
        size = int(worker.manifest()["batch_size"])
        source, some = worker.source, worker.source.ids or ()
        worker.resized(size)
        worker.source = Source(source.kind, some[:count], source.at, source.stream)
        ready = time.perf_counter()
        rows = worker.explain(0)
        done = time.perf_counter()
        files = [each for each in root.rglob("*") if each.is_file()]
        index = sum(each.stat().st_size for each in files if each.parent.name in (store.INDEX, store.SECONDS))
        masks = sum(each.stat().st_size for each in files) - index
    number = len(worker.source)
    failed = len({each["image"] for each in rows if each["error"] is not None})
    return Probe(
        *(len(source), number, failed, (done - ready) / number, ready - started, masks / number, index / number, size)
    )


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
