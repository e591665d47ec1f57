"""Read stored masks: :func:`open_masks`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from saliency import checks
from saliency.core.captions import method_from
from saliency.datasets import manifest, store
from saliency.datasets.sources import indexed_source_of
from saliency.errors import BadField, BadImage, unknown
from saliency.pictures.picture import read
from saliency.results.explanation import Explanation
from saliency.results.layer_explanation import LayerExplanation


def open_masks(path: str | os.PathLike[str], images: Any = None) -> Masks:
    """Return the masks that :func:`saliency.explain_dataset` stored; nothing is read until it is used.

    Args:
        path: the folder.
        images: the pictures, as they were passed to :func:`saliency.explain_dataset`, to draw masks on them.

    Raises:
        BadField: the folder holds no masks.
        FileNotFoundError: there is no such folder.
        MissingPackage: zarr or pyarrow is not installed.
    """
    root = checks.path(path)
    store.required()
    if not root.exists():
        raise FileNotFoundError(f"There are no masks at {str(root)!r}.")
    found = manifest.read(root)
    if found is None:
        raise BadField(f"{str(root)!r} holds no masks: saliency.explain_dataset writes them.")
    return Masks(root, found, images)


class Masks:
    """Masks of a data set, on disk. Build it with :func:`open_masks`.

    ``len(masks)`` is the number of pictures. While they are computed, those of complete shards can be read.

    Args:
        path: the folder.
        manifest: what they were computed from.
        images: the pictures; None without.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any], images: Any = None) -> None:
        self.path, self.manifest = path, manifest
        self._source = None if images is None else indexed_source_of(images)
        if self._source is not None and len(self._source) != len(self):
            raise BadImage(f"Expected the {len(self):,} pictures that were explained, got {len(self._source):,}.")
        self._tables: dict[int, dict[tuple[int, str], dict[str, Any]]] = {}
        self._arrays: dict[str, Any] = {}

    def __len__(self) -> int:
        return int(self.manifest["pictures"]["count"])

    def __repr__(self) -> str:
        done = sum(store.finished(self.path, each) for each in range(self.shards))
        return (
            f"<Masks of {len(self):,} pictures by {', '.join(self.methods)}: {done} of {self.shards} shards complete>"
        )

    @property
    def methods(self) -> list[str]:
        """The ids of the methods."""
        return list(self.manifest["methods"])

    @property
    def shards(self) -> int:
        """The number of shards, complete or not."""
        return -(-len(self) // self._shard_size)

    @property
    def _shard_size(self) -> int:
        return int(self.manifest["storage"]["shard_size"])

    @cached_property
    def table(self) -> Any:
        """The index as a ``pyarrow.Table``, one row for each picture and method; ``table.to_pandas()`` converts it."""
        _, pyarrow = store.required()
        parts = [each for each in range(self.shards) if store.finished(self.path, each)]
        if not parts:
            raise BadField(f"{str(self.path)!r} has no complete shard yet.")
        tables = [pyarrow.parquet.read_table(store.part(self.path, store.INDEX, each)) for each in parts]
        times = [pyarrow.parquet.read_table(store.part(self.path, store.SECONDS, each)) for each in parts]
        # the parts have different metadata
        found = pyarrow.concat_tables([each.replace_schema_metadata(None) for each in tables])
        return found.append_column("seconds", pyarrow.concat_tables(times)["seconds"])

    def row(self, index: int, method: str | None = None) -> dict[str, Any]:
        """Return the row of the index for a picture.

        Args:
            index: number of the picture.
            method: id of the method; may be omitted if there is only one.

        Raises:
            IndexError: there is no such picture.
            UnknownName: there is no such method.
            BadField: its shard is not complete yet.
        """
        index = checks.whole(index, "index")
        if not -len(self) <= index < len(self):
            raise IndexError(f"There are {len(self):,} pictures, counted from 0, got {index}.")
        index %= len(self)
        if method is None and len(self.methods) == 1:
            (method,) = self.methods
        if method not in self.methods:
            raise unknown("stored method", method, self.methods)
        shard = index // self._shard_size
        if shard not in self._tables:
            if not store.finished(self.path, shard):
                raise BadField(f"The masks of picture {index} are not computed yet: call explain_dataset again.")
            _, pyarrow = store.required()
            rows = pyarrow.parquet.read_table(store.part(self.path, store.INDEX, shard)).to_pylist()
            self._tables[shard] = {(each["image"], each["method"]): each for each in rows}
            while len(self._tables) > KEPT:
                del self._tables[next(iter(self._tables))]
        return self._tables[shard][index, method]

    def mask(self, index: int, method: str | None = None) -> np.ndarray | None:
        """Return a mask, float32 (H, W) or (H, W, C); None where the row has an error. Arguments as for :meth:`row`."""
        row = self.row(index, method)
        return None if row["error"] is not None else store.decoded(self._values(row), row)[0]

    def _values(self, row: Mapping[str, Any]) -> np.ndarray:
        return np.asarray(self._array(row["where"])[row["image"]])

    def _array(self, name: str) -> Any:
        if name not in self._arrays:
            zarr, _ = store.required()
            self._arrays[name] = zarr.open_array(self.path / name, mode="r")
        return self._arrays[name]

    def explanation(self, index: int, method: str | None = None) -> Explanation:
        """Return an explanation, with the picture where `images` were passed. For arguments see :meth:`row`.

        Raises:
            BadImage: the row has an error.
        """
        row = self.row(index, method)
        if row["error"] is not None:
            raise BadImage(f"Picture {row['id']!r} was not explained: {row['error']}")
        mask, regions = store.decoded(self._values(row), row)
        fields: dict[str, Any] = {
            **{name: row[name] for name in ("method", "caption", "label", "layer", "baseline_score", "gap", "sign")},
            "target": json.loads(row["target"]),
            "score": row["score"],
            "notes": tuple(row["notes"]),
            "placement": np.array(row["placement"]).reshape(2, 3),
            "instance": method_from(row["caption"]),
            "mask": mask,
        }
        if (shown := self.picture(row["image"])) is not None:
            fields["picture"] = shown
        if row["grid"] is not None:
            height, width, before = row["grid"]
            return LayerExplanation(**fields, grid=(height, width) if height else None, before=before)
        return Explanation(**fields, regions=regions)

    def picture(self, index: int) -> np.ndarray | None:
        """Return a picture as it is shown, uint8 (H, W, 3); None where no `images` were passed."""
        if self._source is None or self._source.at is None:
            return None
        return read(self._source.at(index)[0]).shown

    def masks(self, method: str | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the number and the mask of each picture that has one. For `method` see :meth:`row`."""
        for shard in range(self.shards):
            if not store.finished(self.path, shard):
                continue
            # one read for all masks of a shard, not one for each
            images = range(shard * self._shard_size, min((shard + 1) * self._shard_size, len(self)))
            blocks: dict[str, np.ndarray] = {}
            for i in images:
                row = self.row(i, method)
                if row["error"] is not None:
                    continue
                if (name := row["where"]) not in blocks:
                    blocks[name] = np.asarray(self._array(name)[images.start : images.stop])
                yield i, store.decoded(blocks[name][i - images.start], row)[0]

    def damaged(self) -> list[str]:
        """Return the arrays and shards whose file is missing or differs from the one that was written."""
        done = [each for each in range(self.shards) if store.finished(self.path, each)]
        return [f"{name}, shard {each}" for each in done for name in store.damaged(self.path, each)]


KEPT = 16
"""Number of shards whose index is kept in memory."""
