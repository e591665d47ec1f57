"""Explain shards on Ray Data: stateful actors write the masks, and only the number of rows comes back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from saliency.datasets.worker import Job, Worker
from saliency.errors import MissingPackage


class Actor:
    """Explains the shards of a block; constructed once for each actor.

    Args:
        job: what to explain.
    """

    def __init__(self, job: Job) -> None:
        self._worker = Worker(job)

    def __call__(self, block: dict[str, Any]) -> dict[str, Any]:
        """Return the numbers of rows of the index, of a block {"shard": numbers of shards}."""
        return {"shard": block["shard"], "rows": [len(self._worker.explain(int(each))) for each in block["shard"]]}


def explain_on_ray(
    job: Job, shards: Sequence[int], total: int, workers: int, devices: Sequence[Any] | None, address: str | None
) -> Iterator[int]:
    """Explain shards on Ray; yield the number of pictures of each when it is written.

    Ray is started on this machine and stopped afterwards, unless it runs already or `address` names a cluster.

    Args:
        job: what to explain; all machines must reach its folder.
        shards: numbers of the shards.
        total: number of pictures.
        workers: number of actors.
        devices: where given, each actor takes one GPU.
        address: of a cluster.

    Raises:
        MissingPackage: Ray is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingPackage(f"backend='ray' needs Ray ({error}): pip install 'saliency-widget[ray]'.") from error
    started = not ray.is_initialized()
    if started:
        ray.init(address=address, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = ray.data.from_items([{"shard": each} for each in shards], override_num_blocks=len(shards)).map_batches(
            Actor,
            fn_constructor_args=(job,),
            batch_size=1,
            concurrency=min(workers, len(shards)),
            num_gpus=None if devices is None else 1,
        )
        for row in rows.iter_rows():
            yield len(job.images(int(row["shard"]), total))
    finally:
        if started:
            ray.shutdown()
