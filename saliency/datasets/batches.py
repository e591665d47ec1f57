"""Explain pictures in batches that are filled across pictures."""

from __future__ import annotations

import copy
import operator
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from saliency.api.feeding import FIRST
from saliency.api.fitting import fitted
from saliency.api.prepare import Prepared, prepare
from saliency.core.method import Method
from saliency.datasets.sources import Item
from saliency.errors import BadArgument, BadField, Cancelled, MissingPackage, Unsupported
from saliency.model.inputs import Inputs
from saliency.model.resolve import Each, known_width
from saliency.pictures.picture import Picture, guessed
from saliency.pictures.placement import Placed, Sizes
from saliency.pictures.presets import Preprocess
from saliency.results.assemble import explained
from saliency.results.run import Run
from saliency.targets import NotPerImage, NotYetKnown

LOOK_AHEAD, MOST = 256, 32
"""Images to evaluate, and pictures, that are read ahead where the batch size is automatic."""

BYTES = 1 << 26
"""Largest size of the model's input for the pictures that are read ahead; they themselves may have four times that."""

CONFIRMED = 8
"""Number of pictures whose placement is confirmed; if all are, that of the others follows from theirs."""

OF_THE_CALL = (Cancelled, Unsupported, BadArgument, BadField, MissingPackage, MemoryError)
"""Errors of the model, the method or the machine, which every picture would have."""


@dataclass(frozen=True)
class Setting:
    """The arguments of :func:`saliency.explain` that are the same for all pictures.

    Attributes:
        method: see :func:`saliency.explain`.
        fields: of the method.
        at: see :func:`saliency.explain`.
        preprocess: see :func:`saliency.explain`.
        model: arguments of :func:`saliency.prepare`, besides the model and the pictures.
        options: of the session.
    """

    method: Any
    fields: Mapping[str, Any]
    at: Any
    preprocess: Preprocess | None
    model: Mapping[str, Any]
    options: Mapping[str, Any]


@dataclass
class Read:
    """One picture of a batch, or the error of reading it."""

    id: str
    target: Any = None
    prepared: Prepared | None = None
    error: Exception | None = None


Compute = Callable[[Sequence[Read]], list[Any]]
"""From pictures of one shape to their results, which fails where one of them fails."""


