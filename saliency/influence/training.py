"""The features of training images at a model's last layer, read once; in memory or in a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from saliency import checks
from saliency.api.prepare import Prepared, prepare
from saliency.datasets.features import Features, Reader, collected
from saliency.datasets.sources import Source
from saliency.errors import BadField, BadImage
from saliency.influence.head import LinearHead
from saliency.influence.last_layer import LastLayer, last_layer
from saliency.session.session import Progress

NEAR = 1e-3
"""Largest difference between the features of one image that are read twice, as a share of the largest."""

VERIFIED = 4
"""Maximum number of images on which the last layer is verified to be linear."""


@dataclass(frozen=True)
class Reading:
    """How models and images are read: the same for all images and checkpoints.

    Attributes:
        layer: the layer before the last one, or None.
        preprocess: see :func:`saliency.explain`.
        model: arguments of :func:`saliency.prepare`, besides the model, the images and the preprocess.
        options: of the session.
    """

    layer: Any
    preprocess: Any
    model: dict[str, Any]
    options: dict[str, Any]

    def prepared(self, model: Any, images: Sequence[Any]) -> Prepared:
        """Return a model with images; with the first few only where they are fed at different sizes."""
        first = prepare(model, images[:1], preprocess=self.preprocess, **self.model)
        others = [first.with_image(each, self.preprocess) for each in images[1:]]
        alike = [each for each in others if each.images.shape == first.images.shape]
        return Prepared(first.adapted, [each.picture for each in (first, *alike)])

    def features(
        self,
        source: Source,
        prepared: Prepared,
        last: LastLayer,
        progress: bool | Progress,
        file: Path | None = None,
    ) -> Features:
        """Return the inputs of the last layer for a collection, (n, d)."""
        reader = Reader(last.layer, lambda read: last.features(read.values))
        values, labels, names = collected(
            prepared.adapted, source, reader, self.preprocess, {}, progress=progress, file=file, **self.options
        )
        return Features(values, last.layer, "none", labels, names, tuple(reader.notes))


@dataclass(frozen=True, eq=False)
class Trained:
    """A model, its last layer, and the features of the training images there.

    Attributes:
        prepared: the model, with one image.
        last: the linear layer that it ends in.
        features: of the training images, with their labels and names.
    """

    prepared: Prepared
    last: LastLayer
    features: Features


def peeked(source: Source) -> tuple[list[Any], Source]:
    """Return the first few images of a collection, and the whole collection.

    Raises:
        BadImage: it is empty, or an image cannot be read, with its name.
    """
    items = iter(source.stream())
    first = list(islice(items, VERIFIED))
    if not first:
        raise BadImage("There are no pictures: the collection is empty.")
    images = []
    for each in first:
        try:
            images.append(each.read()[0])
        except Exception as error:
            error.add_note(f"Picture {each.id!r} of the collection.")
            raise
    if source.ids is not None:
        return images, source
    # it can be read only once
    return images, replace(source, stream=lambda: chain(first, items))


def trained(
    model: Any, images: Sequence[Any], source: Source, reading: Reading, progress: bool | Progress, file: Path | None
) -> Trained:
    """Return a model with the features of the training images; from the file, if they are there.

    Args:
        model: the user's own, or a checkpoint.
        images: the first few images of the collection.
        source: the collection.
        reading: how both are read.
        progress: see :class:`saliency.influence.Index`.
        file: where the features are kept, without extension; None for memory.

    Raises:
        BadField: the file contains features of another model or collection.
    """
    prepared = reading.prepared(model, images)
    last = last_layer(prepared.adapted, prepared.images, reading.layer)
    alone = Prepared(prepared.adapted, prepared.pictures[:1])
    if file is not None and (known := _stored(file, last, source, _head_input(alone, last))) is not None:
        return Trained(alone, last, known)
    found = reading.features(source, alone, last, progress, None if file is None else file.with_suffix(".f32"))
    if file is not None:
        _store(file, last.head, found)
    return Trained(alone, last, found)


def is_unchanged(known: Trained) -> bool:
    """Return whether a model still computes the features and the outputs of the first training image that were read."""
    alone = Prepared(known.prepared.adapted, known.prepared.pictures)
    now, read = _head_input(alone, known.last), known.features.values[:1]
    shares = alone.head.shares(alone.outputs[0])
    same = np.allclose(now, read[0], rtol=NEAR, atol=NEAR * float(np.abs(read).max()))
    return same and (shares is None or np.allclose(shares, known.last.head.probabilities(read)[0], atol=NEAR))


def _head_input(prepared: Prepared, last: LastLayer) -> np.ndarray:
    """Return the inputs of the last layer for one image, (d,)."""
    adapted: Any = prepared.adapted
    with adapted.lock:
        (values,) = adapted.at((), [last.layer]).activations(prepared.images, whole=True)
    found: np.ndarray = last.features(np.asarray(adapted.ops.tohost(values)))[0]
    return found


def _store(file: Path, head: LinearHead, found: Features) -> None:
    """Write what belongs to the features; its presence means that they are complete."""
    record = {
        "layer": found.layer,
        "labels": [each.item() if hasattr(each, "item") else each for each in found.labels],
        "names": list(found.names),
        "notes": list(found.notes),
    }
    part = file.with_suffix(".part.npz")
    np.savez(part, weights=head.weights, bias=head.bias, record=np.array(json.dumps(record)))
    part.rename(file.with_suffix(".npz"))


def _stored(file: Path, last: LastLayer, source: Source, first: np.ndarray) -> Features | None:
    """Return the features that are kept in a file; None if there are none.

    Args:
        file: without extension.
        last: the last layer of the model.
        source: the collection.
        first: the inputs of the head for the first image.

    Raises:
        BadField: they are of another model or collection.
    """
    there, rows = file.with_suffix(".npz"), file.with_suffix(".f32")
    if not there.exists():
        return None
    found: Features | None = None
    with suppress(OSError, ValueError, KeyError), np.load(there, allow_pickle=False) as arrays:
        record = json.loads(str(arrays["record"]))
        shape = (len(record["names"]), last.head.width)
        values = np.memmap(rows, np.float32, "r", shape=shape)
        same = (
            record["layer"] == last.layer
            and _near(arrays["weights"], last.head.weights)
            and _near(arrays["bias"], last.head.bias)
            and _near(values[0], first)
            and (source.ids is None or list(source.ids) == record["names"])
        )
        if same:
            lists = (tuple(record[name]) for name in ("labels", "names", "notes"))
            found = Features(values, last.layer, "none", *lists)
    if found is None:
        raise BadField(
            f"{str(file.parent)!r} contains features of another model or collection: pass another path, or delete it."
        )
    return found


def _near(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=1e-3, atol=1e-4))


def files_of(path: Any, names: Sequence[str]) -> list[Path | None]:
    """Return the file without extension for each model; None where nothing is kept."""
    if path is None:
        return [None] * len(names)
    folder = checks.path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as reason:
        raise BadField(f"path must be a folder: {reason.strerror or reason}.") from reason
    return [folder / name.replace(" ", "-") for name in names]
