"""Explain whole shards of a data set: :class:`Worker`, of which each process or actor has one."""

from __future__ import annotations

import importlib
import inspect
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

import numpy as np

from saliency.api.check import check
from saliency.api.feeding import FIRST
from saliency.api.predict import ranked
from saliency.api.prepare import Prepared
from saliency.core.method import Method
from saliency.datasets import manifest, store
from saliency.datasets.batches import Batches, Read, Setting
from saliency.datasets.each import target_for
from saliency.datasets.sources import Item, Source, collection, decoded_ahead
from saliency.errors import BadField, BadImage, Unsupported, brief
from saliency.pictures.presets import Preprocess
from saliency.results.layer_explanation import LayerExplanation
from saliency.session.batch_size import BatchSize

logger = logging.getLogger("saliency")

PROBED = 32
"""Number of pictures with which the batch size is measured."""


@dataclass(frozen=True)
class Job:
    """The arguments of :func:`explain_dataset` that a worker needs; can be pickled if the model and source can."""

    source: Any
    model: Any
    methods: tuple[Method | str, ...]
    targets: Any
    root: Path
    dtype: str
    resolution: str
    evidence: bool
    shard_size: int
    batch_size: int | str
    preprocess: Preprocess | None
    options: Mapping[str, Any]

    def images(self, shard: int, total: int) -> range:
        """Return the numbers of the pictures of a shard."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, total))


class Worker:
    """Explains shards. Every worker adapts the model with the first picture that can be read, so that all are alike.

    Args:
        job: what to explain.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        made = job.source() if _is_factory(job.source) else job.source
        self.source: Source = collection(made)
        targets = target_for(job.targets, self.source)
        model = model_of(job.model)
        self.batches: list[Batches] = []
        joined: list[Prepared] = []
        for method in job.methods:
            options = {"batch_size": job.batch_size}
            setting = Setting(method, {}, None, job.preprocess, job.options, options)
            self.batches.append(Batches(model, setting, targets, joined=joined))
        self._begin()

    def _begin(self) -> None:
        """Adapt the model, and make all decisions that a first picture decides."""
        first = next((read for read in self._reads(self.source.ids or ()) if read.prepared is not None), None)
        if first is None or first.prepared is None:
            raise BadImage(f"None of the {len(self.source)} pictures can be read. The first error: {self._failure}")
        if not hasattr(first.prepared.picture, "values"):
            raise Unsupported("Masks of several inputs are not stored: call saliency.explain_each.")
        self.outputs: np.ndarray = first.prepared.outputs[0]
        adapted: Any = first.prepared.adapted
        adapted.head = replace(adapted.head, guessed=False)
        for batches in self.batches:
            batches.first = first.prepared
            (found,) = batches.explanations([replace(first, target=None)])
            if isinstance(found, Exception):
                raise found
            for note in found.notes:
                if "the preprocessing seems to be missing" in note:
                    logger.warning("%s", note)
        # whether a preset fits better is noted once: it depends on the order of pictures
        adapted.compared = dict.fromkeys(range(FIRST))

    def _reads(self, ids: Sequence[str]) -> Iterator[Read]:
        self._failure: Exception | None = None
        for i, name in enumerate(ids):
            read = self.batches[0].read(i, self._item(i, name))
            self._failure = self._failure or read.error
            yield read

    def _item(self, index: int, name: str) -> Item:
        at = self.source.at
        assert at is not None
        return Item(name, lambda: at(index))

    @cached_property
    def chosen(self) -> list[tuple[str, str]]:
        """The id and the caption of each method as it runs."""
        first = self.batches[0].first
        assert first is not None
        return [(each.id, repr(each)) for each in (one.method(first) for one in self.batches)]

    def manifest(self) -> dict[str, Any]:
        """Return the manifest, with the batch size measured if it is automatic."""
        job, first = self.job, self.batches[0].first
        assert first is not None
        size = self._measured() if job.batch_size == "auto" else job.batch_size
        targets = "given by the data set, else the top class" if job.targets is None else _described(job.targets)
        return {
            "format": manifest.FORMAT,
            "model": manifest.model_of(first.adapted, self.outputs),
            "methods": dict(self.chosen),
            "pictures": {"count": len(self.source), "names": manifest.digest_of(*(self.source.ids or ()))},
            "targets": targets,
            "settings": {
                "preprocess": _described(job.preprocess),
                "outputs": first.head.note,
                "labels": None if job.options["labels"] is None else manifest.digest_of(*job.options["labels"]),
                "evidence": job.evidence,
            },
            "storage": {"dtype": job.dtype, "resolution": job.resolution, "shard_size": job.shard_size},
            "batch_size": size,
            "versions": manifest.versions(first.adapted),
        }

    def _measured(self) -> int:
        """Return the fastest batch size, measured on the first pictures."""
        first = self.batches[0].first
        assert first is not None
        count = min(PROBED, len(self.source))
        prepared = [Read("", prepared=first)] * count
        sizes = []
        for batches in self.batches:
            before = dict(first.adapted.batch_sizes)
            for _ in range(2):
                batches.explanations(prepared)
            timings = [each for key, each in first.adapted.batch_sizes.items() if each and key not in before]
            timings = timings or [each for each in first.adapted.batch_sizes.values() if each]
            sizes += [min(each, key=lambda size: min(each[size])) for each in timings]
        return min(max(sizes, default=BatchSize.FIRST), count)

    def resized(self, batch_size: int) -> None:
        """Use a batch size from now on."""
        self.job = replace(self.job, batch_size=batch_size)
        for batches in self.batches:
            batches.setting = replace(batches.setting, options={"batch_size": batch_size})

    def explain(self, shard: int) -> list[dict[str, Any]]:
        """Explain and write a shard; return its rows of the index."""
        job = self.job
        writer = store.Shard(job.root, shard, job.shard_size, len(self.source))
        ids = self.source.ids or ()
        size = int(job.batch_size)
        for batches in self.batches:
            # so that a shard does not depend on those before it
            batches.forget_places()
        items = decoded_ahead(self._item(i, ids[i]) for i in writer.images)
        for start in range(writer.images.start, writer.images.stop, size):
            which = range(start, min(start + size, writer.images.stop))
            reads = [self.batches[0].read(i, item) for i, item in zip(which, items, strict=False)]
            found = [batches.explanations(reads) for batches in self.batches]
            # after the explanations, whose passes may have found them
            outputs = self.batches[0].outputs(reads)
            for (method, caption), explanations in zip(self.chosen, found, strict=True):
                for i, read, explanation, output in zip(which, reads, explanations, outputs, strict=True):
                    self._add(writer, i, read, method, caption, explanation, output)
        return writer.write()

    def _add(self, writer: store.Shard, i: int, read: Read, method: str, caption: str, found: Any, output: Any) -> None:
        """Add a picture's mask, or its error, to a shard."""
        row: dict[str, Any] = {"image": i, "id": read.id, "method": method, "caption": caption}
        stored, seconds = None, 0.0
        if read.prepared is not None:
            picture: Any = read.prepared.picture
            row["digest"] = manifest.digest_of(picture.values)
        if not isinstance(output, Exception) and read.prepared is not None:
            (top,) = ranked(output, read.prepared.adapted, 1)
            row |= {"prediction": top.label, "probability": top.probability}
        if not isinstance(found, Exception):
            try:
                stored = store.encoded(found, self.job.dtype, self.job.resolution)
                row |= self._columns(found)
                row["evidence"] = self._verdict(read, found) if self.job.evidence else None
                seconds = found.seconds
            except Exception as error:  # noqa: BLE001  # a row of its own, as every error of a picture
                found, stored = error, None
        if isinstance(found, Exception):
            row["error"] = f"{type(found).__name__}: {found}".encode(errors="backslashreplace").decode()[:2000]
        writer.add(row, stored, seconds)

    def _columns(self, exp: Any) -> dict[str, Any]:
        """Return the columns of the index of an explanation."""
        own = self.job.resolution == "picture" and not isinstance(exp, LayerExplanation)
        placement = np.array([[1.0, 0, 0], [0, 1, 0]]) if own else exp.placement
        grid = [*(exp.grid or (0, 0)), exp.before] if isinstance(exp, LayerExplanation) else None
        return {
            "target": json.dumps(exp.target),
            "label": exp.label,
            "score": exp.score,
            "baseline_score": exp.baseline_score,
            "gap": exp.gap,
            "layer": exp.layer,
            "sign": exp.sign,
            "placement": [float(each) for each in placement.ravel()],
            "grid": grid,
            "notes": list(exp.notes),
        }

    def _verdict(self, read: Read, exp: Any) -> str:
        assert read.prepared is not None
        verdict = check(read.prepared.adapted, read.prepared.picture, exp, rerun=0, progress=False)
        return {True: "supported", False: "not supported", None: "undecided"}[verdict.supported]


