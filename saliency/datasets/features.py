"""Read a layer's values for a collection of images: :func:`features`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from saliency import checks
from saliency.api.feeding import FIRST, surer_preset
from saliency.api.prepare import Prepared
from saliency.datasets.batches import Batches, Read, Setting
from saliency.datasets.each import results
from saliency.datasets.sources import labelled_source_of
from saliency.errors import BadField, BadImage, BadShape, SaliencyError, Unsupported
from saliency.model.inputs import Inputs
from saliency.model.protocols import Adapted, Cuttable, lacking
from saliency.pictures.presets import Preprocess
from saliency.session.consistency import inconsistency
from saliency.session.samples import Originals
from saliency.session.session import Progress, Session

POOLINGS = ("mean", "max", "none")


@dataclass(frozen=True, eq=False)
class Features:
    """The values of a layer for a collection of images.

    Attributes:
        values: float32; (N, K), or with pooling "none" all values of the layer: (N, h, w, K), (N, tokens, K) or (N, K).
        layer: name of the layer.
        pooling: how the values at the places of the layer became one: "mean", "max" or "none".
        labels: the label of each image; None where there is none.
        names: the path of each image in its folder, or its number.
        notes: the settings used, in sentences.
    """

    values: np.ndarray
    layer: str
    pooling: str
    labels: tuple[Any, ...] = ()
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.values.shape))
        return f"Features({shape} of {self.layer!r}, pooling {self.pooling!r})"

    def at(self, index: Any) -> Self:
        """Return the features of some images.

        Args:
            index: (n,) numbers of images, or a bool for each image.

        Raises:
            BadShape: there are no such images.
        """
        given = checks.array(index, "index")
        try:
            rows = np.arange(len(self))[given if given.dtype == bool else given.astype(int)].reshape(-1)
        except IndexError as reason:
            raise BadShape(f"index must select from {len(self)} images: {reason}.") from None
        return replace(
            self,
            values=self.values[rows],
            labels=tuple(self.labels[i] for i in rows) if self.labels else (),
            names=tuple(self.names[i] for i in rows) if self.names else (),
        )

    def save(self, path: str | Path) -> None:
        """Write the features to an ``.npz`` file; labels that are not all numbers are stored as text."""
        file = checks.path(path)
        numbers = bool(self.labels) and all(isinstance(each, int) for each in self.labels)
        labels = self.labels if numbers else ["" if each is None else str(each) for each in self.labels]
        with checks.opening(file, BadField):
            np.savez(
                file,
                allow_pickle=False,
                values=self.values,
                layer=self.layer,
                pooling=self.pooling,
                labels=np.array(labels, int if numbers else str),
                names=np.array(self.names, str),
                notes=np.array(self.notes, str),
            )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Return the features that :meth:`save` wrote.

        Raises:
            BadField: the file contains something else.
            FileNotFoundError: there is no such file.
        """
        file = checks.path(path)
        try:
            with checks.opening(file, BadField), np.load(file, allow_pickle=False) as found:
                labels = tuple(None if each == "" else each for each in found["labels"].tolist())
                names, notes = tuple(found["names"].tolist()), tuple(found["notes"].tolist())
                values = np.asarray(found["values"], np.float32)
                return cls(values, str(found["layer"]), str(found["pooling"]), labels, names, notes)
        except (SaliencyError, FileNotFoundError):
            raise
        except Exception as reason:
            raise BadField(f"{str(file)!r} contains no features saved by Features.save: {reason}.") from reason


def features(
    model: Any,
    images: Any,
    layer: Any = None,
    *,
    pooling: str = "mean",
    labels: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    activation: str = "auto",
    output: Any = None,
    framework: str | None = None,
    batch_size: int | str = "auto",
    progress: bool | Progress = True,
    cancelled: Callable[[], bool] | None = None,
    shared: Callable[[], bool] | None = None,
) -> Features:
    """Return the values of a layer for a collection of images.

    Pictures are read when they are needed, at most 32 ahead with an automatic batch size: beside the result, memory
    does not grow with the number of images.

    Args:
        model: see :func:`saliency.adapt`; or its result.
        images: see :func:`saliency.explain_each`; the subfolders of a folder are the labels of their pictures. Or a
            dict from label to a collection.
        layer: its name, or the module itself; by default the last layer with a spatial grid.
        pooling: "mean" or "max" over the places of the layer, which gives (N, K); "none" keeps all values.
        labels: names of the model's classes.
        preprocess: see :func:`saliency.explain`.
        activation: see :func:`saliency.adapt`.
        output: see :func:`saliency.adapt`.
        framework: see :func:`saliency.explain`.
        batch_size: images per model call; "auto" measures the fastest size.
        progress: True for a progress bar, False for none, or a callable (pictures done, pictures in total), whose total
            is 0 where it is unknown.
        cancelled: see :func:`saliency.explain`.
        shared: see :func:`saliency.explain`.

    Raises:
        BadImage: there are no images, or one cannot be read.
        BadShape: without pooling, images of different sizes give values of different shapes.
        UnknownName: there is no such layer.
        Unsupported: the model exposes no layers.
    """
    checks.callbacks(bar=True, progress=progress, cancelled=cancelled, shared=shared)
    checks.choice(pooling, "pooling", POOLINGS)
    source = labelled_source_of(images)
    options = {"batch_size": checks.batch_size(batch_size), "cancelled": cancelled, "shared": shared}
    model_options = {"labels": checks.names(labels), "framework": framework, "activation": activation, "output": output}
    batches = Batches(model, Setting(None, {}, None, preprocess, model_options, options), lambda _, label: label)
    reader = Reader(layer, pooling, options)
    found_labels: list[Any] = []

    def compute(reads: Sequence[Read]) -> list[Any]:
        found_labels.extend(each.target for each in reads)
        first = next((each.prepared for each in reads if each.error is None), None)
        if first is not None:
            reader.bind(first)
            reader.compare_presets([each.prepared for each in reads if each.prepared is not None])
        return batches.values(reads, reader)

    rows = results(source, batches, compute, progress, cancelled, "raise", "Features")
    values = _stacked(rows, len(source), reader.layer_in_words)
    names = source.ids if source.ids is not None else [str(i) for i in range(len(values))]
    return Features(values, reader.name, pooling, tuple(found_labels), tuple(names), tuple(reader.notes))


