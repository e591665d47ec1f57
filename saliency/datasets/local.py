"""Explain shards in several processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from saliency.datasets.worker import Job, Worker
from saliency.errors import BadField


def in_processes(
    job: Job, shards: Sequence[int], total: int, workers: int, devices: Sequence[Any] | None
) -> Iterator[int]:
    """Explain shards in processes that share nothing; each ends when this process does.

    Raises:
        BadField: the model or the source cannot be sent to another process.
        RuntimeError: a worker ended early; complete shards are kept.
    """
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    processes = []
    try:
        for i in range(min(workers, len(shards))):
            device = None if devices is None else str(devices[i]).removeprefix("cuda:")
            process = context.Process(target=work, args=(job, shards[i::workers], device, queue), daemon=True)
            try:
                process.start()
            except (TypeError, AttributeError, ValueError) as error:
                raise BadField(
                    f"The model or the source cannot be sent to another process ({error}): pass functions of a module "
                    "that return them, or workers=1."
                ) from error
            processes.append(process)
        for _ in shards:
            while queue.empty():
                if failed := [each for each in processes if each.exitcode not in (None, 0)]:
                    raise RuntimeError(
                        f"A worker ended with exit code {failed[0].exitcode}. Complete shards are kept: call again to "
                        "continue."
                    )
                processes[0].join(0.02)
            shard, failure = queue.get()
            if failure is not None:
                raise failure
            yield len(job.images(shard, total))
        for process in processes:
            process.join()
    finally:
        for process in processes:
            process.kill()
            process.join()


def work(job: Job, shards: Sequence[int], device: str | None, queue: Any) -> None:
    """Explain shards in a process of its own; report each, or the error."""
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        worker = Worker(job)
        for shard in shards:
            worker.explain(shard)
            queue.put((shard, None))
    except Exception as error:  # noqa: BLE001  # raised again by the parent
        queue.put((-1, RuntimeError(f"A worker failed: {type(error).__name__}: {error}")))


def _end_with(parent: Any) -> None:
    """End this process when its parent has ended."""
    parent.join()
    os._exit(1)
