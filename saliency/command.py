"""The command ``saliency``: explain, show, evaluate and compare data sets from a shell."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saliency.api.evaluate import evaluate
from saliency.datasets.changed import changed
from saliency.datasets.cluster import cluster
from saliency.datasets.dataset import BACKENDS, DTYPES, RESOLUTIONS, explain_dataset, job_of
from saliency.datasets.masks import open_masks
from saliency.datasets.page import SORTS, page
from saliency.datasets.probe import probed
from saliency.datasets.sources import folder_files
from saliency.datasets.worker import model_of
from saliency.errors import SaliencyError

USAGE_ERROR = 2
"""Exit code of a call that cannot work; argparse uses the same."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code.

    Args:
        arguments: by default those of the process.
    """
    given = parser().parse_args(arguments)
    try:
        found: int = given.run(given)
    except (SaliencyError, OSError) as error:
        print(f"saliency: {error}", file=sys.stderr)  # noqa: T201  # as every command does
        return USAGE_ERROR
    except KeyboardInterrupt:
        print("saliency: interrupted. The same command continues.", file=sys.stderr)  # noqa: T201
        return 130
    return found


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    top = argparse.ArgumentParser("saliency", description="See why a vision model decided, for whole data sets.")
    commands = top.add_subparsers(required=True, metavar="command")

    each = commands.add_parser("explain", help="explain a folder of pictures; called again, it continues")
    _add_subject(each)
    each.add_argument("--out", default="masks.zarr", help="folder of the masks (default: %(default)s)")
    each.add_argument("--method", action="append", help="id of a method; may be repeated (default: auto)")
    each.add_argument("--target", help="index or label of the class (default: the top class)")
    each.add_argument("--workers", type=int, default=1, help="number of processes or actors")
    each.add_argument("--devices", help="CUDA devices, one process for each: 0,1,2,3")
    each.add_argument("--backend", choices=BACKENDS, default="local")
    each.add_argument("--address", help="of a Ray cluster")
    each.add_argument("--batch-size", default="auto")
    each.add_argument("--shard-size", type=int, default=256)
    each.add_argument("--dtype", choices=DTYPES, default="float16")
    each.add_argument("--resolution", choices=RESOLUTIONS, default="native")
    each.add_argument("--evidence", action="store_true", help="measure a verdict on each mask")
    each.add_argument("--dry-run", action="store_true", help="explain 20 pictures, and estimate time and storage")
    each.add_argument("--quiet", action="store_true", help="show no progress")
    each.set_defaults(run=_explain)

    show = commands.add_parser("show", help="open a page of stored masks")
    show.add_argument("masks", help="folder of the masks")
    show.add_argument("--images", help="folder of the pictures, to draw the masks on")
    show.add_argument("--method", help="id of the method")
    show.add_argument("--sort", choices=SORTS, default="image", help="column of the index")
    show.add_argument("--descending", action="store_true")
    show.add_argument("--most", type=int, default=200, help="largest number of pictures")
    show.add_argument("--page", default="masks.html", help="file to write (default: %(default)s)")
    show.add_argument("--no-browser", action="store_true", help="write the page only")
    show.set_defaults(run=_show)

    measure = commands.add_parser("evaluate", help="measure methods on a folder of pictures")
    _add_subject(measure)
    measure.add_argument("--method", action="append", required=True, help="id of a method; may be repeated")
    measure.add_argument("--metric", action="append", help="id of a metric; may be repeated (default: srg and road)")
    measure.add_argument("--out", help="file of the rows (JSON Lines); called again, the command continues")
    measure.add_argument("--quiet", action="store_true", help="show no progress")
    measure.set_defaults(run=_evaluate)

    compare = commands.add_parser("changed", help="compare the masks of two models; exit code 1 if the reasons changed")
    compare.add_argument("a", help="folder of the first model's masks")
    compare.add_argument("b", help="folder of the second model's masks")
    compare.add_argument("--method", help="id of the method")
    compare.add_argument("--rerun", help="folder of the first model's masks with another seed")
    compare.add_argument("--tolerance", type=float, default=0.1)
    compare.add_argument("--alpha", type=float, default=0.01)
    compare.set_defaults(run=_changed)

    group = commands.add_parser("cluster", help="group pictures by what their masks show")
    group.add_argument("masks", help="folder of the masks")
    group.add_argument("--method", help="id of the method")
    group.add_argument("--all-classes", action="store_true", help="do not group each class apart")
    group.set_defaults(run=_cluster)
    return top


def _add_subject(command: argparse.ArgumentParser) -> None:
    """Add the arguments of pictures and model."""
    command.add_argument("pictures", help="folder of pictures")
    command.add_argument("--model", required=True, help="function that returns the model: package.module:function")
    command.add_argument("--labels", help="file with the name of one class a line")
    command.add_argument("--preprocess", help="a preset, such as 'imagenet 224'")


def _explain(given: Any) -> int:
    options: dict[str, Any] = {
        "labels": _labels(given.labels),
        "preprocess": given.preprocess,
        "batch_size": given.batch_size if given.batch_size == "auto" else int(given.batch_size),
        **{name: getattr(given, name) for name in ("dtype", "resolution", "evidence", "shard_size")},
    }
    sys.path.insert(0, "")  # the factory may be in a module of the current folder
    devices = None if given.devices is None else given.devices.split(",")
    target = int(given.target) if given.target and given.target.lstrip("-").isdigit() else given.target
    subject: tuple[Any, ...] = (given.pictures, given.model, given.method or "auto", target, given.out)
    if given.dry_run:
        _print(probed(job_of(*subject, **options)).described(given.workers if devices is None else len(devices)))
        return 0
    options |= {"backend": given.backend, "workers": given.workers, "devices": devices, "address": given.address}
    masks = explain_dataset(*subject, **options, progress=not given.quiet)
    errors = len({each["image"] for each in masks.table.to_pylist() if each["error"] is not None})
    _print(f"{masks!r}\n{errors} pictures have an error. saliency show {given.out} --images {given.pictures}")
    return 0


def _show(given: Any) -> int:
    masks = open_masks(given.masks, given.images)
    path = Path(given.page)
    path.write_text(page(masks, given.method, given.sort, given.most, descending=given.descending), encoding="utf-8")
    _print(str(path.absolute()))
    if not given.no_browser:
        webbrowser.open(path.absolute().as_uri())
    return 0


def _evaluate(given: Any) -> int:
    sys.path.insert(0, "")
    chosen = {} if given.metric is None else {"metrics": given.metric}
    table = evaluate(
        model_of(given.model),
        folder_files(Path(given.pictures)),
        given.method,
        **chosen,
        labels=_labels(given.labels),
        preprocess=given.preprocess,
        progress=not given.quiet,
        resume=given.out,
    )
    _print(str(table))
    return 0


def _changed(given: Any) -> int:
    found = changed(given.a, given.b, given.method, rerun=given.rerun, tolerance=given.tolerance, alpha=given.alpha)
    _print(str(found))
    return found.exit_code


def _cluster(given: Any) -> int:
    _print(str(cluster(given.masks, given.method, by_class=not given.all_classes)))
    return 0


def _labels(path: str | None) -> list[str] | None:
    return None if path is None else Path(path).read_text(encoding="utf-8").splitlines()


def _print(text: str) -> None:
    # a name may hold bytes that the terminal cannot show
    print(text.encode(errors="replace").decode())  # noqa: T201  # printing is what a command is for
