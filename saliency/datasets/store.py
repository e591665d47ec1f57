"""Masks on disk: arrays of Zarr v3 with one file for each shard, and an index in Parquet for each shard.

A store is a folder::

    manifest.json                 the model, the methods and the storage, see `manifest.py`
    grad_cam/mask-7x7/            one array (N, 7, 7) for each method and shape; row i belongs to picture i
    index/part-00003.parquet      one row for each picture and method of shard 3
    seconds/part-00003.parquet    the time of each row: the only file that differs between two runs

A shard is written into a hidden folder. Its files are then renamed one by one, the index last: a shard is finished if
it has an index, and a finished shard is never written again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from saliency.core.cam import stretch
from saliency.errors import BadField, MissingPackage
from saliency.pictures.regions import NO_REGION, Regions, region_table
from saliency.results.explanation import Explanation
from saliency.results.layer_explanation import LayerExplanation

INDEX, SECONDS, PARTIAL = "index", "seconds", ".partial"

STRIDES = 32, 16, 14, 8, 4, 2
"""Strides of the grids at which masks of layers are looked for, the coarsest first."""

FIT = 1e-5
"""Largest difference, as a share of the maximum, of a mask and of its values on a grid, resized."""

TEXT, NUMBER, TEXTS, NUMBERS = "string", "float64", "list<string>", "list<float64>"

COLUMNS: Mapping[str, str] = {
    "image": "int64",
    "id": TEXT,
    "digest": TEXT,
    "method": TEXT,
    "target": TEXT,
    "label": TEXT,
    "prediction": TEXT,
    "probability": NUMBER,
    "score": NUMBER,
    "baseline_score": NUMBER,
    "gap": NUMBER,
    "evidence": TEXT,
    "error": TEXT,
    "where": TEXT,
    "scale": NUMBER,
    "size": "list<int64>",
    "gains": NUMBERS,
    "caption": TEXT,
    "layer": TEXT,
    "sign": TEXT,
    "placement": NUMBERS,
    "grid": "list<int64>",
    "notes": TEXTS,
}
"""Columns of the index. `where` is the array with the mask, whose row is `image`; `size` the height and width of the
mask where the array has it on a coarser grid; `gains` the value of each region where the array has their numbers."""


def required() -> tuple[Any, Any]:
    """Return the modules zarr and pyarrow.

    Raises:
        MissingPackage: one of them is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet
        import zarr
    except ImportError as error:
        raise MissingPackage(
            f"Masks on disk need zarr and pyarrow ({error}): pip install 'saliency-widget[datasets]'."
        ) from error
    return zarr, pa


class Stored(NamedTuple):
    """A mask as it is stored.

    Attributes:
        name: of its array.
        values: its row of the array.
        record: the columns of the index that are needed to read it.
    """

    name: str
    values: np.ndarray
    record: dict[str, Any]


def encoded(exp: Explanation, dtype: str, resolution: str) -> Stored:
    """Return a mask as it is stored: regions as numbers, maps of layers on their grid, values as shares of a scale.

    Args:
        exp: the explanation.
        dtype: "float16" or "float32".
        resolution: "native" for that of the method, "picture" for the picture's own pixels.
    """
    if resolution == "picture" and not isinstance(exp, LayerExplanation):
        return _scaled(exp.on_picture(), dtype, {})
    if exp.regions is not None:
        gains = [float(each.gain) for each in exp.regions.table]
        if np.array_equal(_of_regions(exp.regions.ranks, gains), exp.mask):
            return Stored(_name("regions", exp.regions.ranks), exp.regions.ranks, {"gains": gains})
    coarse = None if isinstance(exp, LayerExplanation) or exp.mask.ndim != 2 else on_grid(exp.mask)
    if coarse is not None:
        return _scaled(coarse, dtype, {"size": list(exp.mask.shape)})
    return _scaled(exp.mask, dtype, {})


def decoded(values: np.ndarray, row: Mapping[str, Any]) -> tuple[np.ndarray, Regions | None]:
    """Return the mask, float32, and its regions, from a row of an array and of the index."""
    if row["gains"] is not None:
        return _of_regions(values, row["gains"]), region_table(values, list(row["gains"]))
    mask = values.astype(np.float32) * np.float32(row["scale"])
    if row["size"] is not None:
        down, across = (stretch(n, int(to)) for n, to in zip(mask.shape, row["size"], strict=True))
        mask = (down @ mask @ across.T).astype(np.float32)
    return mask, None