@dataclass
class Batches:
    """Explains pictures in batches; the model is adapted with the first picture that can be read.

    Attributes:
        model: the user's model.
        setting: the arguments that are the same for all pictures.
        targets: returns the target of picture i from the class that the collection gives.
        first: the adapted model, with its first picture.
    """

    model: Any
    setting: Setting
    targets: Callable[[int, Any], Any]
    first: Prepared | None = None
    joined: list[Prepared] = field(default_factory=list)
    """The last batch of several pictures; methods that share it share the model's outputs."""
    _apart: bool = field(default=False, init=False)
    """Whether pictures of different targets are explained apart."""
    _late: bool = field(default=True, init=False)
    """Whether the run itself finds the top classes, which saves a forward pass."""
    _explained: int = field(default=0, init=False)
    """Number of pictures so far."""
    _fitted: Method | None = field(default=None, init=False)
    _places: dict[Any, dict[Sizes, Placed]] = field(default_factory=dict, init=False)
    """By kind of picture and by size, the placement of the first one."""
    _confirmed: list[bool] = field(default_factory=list, init=False)
    """Of the pictures whose placement was looked for, whether it was found."""

    def read(self, index: int, item: Item) -> Read:
        """Return a picture prepared for the model, or with its error."""
        found = Read(item.id)
        try:
            image, label = item.read()
            found.target = self.targets(index, label)
            if self.first is None:
                first = prepare(self.model, [image], **self.setting.model, preprocess=self.setting.preprocess)
                if known_width(first.adapted) is None:
                    _ = first.outputs  # of one picture, or each first batch would be called for its classes alone
                # a copy, in which the comparison with presets can be ended
                self.first = found.prepared = Prepared(copy.copy(first.adapted), first.pictures)
            else:
                found.prepared = self.first.with_image(image, self.setting.preprocess)
            _ = found.prepared.images
        except OF_THE_CALL:
            raise
        except Exception as error:  # noqa: BLE001  # the other pictures do not depend on it
            found.error = error
        return found

    def groups(self, items: Iterator[Item], size: int | str) -> Iterator[list[Read]]:
        """Yield the pictures in order, as many at a time as are explained together.

        Args:
            items: the pictures.
            size: the batch size.
        """
        index = 0
        while head := list(islice(items, 1)):
            reads = [self.read(index, head[0])]
            more = self.ahead(reads[0], size) - 1
            reads += [self.read(index + 1 + i, each) for i, each in enumerate(islice(items, more))]
            index += len(reads)
            yield reads

    def ahead(self, read: Read, size: int | str) -> int:
        """Return how many pictures are explained together, so that batches are full and memory is bounded."""
        prepared = read.prepared
        if prepared is None:
            return 1
        shape = tuple(map(int, prepared.images.shape))
        cost = 1 if self.setting.method is None else self.method(prepared).cost(shape)
        held = 0 if isinstance(prepared.picture, Inputs) else prepared.picture.values.nbytes
        fitting = max(1, BYTES // max(4 * int(np.prod(shape)), held // 4))
        if size == "auto":
            return min(fitting, MOST, max(1, LOOK_AHEAD // cost))
        return max(1, min(fitting, int(size) if cost == 1 else 4 * int(size) // cost))

    def method(self, prepared: Prepared) -> Method:
        """Return the method as it runs on the model."""
        if self._fitted is None:
            given = self.setting
            model = prepared.adapted
            self._fitted, _ = fitted(
                given.method, given.fields, model, prepared.pictures, lambda: prepared.images, [], given.at
            )
        return self._fitted

    def explanations(self, reads: Sequence[Read]) -> list[Any]:
        """Return for each picture its explanation, or its error."""
        return self._by_shape(reads, self._together)

    def outputs(self, reads: Sequence[Read]) -> list[Any]:
        """Return for each picture the model's outputs (K,), or its error."""
        return self.values(reads, lambda batch: batch.outputs)

    def values(self, reads: Sequence[Read], read: Callable[[Prepared], np.ndarray]) -> list[Any]:
        """Return for each picture its row of what `read` returns for a batch, or its error."""
        return self._by_shape(reads, lambda same: list(read(self._joined(same))))

    def _by_shape(self, reads: Sequence[Read], compute: Compute) -> list[Any]:
        """Return the results of pictures, from batches of one shape."""
        found: list[Any] = [each.error for each in reads]
        by_shape: dict[Any, list[int]] = {}
        for i, each in enumerate(reads):
            if each.prepared is not None and each.error is None:
                by_shape.setdefault(_shape_of(each.prepared), []).append(i)
        for which in by_shape.values():
            for i, result in zip(which, _attempted([reads[i] for i in which], compute), strict=True):
                found[i] = result
        return found

    def _together(self, reads: Sequence[Read]) -> list[Any]:
        """Return the explanations of pictures of one shape, from shared model calls."""
        self._compare_presets(reads)
        for read in reads:
            if read.prepared is not None and isinstance(picture := read.prepared.picture, Picture):
                self._place(picture)
        run = self._run(self._joined(reads), reads)
        apart = not run.own and len({each[0].row for each in run.targets}) > 1
        if not apart and not self._apart:
            try:
                return self._masks(run)
            except NotPerImage:
                self._apart = True
            except NotYetKnown:
                self._late = False
                return self._together(reads)
        # pictures of one target share the calls
        by_target: dict[Any, list[int]] = {}
        for i, each in enumerate(run.targets):
            by_target.setdefault(each[0].explained, []).append(i)
        found: list[Any] = [None] * len(reads)
        for which in by_target.values():
            same = [reads[i] for i in which]
            for i, result in zip(which, self._masks(self._run(self._joined(same), same)), strict=True):
                found[i] = result
        return found

    def _place(self, picture: Picture) -> None:
        """Take the placement that follows from those of the first pictures, if all of them could be placed.

        Confirming that of a picture calls the preprocessing, which may cost as much as the model.
        """
        if picture.locate is None:
            return
        places = self._places.setdefault(picture.kind, {})
        if len(self._confirmed) >= CONFIRMED and all(self._confirmed):
            known = places.get(picture.sizes) or guessed(picture, places)
            if known is not None:
                picture.placed = places[picture.sizes] = known
                return
        places.setdefault(picture.sizes, picture.placed)
        self._confirmed.append(not picture.placed.notes)

    def forget_places(self) -> None:
        """Confirm the placement of the next pictures again."""
        self._places.clear()
        self._confirmed.clear()

    def _compare_presets(self, reads: Sequence[Read]) -> None:
        """End the comparison with presets, a few model calls for each picture, after the first pictures."""
        assert self.first is not None
        if self._explained >= FIRST:
            adapted: Any = self.first.adapted
            adapted.compared = dict.fromkeys(range(FIRST))
        self._explained += len(reads)

    def _joined(self, reads: Sequence[Read]) -> Prepared:
        """Return pictures of one shape as one batch, the last one again where the pictures are the same."""
        prepared = [each.prepared for each in reads if each.prepared is not None]
        if len(prepared) == 1:
            return prepared[0]
        pictures = [each.picture for each in prepared]
        for last in self.joined:
            if len(last.pictures) == len(pictures) and all(map(operator.is_, last.pictures, pictures)):
                return last
        self.joined[:] = [Prepared(prepared[0].adapted, pictures)]
        return self.joined[0]

    def _run(self, batch: Prepared, reads: Sequence[Read]) -> Run:
        given = self.setting
        late = self._late and not self._apart
        return batch.run(given.method, Each(each.target for each in reads), given.fields, given.at, late=late)

    def _masks(self, run: Run) -> list[Any]:
        """Return the explanations of a run, each with its share of the cost."""
        found = explained(run, time.perf_counter(), **self.setting.options)
        for each in found:
            for exp in each if isinstance(each, list) else [each]:
                exp.images, exp.seconds = -(-exp.images // len(found)), exp.seconds / len(found)
        return found


def _attempted(reads: Sequence[Read], compute: Compute) -> list[Any]:
    """Return the results, or errors, of pictures of one shape; an error is found by halving the batch."""
    try:
        return compute(reads)
    except OF_THE_CALL as error:
        # out of memory may be a matter of how many
        if not isinstance(error, MemoryError) or len(reads) == 1:
            raise
    except Exception as error:  # noqa: BLE001  # of one of them; the others do not depend on it
        if len(reads) == 1:
            return [error]
    half = len(reads) // 2
    return _attempted(reads[:half], compute) + _attempted(reads[half:], compute)


def _shape_of(prepared: Prepared) -> Any:
    picture = prepared.picture
    return picture.packing.shapes if isinstance(picture, Inputs) else picture.fed.shape
