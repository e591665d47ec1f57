"""Read a layer's values for a collection of images: :func:`features`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from saliency import checks
from saliency.api.feeding import FIRST, surer_preset
from saliency.api.prepare import Prepared
from saliency.datasets.batches import Batches, Read, Setting
from saliency.datasets.each import results
from saliency.datasets.sources import labelled_source_of
from saliency.errors import BadField, BadImage, BadShape, SaliencyError, Unsupported
from saliency.model.inputs import Inputs
from saliency.model.protocols import CAPABILITY, Adapted, Cuttable, Layered, lacking
from saliency.model.resolve import resolved
from saliency.pictures.presets import Preprocess
from saliency.session.consistency import size_for
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
    checks.choice(pooling, "pooling", POOLINGS)
    model_options = {
        "labels": labels, "framework": framework, "activation": activation, "output": output,
    }  # fmt: skip
    reader = Reader(layer, lambda found: pooled(found, pooling))
    values, found_labels, names = collected(
        model, images, reader, preprocess, model_options, batch_size=batch_size, progress=progress,
        cancelled=cancelled, shared=shared,
    )  # fmt: skip
    return Features(values, reader.name, pooling, found_labels, names, tuple(reader.notes))


class LayerRead(NamedTuple):
    """What was read at a layer for n pictures, on the host."""

    values: np.ndarray
    """All values of the layer, (n, …, K)."""
    gradients: np.ndarray | None
    """Their gradients of the score, of the same shape; None without a target."""
    grid: tuple[int, int] | None
    """Height and width of the layer's grid on the image; None without one."""
    before: int
    """Number of tokens without a position before those of the grid."""

    def at_places(self, array: np.ndarray) -> np.ndarray:
        """Return values or gradients (n, …, K) at the places of the layer alone, (n, places, K)."""
        if self.grid is not None and array.ndim == 3:
            array = array[:, self.before : self.before + self.grid[0] * self.grid[1]]
        return array.reshape(len(array), -1, array.shape[-1])


def pooled(found: LayerRead, pooling: str) -> np.ndarray:
    """Return the values of a layer pooled over its places; class tokens are no places."""
    if pooling == "none":
        return found.values
    values = found.at_places(found.values)
    return np.asarray(values.mean(1) if pooling == "mean" else values.max(1))


class Reader:
    """Reads one layer of a model, which is bound with the first batch of pictures.

    Args:
        layer: its name, the module itself, or None for the last layer with a spatial grid.
        reduce: from what was read for n pictures to what is kept, (n, …).
        target: an index, a label or a callable, of which gradients are read; None reads none.
    """

    def __init__(self, layer: Any, reduce: Callable[[LayerRead], np.ndarray], target: Any = None) -> None:
        self.layer, self.target = layer, target
        self.name = self.label = ""
        self.picture: Any = None
        self._reduce = reduce
        self._bound: Any = None
        self._session: Session[Any] | None = None
        self._preset: str | None = None
        self._compared = 0

    @property
    def notes(self) -> list[str]:
        """The settings used, in sentences."""
        found = [] if self._bound is None else [*self._bound.notes]
        return found if self._preset is None else [*found, self._preset]

    def bind(self, prepared: Prepared, options: Mapping[str, Any]) -> None:
        """Bind the layer and the target, once.

        Args:
            prepared: the model, with a picture.
            options: of the session.
        """
        if self._session is not None:
            return
        if isinstance(prepared.picture, Inputs):
            raise BadImage("A collection is of pictures, one input each: multi-input models have no features here.")
        adapted, self.picture = prepared.adapted, prepared.picture
        self.name = layer_of(adapted, self.layer, prepared.images)
        targets: list[Any] = []
        if self.target is not None:
            if (why := lacking(adapted, Layered)) is not None:
                raise Unsupported(f"Gradients at a layer need {CAPABILITY[Layered]}: {why}.")
            (((target, _, self.label, _),),), _ = resolved([self.target], adapted, lambda: prepared.outputs, 1)
            targets = [target]
        self._bound = adapted.at(targets, [self.name])
        size = size_for(adapted, prepared.picture.fed, options.get("batch_size", "auto"))
        self._session = Session(self._bound, **{**options, "batch_size": size})

    def compare_presets(self, pictures: Sequence[Prepared]) -> None:
        """Compare the presets on the first pictures, for a note on one under which the model is more confident."""
        for each in pictures[: FIRST - self._compared]:
            self._compared += 1
            found = surer_preset(each.adapted, each.picture)
            self._preset = None if found is None else str(found)

    def __call__(self, batch: Prepared) -> np.ndarray:
        """Return what is kept of the layer for pictures of one shape, (n, …) float32."""
        assert self._session is not None
        images, session = batch.images, self._session
        with self._bound.lock:
            grid, before = self._bound.layer_grid(images)
        samples, host = Originals(session.ops, images), session.ops.tohost
        parts = []
        if self.target is None:
            for _, (values,) in session.activations(samples, whole=True):
                parts.append(self._reduce(LayerRead(host(values), None, grid, before)))
        else:
            for _, (layer,) in session.layers(samples, whole=True):
                parts.append(self._reduce(LayerRead(host(layer.activations), host(layer.gradients)[0], grid, before)))
        return np.concatenate(parts).astype(np.float32, copy=False)


