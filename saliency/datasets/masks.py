"""Read stored masks: :func:`open_masks`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from saliency import checks
from saliency.core.captions import method_from
from saliency.datasets import manifest, store
from saliency.datasets.pooled import described, pooled
from saliency.datasets.sources import collection
from saliency.errors import BadField, BadImage, BadShape, unknown
from saliency.pictures import display
from saliency.pictures.picture import read
from saliency.pictures.thumbnails import thumbnail
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


def store_of(masks: Any) -> Masks | None:
    """Return stored masks, opened where a path was given; None for other masks."""
    if isinstance(masks, str | os.PathLike):
        return open_masks(masks)
    return masks if isinstance(masks, Masks) else None


class Near(NamedTuple):
    """A picture whose map is like that of another one.

    Attributes:
        image: its number.
        similarity: cosine of both maps' features, 0–1.
    """

    image: int
    similarity: float


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
        self._source = None if images is None else collection(images)
        if self._source is not None and len(self._source) != len(self):
            raise BadImage(f"Expected the {len(self):,} pictures that were explained, got {len(self._source):,}.")
        self._tables: dict[int, dict[tuple[int, str], dict[str, Any]]] = {}
        self._arrays: dict[str, Any] = {}
        self._features: dict[tuple[str, str], tuple[list[int], np.ndarray]] = {}

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
        index, method = index % len(self), self._method(method)
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

    def _method(self, method: str | None) -> str:
        if method is None and len(self.methods) == 1:
            (method,) = self.methods
        if method not in self.methods:
            raise unknown("stored method", method, self.methods)
        return str(method)

    def rows(
        self,
        method: str | None = None,
        sort: str = "image",
        *,
        descending: bool = False,
        where: Callable[[dict[str, Any]], Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Return the rows of the index for one method, sorted and filtered.

        Args:
            method: see :meth:`row`.
            sort: a column of the index; rows without a value in it are last.
            descending: whether the largest value is first.
            where: returns whether to keep a row, a dict by column.

        Raises:
            UnknownName: there is no such method or column.
        """
        method = self._method(method)
        checks.choice(sort, "column", self.table.column_names)
        rows = [each for each in self.table.to_pylist() if each["method"] == method and (where is None or where(each))]
        known = [each for each in rows if each[sort] is not None]
        unknown_ = [each for each in rows if each[sort] is None]
        return sorted(known, key=lambda row: row[sort], reverse=checks.flag(descending, "descending")) + unknown_

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

    def thumbnail(self, index: int, side: int = 160) -> np.ndarray | None:
        """Return a picture shrunk to at most `side` pixels, uint8 (h, w, 3); None where no `images` were passed."""
        if self._source is None or self._source.at is None:
            return None
        return thumbnail(self._source.at(index)[0], side)

    def overlay(self, index: int, method: str | None = None, side: int = 160) -> np.ndarray | None:
        """Return a mask on its picture, or alone where no `images` were passed, shrunk to at most `side` pixels.

        Returns:
            uint8 (h, w, 3); None where the row has an error.
        """
        if self.row(index, method)["error"] is not None:
            return None
        exp = self.explanation(index, method)
        if exp.picture.size:
            return _shrunk(exp.overlay(), side)
        return _shrunk(np.asarray(np.rint(255 * display.coloured(exp.heatmap(), False, None)), np.uint8), side)

    def nearest(self, index: int, method: str | None = None, count: int = 8, *, features: str = "shape") -> list[Near]:
        """Return the pictures whose maps are most like that of a picture, the nearest first, without itself.

        The first call reads all masks of complete shards; their features, 1 kB for each picture, stay in memory.

        Args:
            index: number of the picture.
            method: see :meth:`row`.
            count: largest number of pictures.
            features: "shape" or "place", see :func:`saliency.cluster`.

        Raises:
            BadImage: the row has an error.
        """
        row, key = self.row(index, method), (self._method(method), features)
        if row["error"] is not None:
            raise BadImage(f"Picture {row['id']!r} was not explained: {row['error']}")
        if key not in self._features:
            rows, maps = self.maps(method)
            self._features[key] = [each["image"] for each in rows], described(maps, features)
        images, points = self._features[key]
        if row["image"] not in images:
            raise BadField(f"Picture {index} was explained after these masks were opened: open them again.")
        likeness = points @ points[images.index(row["image"])]
        order = [i for i in np.argsort(-likeness, kind="stable") if images[i] != row["image"]]
        return [Near(images[i], float(np.clip(likeness[i], 0, 1))) for i in order[: checks.whole(count, "count", 1)]]

    def maps(self, method: str | None = None) -> tuple[list[dict[str, Any]], np.ndarray]:
        """Return the rows of the index of all explained pictures, and their maps on a coarse grid, (N, 16, 16).

        Raises:
            BadField: no picture was explained.
            BadShape: the masks are of no pictures.
        """
        rows: list[dict[str, Any]] = []
        maps: list[np.ndarray] = []
        for i, mask in self.masks(method):
            row = self.row(i, method)
            if mask.ndim not in (2, 3) or row["grid"] is not None:
                raise BadShape(f"Expected maps (H, W) or (H, W, C) of pictures, got {mask.shape}.")
            rows.append(row)
            maps.append(pooled(mask, row["sign"]))
        if not maps:
            raise BadField(f"{self!r} has no mask.")
        return rows, np.stack(maps)

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


def _shrunk(picture: np.ndarray, side: int) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((checks.whole(side, "side", 1, 1 << 14),) * 2)
    return np.asarray(image)


KEPT = 16
"""Number of shards whose index is kept in memory."""