def _is_factory(value: Any) -> bool:
    """Return whether a value is a function, a partial or a class that can be called without arguments."""
    if not isinstance(value, FunctionType | MethodType | partial | type):
        return False
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return False
    return all(each.default is not each.empty or each.kind in (2, 4) for each in signature.parameters.values())


def model_of(model: Any) -> Any:
    """Return the model, made by its factory if one was given.

    Raises:
        BadField: there is no such factory, or it fails.
    """
    if isinstance(model, str) and ":" in model and not Path(model).exists():
        model = imported(model)
    if not _is_factory(model):
        return model
    try:
        return model()
    except Exception as error:
        raise BadField(f"The factory of the model, {brief(model)}, fails: {type(error).__name__}: {error}") from error


def imported(name: str) -> Any:
    """Return what "package.module:name" names.

    Raises:
        BadField: it cannot be imported.
    """
    module, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for each in attribute.split("."):
            found = getattr(found, each)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadField(f"{name!r} cannot be imported: {error}. Expected package.module:function.") from error
    return found


def _described(value: Any) -> str:
    """Return a text that is equal for equal settings."""
    if value is None or isinstance(value, str | int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"{len(value)} of {manifest.digest_of(*map(_described, value))}"
    if hasattr(value, "tolist"):
        return _described(value.tolist())
    if isinstance(value, FunctionType):
        return f"{value.__module__}.{value.__qualname__} {manifest.digest_of(value.__code__.co_code)}"
    text = repr(value)
    return f"{type(value).__module__}.{type(value).__qualname__}" if " at 0x" in text else text
