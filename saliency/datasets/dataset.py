"""Explain a whole data set into a store of masks: :func:`explain_dataset`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from saliency import checks
from saliency.api.methods import named
from saliency.core.method import Method
from saliency.datasets import manifest, store
from saliency.datasets.local import in_processes
from saliency.datasets.masks import Masks, open_masks
from saliency.datasets.on_ray import explain_on_ray
from saliency.datasets.worker import Job, Worker
from saliency.errors import BadField
from saliency.pictures.presets import Preprocess
from saliency.session.progress import ProgressBar
from saliency.session.session import Progress

NOT_GIVEN = {"framework": None, "activation": "auto", "output": None}

BACKENDS, DTYPES, RESOLUTIONS = ("local", "ray"), ("float16", "float32"), ("native", "picture")


def explain_dataset(
    source: Any,
    model: Any,
    methods: Any = "auto",
    targets: Any = None,
    out: str | os.PathLike[str] = "masks.zarr",
    *,
    backend: str = "local",
    workers: int = 1,
    devices: Sequence[Any] | None = None,
    address: str | None = None,
    dtype: str = "float16",
    resolution: str = "native",
    evidence: bool = False,
    shard_size: int = 256,
    labels: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    batch_size: int | str = "auto",
    progress: bool | Progress = True,
    framework: str | None = None,
    activation: str = "auto",
    output: Any = None,
) -> Masks:
    """Explain every picture of a data set by some methods, and store the masks and an index of them.

    The pictures are split into shards of fixed size. A shard appears in `out` when it is complete. Called again with
    the same arguments, after any interruption, only missing shards are computed, and they have the same bits.
    A picture that cannot be read or explained has its error in the index.

    Args:
        source: a list of pictures, an array or tensor (N, …), a folder, a torch ``Dataset`` or a data set of Hugging
            Face, see :func:`saliency.explain_each`; or a function without arguments that returns one, which each worker
            calls.
        model: see :func:`saliency.adapt`; or a function without required arguments that returns the model, which each
            worker calls; or its name, "package.module:function".
        methods: ids, methods or classes: one, or a list.
        targets: see :func:`saliency.explain_each`.
        out: the folder to write, see :mod:`saliency.datasets.store`.
        backend: "local", or "ray" for Ray Data with stateful actors.
        workers: number of processes, or of actors; 1 computes in this process, with "local".
        devices: one worker for each: numbers or names of CUDA devices, of which each worker sees its own alone.
        address: of a Ray cluster; by default Ray is started on this machine.
        dtype: "float16", whose values are shares of the largest of their mask, with an error of at most 0.05 % of it;
            or "float32".
        resolution: "native" for that of the method: the layer's grid for CAMs, the model's input for pixels; "picture"
            for the picture's own pixels.
        evidence: whether to measure a verdict on each mask, see :func:`saliency.check`: about 250 images each.
        shard_size: pictures in a shard, whose masks are held in memory.
        labels: names of the classes.
        preprocess: see :func:`saliency.explain`.
        batch_size: images per model call; "auto" measures the fastest size once and stores it.
        progress: True for a progress bar, False for none, or a callable (pictures done, pictures in total).
        framework: see :func:`saliency.explain`.
        activation: see :func:`saliency.explain`.
        output: see :func:`saliency.explain`.

    Returns:
        the masks, see :func:`saliency.open_masks`.

    Raises:
        BadField: `out` holds something else or masks of another run, or another process is writing to it.
        MissingPackage: zarr, pyarrow or ray is not installed.
        SaliencyError: the model or an argument cannot be used.
        OSError: the disk is full. Complete shards are kept.
    """
    checks.callbacks(bar=True, progress=progress)
    job = job_of(
        *(source, model, methods, targets, out),
        dtype=dtype,
        resolution=resolution,
        evidence=evidence,
        shard_size=shard_size,
        labels=labels,
        preprocess=preprocess,
        batch_size=batch_size,
        framework=framework,
        activation=activation,
        output=output,
    )
    checks.choice(backend, "backend", BACKENDS)
    workers = checks.whole(workers, "workers", 1, 1024) if devices is None else len(checks.several(devices, "devices"))
    store.required()
    stored = manifest.read(job.root)
    job = replace(job, batch_size=stored["batch_size"]) if stored and job.batch_size == "auto" else job
    worker = Worker(job)
    job.root.mkdir(parents=True, exist_ok=True)
    with store.locked(job.root):
        stored = manifest.read(job.root)
        now = worker.manifest()
        if stored is None:
            manifest.write(job.root, now)
        else:
            manifest.require_same(stored, now, job.root)
        shutil.rmtree(job.root / store.PARTIAL, ignore_errors=True)
        job = replace(job, batch_size=now["batch_size"])
        total = len(worker.source)
        missing = [each for each in range(-(-total // job.shard_size)) if not store.finished(job.root, each)]
        with ProgressBar(progress, total, "Explain", False, "picture") as report:
            done = total - sum(len(job.images(each, total)) for each in missing)
            for rows in run(worker, job, missing, backend, workers, devices, address):
                done += rows
                if report is not None:
                    report(done, total)
    return open_masks(job.root)


def job_of(
    source: Any,
    model: Any,
    methods: Any,
    targets: Any,
    out: str | os.PathLike[str],
    *,
    dtype: str,
    resolution: str,
    evidence: bool,
    shard_size: int,
    labels: Sequence[str] | None,
    preprocess: Preprocess | None,
    batch_size: int | str,
    **model_options: Any,
) -> Job:
    """Return the arguments of :func:`explain_dataset` that a worker needs, checked."""
    return Job(
        source=source,
        model=model,
        methods=methods_of(methods),
        targets=targets,
        root=checks.path(out, "out").absolute(),
        dtype=checks.choice(dtype, "dtype", DTYPES),
        resolution=checks.choice(resolution, "resolution", RESOLUTIONS),
        evidence=checks.flag(evidence, "evidence"),
        shard_size=checks.whole(shard_size, "shard_size", 1, 100_000),
        batch_size=checks.batch_size(batch_size),
        preprocess=preprocess,
        options={
            "labels": checks.names(labels),
            "framework": None,
            "activation": "auto",
            "output": None,
            **model_options,
        },
    )


def methods_of(methods: Any) -> tuple[Method | str, ...]:
    """Return the methods; "auto" is resolved for the model.

    Raises:
        BadField: there is none, or one twice.
    """
    one = isinstance(methods, str | Method | type)
    found = tuple(
        "auto" if each == "auto" else named(each) for each in ([methods] if one else checks.several(methods, "methods"))
    )
    ids = [each if isinstance(each, str) else each.id for each in found]
    if not found or len(set(ids)) != len(ids):
        raise BadField(f"methods must be one or more methods with different ids, got {', '.join(ids) or 'none'}.")
    return found


def run(
    worker: Worker,
    job: Job,
    shards: Sequence[int],
    backend: str,
    workers: int,
    devices: Sequence[Any] | None,
    address: str | None,
) -> Iterator[int]:
    """Explain shards; yield the number of pictures of each when it is written."""
    total = len(worker.source)
    if not shards:
        return
    if backend == "ray":
        yield from explain_on_ray(job, shards, total, workers, devices, address)
    elif workers == 1 and devices is None:
        worker.resized(int(job.batch_size))
        for shard in shards:
            worker.explain(shard)
            yield len(job.images(shard, total))
    else:
        yield from in_processes(job, shards, total, workers, devices)