class Reader:
    """Reads one layer of a model, which the first batch of pictures names.

    Args:
        layer: its name, the module itself, or None for the last layer with a spatial grid.
        pooling: see :func:`features`.
        options: of the session.
    """

    def __init__(self, layer: Any, pooling: str, options: dict[str, Any]) -> None:
        self.layer, self.pooling, self._options = layer, pooling, options
        self.name = ""
        self._bound: Any = None
        self._session: Session[Any] | None = None
        self._preset: str | None = None
        self._compared = 0

    @property
    def notes(self) -> list[str]:
        """The settings used, in sentences."""
        found = [] if self._bound is None else [*self._bound.notes]
        return found if self._preset is None else [*found, self._preset]

    def layer_in_words(self) -> str:
        """Return the name of the layer, for a message."""
        return repr(self.name)

    def bind(self, prepared: Prepared) -> None:
        """Bind the layer, once.

        Args:
            prepared: the model, with a picture.
        """
        if self._session is not None:
            return
        if isinstance(prepared.picture, Inputs):
            raise BadImage("A collection is of pictures, one input each: multi-input models have no features here.")
        adapted = prepared.adapted
        self.name = layer_of(adapted, self.layer, prepared.images)
        found = inconsistency(adapted, prepared.picture.fed)
        options = self._options if found is None or not found.alone else {**self._options, "batch_size": 1}
        self._bound = adapted.at((), [self.name])
        self._session = Session(self._bound, **options)

    def compare_presets(self, pictures: Sequence[Prepared]) -> None:
        """Compare the presets on the first pictures, for a note on one under which the model is more confident."""
        for each in pictures[: FIRST - self._compared]:
            self._compared += 1
            found = surer_preset(each.adapted, each.picture)
            self._preset = None if found is None else str(found)

    def __call__(self, batch: Prepared) -> np.ndarray:
        """Return the values of the layer for pictures of one shape, float32 on the host."""
        assert self._session is not None
        session, images = self._session, batch.images
        parts = [
            self._pooled(session.ops.tohost(values), images)
            for _, (values,) in session.activations(Originals(session.ops, images), whole=True)
        ]
        return np.concatenate(parts).astype(np.float32, copy=False)

    def _pooled(self, values: np.ndarray, images: Any) -> np.ndarray:
        """Return values (n, …, K) pooled over the places of the layer; class tokens are no places."""
        if self.pooling == "none" or values.ndim == 2:
            return values
        with self._bound.lock:
            grid, before = self._bound.layer_grid(images)
        if grid is not None and values.ndim == 3:
            values = values[:, before : before + grid[0] * grid[1]]
        places = tuple(range(1, values.ndim - 1))
        return np.asarray(values.mean(places) if self.pooling == "mean" else values.max(places))


def layer_of(adapted: Adapted[Any], layer: Any, images: Any) -> str:
    """Return the name of a layer, by default the last one with a spatial grid.

    Args:
        adapted: the model.
        layer: its name, the module itself, or None.
        images: (N, H, W, C); only the first is evaluated.

    Raises:
        UnknownName: there is no such layer.
        Unsupported: the model exposes no layers.
    """
    if (why := lacking(adapted, Cuttable)) is not None:
        raise Unsupported(f"Reading a layer needs a model whose layers can be read: {why}.")
    with adapted.lock:
        name: str = adapted.automatic_layer(images[:1]) if layer is None else adapted.layer_name(layer)
    return name


def _stacked(rows: Iterator[np.ndarray], count: int, layer: Callable[[], str]) -> np.ndarray:
    """Return rows as one array (N, …), without a second copy where their number is known.

    Raises:
        BadImage: there are no rows.
        BadShape: two of them differ in shape.
    """
    first = next(rows, None)
    if first is None:
        raise BadImage("There are no pictures: the collection is empty.")

    def alike() -> Iterator[np.ndarray]:
        yield first
        for i, each in enumerate(rows, 1):
            if each.shape != first.shape:
                raise BadShape(
                    f"The values of {layer()} have the shape {first.shape} for the first picture and {each.shape} for "
                    f"picture {i}, which is fed at another size. Use pooling='mean', or a preprocess with a size, such "
                    "as preprocess='0..1 224'."
                )
            yield each

    if not count:
        return np.stack(list(alike()))
    found = np.empty((count, *first.shape), np.float32)
    for i, each in enumerate(alike()):
        found[i] = each
    return found