def collected(
    model: Any,
    images: Any,
    reader: Reader,
    preprocess: Preprocess | None,
    model_options: Mapping[str, Any],
    *,
    batch_size: int | str = "auto",
    progress: bool | Progress = False,
    cancelled: Callable[[], bool] | None = None,
    shared: Callable[[], bool] | None = None,
    file: Path | None = None,
) -> tuple[np.ndarray, tuple[Any, ...], tuple[str, ...]]:
    """Return what a reader keeps of each image of a collection, (N, …), with the labels and names of the images.

    For the other arguments see :func:`features`.

    Args:
        file: where the rows are written, as float32, and read when they are used; None for memory.
    """
    checks.callbacks(bar=True, progress=progress, cancelled=cancelled, shared=shared)
    source = labelled_source_of(images)
    options = {"batch_size": checks.batch_size(batch_size), "cancelled": cancelled, "shared": shared}
    known = {**model_options, "labels": checks.names(model_options.get("labels"))}
    batches = Batches(model, Setting(None, {}, None, preprocess, known, options), lambda _, label: label)
    labels: list[Any] = []

    def compute(reads: Sequence[Read]) -> list[Any]:
        labels.extend(each.target for each in reads)
        if prepared := [each.prepared for each in reads if each.prepared is not None and each.error is None]:
            reader.bind(prepared[0], options)
            reader.compare_presets(prepared)
        return batches.values(reads, reader)

    rows = results(source, batches, compute, progress, cancelled, "raise", "Features")
    alike = _alike(rows, lambda: repr(reader.name))
    values = _stacked(alike, len(source)) if file is None else _written(alike, file)
    names = source.ids if source.ids is not None else [str(i) for i in range(len(values))]
    return values, tuple(labels), tuple(names)


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


def _alike(rows: Iterator[np.ndarray], layer: Callable[[], str]) -> Iterator[np.ndarray]:
    """Yield the rows.

    Raises:
        BadImage: there are no rows.
        BadShape: two of them differ in shape.
    """
    first = None
    for i, each in enumerate(rows):
        first = each if first is None else first
        if each.shape != first.shape:
            raise BadShape(
                f"The values of {layer()} have the shape {first.shape} for the first picture and {each.shape} for "
                f"picture {i}, which is fed at another size. Use pooling='mean', or a preprocess with a size, such "
                "as preprocess='0..1 224'."
            )
        yield each
    if first is None:
        raise BadImage("There are no pictures: the collection is empty.")


def _stacked(rows: Iterator[np.ndarray], count: int) -> np.ndarray:
    """Return rows as one array (N, …), without a second copy where their number is known."""
    if not count:
        return np.stack(list(rows))
    first = next(rows)
    found = np.empty((count, *first.shape), np.float32)
    for i, each in enumerate(chain([first], rows)):
        found[i] = each
    return found


def _written(rows: Iterator[np.ndarray], file: Path) -> np.ndarray:
    """Write rows to a file of float32, and return the file as an array (N, …)."""
    count, shape = 0, tuple[int, ...]()
    with checks.opening(file, BadField), file.open("wb") as opened:
        for each in rows:
            opened.write(np.ascontiguousarray(each, np.float32).tobytes())
            count, shape = count + 1, each.shape
    return np.memmap(file, np.float32, "r", shape=(count, *shape))