def on_grid(mask: np.ndarray) -> np.ndarray | None:
    """Return the values (h, w) on a coarser grid of which a mask (H, W) is the bilinear enlargement; None for no grid.

    The coarsest grid that gives the mask up to rounding is taken.
    """
    wide, largest = mask.astype(np.float64), float(np.abs(mask).max())
    for stride in STRIDES:
        sizes = [-(-side // stride) for side in mask.shape]
        if min(mask.shape) < 2 * stride or min(sizes) < 2:
            continue
        (down, back_down), (across, back_across) = (_pair(n, to) for n, to in zip(sizes, mask.shape, strict=True))
        coarse = back_down @ wide @ back_across.T
        if np.abs(down @ coarse @ across.T - wide).max() <= FIT * largest:
            return coarse.astype(np.float32)
    return None


@lru_cache(64)
def _pair(size: int, to: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrix that enlarges an axis, and its pseudo-inverse."""
    matrix = stretch(size, to)
    return matrix, np.linalg.pinv(matrix)


def _scaled(mask: np.ndarray, dtype: str, record: dict[str, Any]) -> Stored:
    scale = float(np.abs(mask).max()) if dtype == "float16" else 1.0
    values = (mask / np.float32(scale or 1.0)).astype(dtype)
    return Stored(_name("mask", mask), values, {**record, "scale": scale or 1.0})


def _of_regions(ranks: np.ndarray, gains: Sequence[float]) -> np.ndarray:
    values = np.array([*gains, 0.0], np.float32)
    return values[np.where(ranks == NO_REGION, len(gains), ranks)]


def _name(kind: str, values: np.ndarray) -> str:
    return f"{kind}-{'x'.join(map(str, values.shape))}"


class Shard:
    """Writes one shard of a store.

    Args:
        root: folder of the store.
        number: of the shard.
        size: pictures in a shard.
        count: pictures in the store.
    """

    def __init__(self, root: Path, number: int, size: int, count: int) -> None:
        self.root, self.number, self.size, self.count = root, number, min(size, count), count
        self.first = number * size
        self.images = range(self.first, min(self.first + size, count))
        self._arrays: dict[str, dict[int, np.ndarray]] = {}
        self._rows: list[dict[str, Any]] = []
        self._seconds: list[float] = []

    def add(self, row: Mapping[str, Any], stored: Stored | None, seconds: float) -> None:
        """Add a picture's mask by one method, or the error."""
        found = dict(row)
        if stored is not None:
            name = f"{row['method']}/{stored.name}"
            self._arrays.setdefault(name, {})[row["image"] - self.first] = stored.values
            found |= {**stored.record, "where": name}
        self._rows.append({name: found.get(name) for name in COLUMNS})
        self._seconds.append(seconds)

    def write(self) -> list[dict[str, Any]]:
        """Write the shard; return its rows of the index."""
        partial = self.root / PARTIAL / f"{self.number:05d}-{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            files = {name: self._array(partial, name, rows) for name, rows in sorted(self._arrays.items())}
            digests = {name: _digest(file) for name, file in files.items()}
            index, seconds = partial / "index.parquet", partial / "seconds.parquet"
            _parquet(index, self._rows, COLUMNS, {"files": json.dumps(digests)})
            _parquet(seconds, [{"seconds": each} for each in self._seconds], {"seconds": NUMBER}, {})
            for name, file in files.items():
                # the file of shard 0 becomes that of this shard
                _, _, *rest = file.relative_to(partial / "array" / name).parts
                _moved(file, self.root.joinpath(name, "c", str(self.number), *rest))
            _moved(seconds, part(self.root, SECONDS, self.number))
            _moved(index, part(self.root, INDEX, self.number))
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return self._rows

    def _array(self, partial: Path, name: str, rows: Mapping[int, np.ndarray]) -> Path:
        """Write the rows of an array as one shard of a temporary array; return its only file."""
        zarr, _ = required()
        one = next(iter(rows.values()))
        values = np.zeros((self.size, *one.shape), one.dtype)
        for i, row in rows.items():
            values[i] = row
        shape = {"chunks": (1, *one.shape), "shards": (self.size, *one.shape), "dtype": one.dtype, "fill_value": 0}
        if one.ndim > 2:
            # gradients are nearly random numbers: compression takes most of the time, and saves 6 %
            shape["compressors"] = None
        # an array in the store's own folder gives the file its place; its number of rows may be any
        with contextlib.suppress(zarr.errors.ContainsArrayError):
            zarr.create_array(self.root, name=name, shape=(self.count, *one.shape), **shape)
        made = zarr.create_array(partial / "array", name=name, shape=values.shape, **shape, config=_EMPTY)
        made[:] = values
        return next(each for each in (partial / "array" / name / "c").rglob("*") if each.is_file())


_EMPTY = {"write_empty_chunks": True}
"""A mask that is zero everywhere is written too, so that each shard has a file."""


def part(root: Path, kind: str, number: int) -> Path:
    """Return the path of a shard's file of the index."""
    return root / kind / f"part-{number:05d}.parquet"


def finished(root: Path, number: int) -> bool:
    """Return whether a shard has been written."""
    return part(root, INDEX, number).is_file()


def damaged(root: Path, number: int) -> list[str]:
    """Return the arrays of a shard whose file is missing or differs from the one that was written."""
    _, pyarrow = required()
    metadata = pyarrow.parquet.read_schema(part(root, INDEX, number)).metadata
    found = []
    for name, digest in json.loads(metadata[b"files"]).items():
        files = [each for each in (root / name / "c" / str(number)).rglob("*") if each.is_file()]
        if len(files) != 1 or _digest(files[0]) != digest:
            found.append(name)
    return found


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _parquet(path: Path, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], metadata: Any) -> None:
    _, pyarrow = required()
    schema = pyarrow.schema([(name, _type(pyarrow, kind)) for name, kind in columns.items()], metadata=metadata)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows), schema=schema), path, compression="zstd")


def _type(pyarrow: Any, kind: str) -> Any:
    if kind.startswith("list<"):
        return pyarrow.list_(_type(pyarrow, kind[5:-1]))
    return pyarrow.type_for_alias(kind)


def _moved(file: Path, to: Path) -> None:
    """Flush a file to the disk and move it to its place."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
    to.parent.mkdir(parents=True, exist_ok=True)
    file.replace(to)


@contextlib.contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the lock of a store, which the system releases when the process ends, however it ends.

    Raises:
        BadField: another process holds it.
    """
    with (root / ".lock").open("a+b") as file:
        try:
            _lock(file)
        except OSError as error:
            raise BadField(
                f"Another process is writing to {str(root)!r}: wait until it ends, or pass another out."
            ) from error
        yield


def _lock(file: Any) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
