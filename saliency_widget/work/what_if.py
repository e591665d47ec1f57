"""Answers about an explanation: predictions for selections, curves, verdicts, and what its tabs compute."""

from __future__ import annotations

import hashlib
import json
import sys
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

import saliency
from saliency_widget.pictures.drawing import View, selection_of
from saliency_widget.pictures.film import Film, Plan, Scene, drawn, views
from saliency_widget.pictures.placement import Placement
from saliency_widget.pictures.selection import Brushed
from saliency_widget.protocol.change import change_message
from saliency_widget.protocol.channels import channels_message
from saliency_widget.protocol.concepts import concepts_message
from saliency_widget.protocol.examples import examples_message
from saliency_widget.protocol.messages import Message, message
from saliency_widget.protocol.verdict import verdict_message
from saliency_widget.traits.parameters import Layers
from saliency_widget.work.concepts import Calls, Region, crop_size, maps_of
from saliency_widget.work.examples import influence_of
from saliency_widget.work.subject import Subject
from saliency_widget.work.tasks import BETWEEN_PROGRESS, class_row

CACHE_LENGTH = 512
"""Maximum number of cached answers: a slider has a thousand positions, and is moved back and forth."""

POINTS = 24
"""Number of points of a curve."""

TOP_CLASSES = 5

TRIED = 4
"""Maximum number of layers that are tried where the automatic one does not cut the model."""

SHARES = range(5, 100, 5)
"""Percentages of the pixels that are evaluated in advance for a page without a kernel."""


class Answer(NamedTuple):
    """The answer to a what-if request."""

    message: Message
    verdict: saliency.Verdict | None = None
    """Of a `check`; None for other requests."""
    change: saliency.Counterfactual | None = None
    """Of a `change`; None for other requests."""


class WhatIfCache:
    """Answers to what-if requests; the least recently used is dropped first."""

    def __init__(self) -> None:
        self._answers: OrderedDict[Hashable, Answer] = OrderedDict()
        # the requests about an explanation as JSON, with the keys of their answers, as long as it lives
        self._requests: weakref.WeakKeyDictionary[saliency.Explanation, OrderedDict[str, Hashable]]
        self._requests = weakref.WeakKeyDictionary()
        # by target: the weights, and a verdict whose random bands other maps of this target reuse
        self.verdicts: dict[Hashable, tuple[Hashable, saliency.Verdict]] = {}

    def known(self, key: Hashable) -> Answer | None:
        """Return a cached answer, or None."""
        return self._answers.get(key)

    def get(
        self,
        key: Hashable,
        compute: Callable[[], Answer],
        explanation: saliency.Explanation,
        request: Mapping[str, Any],
    ) -> Answer:
        """Return the cached answer, or compute and store it.

        Args:
            key: identifies the answer; different requests may have the same one.
            compute: computes the answer.
            explanation: the explanation that the request is about.
            request: fields of the request.
        """
        return self.keep(key, self.known(key) or compute(), explanation, request)

    def keep(
        self, key: Hashable, answer: Answer, explanation: saliency.Explanation, request: Mapping[str, Any]
    ) -> Answer:
        """Store an answer, and return it; for the arguments see :meth:`get`."""
        self._answers[key] = answer
        self._answers.move_to_end(key)
        requests = self._requests.setdefault(explanation, OrderedDict())
        requests[json.dumps(request)] = key
        for each in (self._answers, requests):
            while len(each) > CACHE_LENGTH:
                each.popitem(last=False)
        return answer

    def answers(self, explanation: saliency.Explanation) -> Iterator[Answer]:
        """Yield the cached answers about an explanation, each message with its request as `asked`."""
        for request, key in list(self._requests.get(explanation, {}).items()):
            if (answer := self._answers.get(key)) is not None:
                yield answer._replace(message=answer.message.but(asked=json.loads(request)))


@dataclass(frozen=True)
class Evaluator:
    """Computes what-if results of one model and picture.

    Create one for each request, as layers and weights may have changed since the last.
    """

    prepared: saliency.Prepared
    placement: Placement
    batch_size: int | str
    cache: WhatIfCache = field(default_factory=WhatIfCache)
    cancelled: Callable[[], bool] = lambda: False
    """Called between two model calls, see :func:`saliency.explain`."""
    shared: Callable[[], bool] = lambda: False

    def what_if(self, explanation: saliency.Explanation, view: View, fill: str) -> Message:
        """Return a `what_if`: the top classes for the selection alone and for the rest, with the explained class."""
        (answer,) = self._what_ifs(explanation, [(view, selection_of(explanation, view, self.placement))], fill)
        return answer

    def film(
        self,
        explanation: saliency.Explanation,
        scene: Scene,
        plan: Plan,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> Film:
        """Draw a film of an explanation, with the answers to `what_if` of its frames; these are cached, not the film.

        Args:
            explanation: the explanation.
            scene: its map on the picture.
            plan: settings of the film.
            progress: called with the numbers of images evaluated and of frames drawn, and in total.
        """
        different: dict[bytes, tuple[View, np.ndarray]] = {}
        for view in views(scene, plan):
            mask = selection_of(explanation, view, self.placement)
            # thresholds between equal values give the same pixels
            different.setdefault(_digest(mask), (view, mask))
        selections = list(different.values())
        total = len(selections)

        def evaluated(done: int, images: int) -> None:
            progress(done, images + total)

        def drawing(frame: int) -> None:
            if self.cancelled():
                raise saliency.Cancelled("The film was cancelled.")
            progress(2 * total + frame, 3 * total)

        answers = self._what_ifs(explanation, selections, plan.fill, evaluated)
        rows = [next(row for row in each.fields["only"] if row["index"] == explanation.target) for each in answers]
        percent = rows[0]["probability"] is not None
        outputs = [row["probability"] if percent else row["value"] for row in rows]
        steps = [(view, float(mask.mean()), output) for (view, mask), output in zip(selections, outputs, strict=True)]
        return drawn(scene, steps, plan, percent, drawing)

    def _what_ifs(
        self,
        explanation: saliency.Explanation,
        views: Sequence[tuple[View, np.ndarray]],
        fill: str,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Message]:
        """Return the `what_if` of each view with its selection; those that are not cached are evaluated in batches."""
        adapted, picture = self.prepared.adapted, self.prepared.picture
        keys = [("what_if", adapted.version, fill, explanation.target, _digest(mask)) for _, mask in views]
        answers = {key: self.cache.known(key) for key in keys}
        unknown = {key: mask for key, (_, mask) in zip(keys, views, strict=True) if answers[key] is None}
        if unknown:
            predictions = saliency.what_if(
                adapted,
                picture,
                list(unknown.values()),
                fill,
                sys.maxsize,
                # a single selection takes one call, as it is evaluated while a slider is moved
                batch_size="auto" if len(unknown) == 1 else self.batch_size,
                progress=progress,
                cancelled=self.cancelled,
                shared=self.shared,
            )
            for (key, mask), pair in zip(unknown.items(), predictions, strict=True):
                only, without = (_rows(each, explanation.target) for each in pair)
                answers[key] = Answer(message("what_if", only=only, without=without, area=float(mask.mean())))
        found = [answer for key in keys if (answer := answers[key]) is not None]
        for key, (view, _), answer in zip(keys, views, found, strict=True):
            selection = {"sign": view.sign, "keep": view.keep, "region": view.region, "picked": dict(view.picked)}
            request = {"op": "what_if", **selection, "fill": fill}
            self.cache.keep(key, answer, explanation, request)
        return [answer.message for answer in found]

    def curve(
        self, explanation: saliency.Explanation, fill: str, progress: Callable[[int, int], None] = lambda *_: None
    ) -> Message:
        """Return a `curve`: insertion and deletion of an explanation."""

        def compute() -> Answer:
            curves = saliency.perturbation_curves(
                self.prepared.adapted,
                self.prepared.picture,
                explanation,
                fill=fill,
                points=min(POINTS, explanation.salience().size),
                batch_size=self.batch_size,
                progress=progress,
                cancelled=self.cancelled,
                shared=self.shared,
            )
            lines = {name: np.asarray(value).tolist() for name, value in curves._asdict().items()}
            return Answer(message("curve", **lines))

        order = explanation.salience() if explanation.regions is None else explanation.regions.ranks
        key = ("curve", self.prepared.adapted.version, fill, explanation.target, _digest(order))
        return self.cache.get(key, compute, explanation, {"op": "curve", "fill": fill}).message

    def check(
        self,
        explanation: saliency.Explanation,
        partial: Callable[[Message], None] = lambda _: None,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> Answer:
        """Return the verdict on an explanation, with its message.

        Args:
            explanation: the explanation.
            partial: called with a `partial_verdict` after each measurement.
            progress: called with the numbers of images evaluated, and in total.
        """
        target, version = explanation.target, self.prepared.adapted.version

        def report(verdict: saliency.Verdict) -> None:
            if not verdict.finished:
                partial(verdict_message(verdict, explanation.notes))

        def compute() -> Answer:
            before, known = self.cache.verdicts.get(target, (None, None))
            verdict = saliency.check(
                self.prepared.adapted,
                self.prepared.picture,
                explanation,
                batch_size=self.batch_size,
                progress=progress,
                bands=known if before == version else None,
                cancelled=self.cancelled,
                shared=self.shared,
                partial=report,
            )
            if all(each.found.band is not None for each in verdict.deciding):
                self.cache.verdicts[target] = version, verdict
            return Answer(verdict_message(verdict, explanation.notes), verdict)

        key = ("check", version, target, explanation.caption, _digest(explanation.mask))
        return self.cache.get(key, compute, explanation, {"op": "check"})

    def change(
        self,
        explanation: saliency.Explanation,
        kind: str,
        fill: str,
        to: float | None = None,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> Answer:
        """Return the smallest set of segments that changes the answer, searched first along the map, and its `change`.

        Args:
            explanation: the explanation.
            kind: see :func:`saliency.counterfactual`.
            fill: replacement of removed pixels.
            to: the class or value that is to be reached; None for any other class.
            progress: called with the numbers of images evaluated, and in total.
        """

        def compute() -> Answer:
            found = saliency.counterfactual(
                self.prepared.adapted,
                self.prepared.picture,
                explanation.target,
                kind=kind,
                to=to,
                fill=fill,
                order=explanation,
                batch_size=self.batch_size,
                progress=progress,
                cancelled=self.cancelled,
                shared=self.shared,
            )
            return Answer(change_message(found, self.placement, explanation.notes), change=found)

        key = ("change", self.prepared.adapted.version, kind, fill, to, explanation.target, _digest(explanation.mask))
        return self.cache.get(key, compute, explanation, {"op": "change", "kind": kind, "fill": fill, "to": to})

    def channels(
        self,
        explanation: saliency.Explanation,
        layer: str,
        by: str,
        layers: Layers | None,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> Message:
        """Return the `channels` of a layer: those with the largest attributions to the explanation's target.

        Args:
            explanation: the explanation.
            layer: name of the layer; "" for the one that CAMs use, or if it does not cut the model, the next that does.
            by: id of the method that attributes to the layer.
            layers: the layers of the model, if it has any.
            progress: called with the numbers of images evaluated, and in total.
        """

        def at(name: str) -> saliency.LayerExplanation:
            found: saliency.LayerExplanation = saliency.explain(
                self.prepared.adapted,
                self.prepared.picture,
                by,
                explanation.target,
                at=name,
                batch_size=self.batch_size,
                progress=progress,
                cancelled=self.cancelled,
                shared=self.shared,
            )
            return found

        def compute() -> Answer:
            names = self._layers(layers)
            tried = [layer] if layer else [names.automatic, *reversed(names.names)][:TRIED]
            found = _first(at, tried)
            fed = explanation.mask.shape[:2]
            return Answer(channels_message(found, names.names, self.placement, fed, explanation.notes))

        key = ("channels", self.prepared.adapted.version, layer, by, explanation.target)
        return self.cache.get(key, compute, explanation, {"op": "channels", "layer": layer, "by": by}).message

    def examples(
        self,
        explanation: saliency.Explanation,
        subject: Subject,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> Message:
        """Return the `examples` for and against the explanation's target, which depend on no map.

        Args:
            explanation: the explanation.
            subject: the picture, and the training images.
            progress: called with the numbers of training images read, and in total.
        """

        def compute() -> Answer:
            found = influence_of(subject.index, subject.image, self.prepared, explanation.target)
            total = len(found.proponents) + len(found.opponents)

            def done(count: int) -> None:
                if self.cancelled():
                    raise saliency.Cancelled("The search for training images was cancelled.")
                progress(count, total)

            return Answer(examples_message(found, explanation.notes, done))

        key = ("examples", self.prepared.adapted.version, explanation.target)
        return self.cache.get(key, compute, explanation, {"op": "examples"}).message

    def concepts(
        self,
        explanation: saliency.Explanation,
        subject: Subject,
        layer: str,
        brushed: Sequence[Brushed],
        regions: Callable[[], Sequence[Region]],
        layers: Layers | None,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> Message:
        """Return the `concepts` that were tested for the explanation's target, which depend on no map.

        Args:
            explanation: the explanation.
            subject: the picture, and the concepts that were given.
            layer: name of the layer; "" for the automatic one.
            brushed: the brushed regions, as the browser sends them.
            regions: returns them on the pixels of their pictures.
            layers: the layers of the model, if it has any.
            progress: called with what is done, and in total.
        """

        def compute() -> Answer:
            names = self._layers(layers).names
            calls = Calls(self.batch_size, progress, self.cancelled, self.shared)
            fed = explanation.mask.shape[:2]
            test = subject.concepts.test(self.prepared.adapted, layer, regions(), crop_size(fed), calls)
            scores = test.scores([subject.image], explanation.target)
            maps = maps_of(test, subject.image, explanation.target)
            return Answer(concepts_message(scores, maps, names, self.placement, fed, explanation.notes))

        request = {"op": "concepts", "layer": layer, "brushed": [dict(each) for each in brushed]}
        key = ("concepts", self.prepared.adapted.version, json.dumps(request), explanation.target)
        return self.cache.get(key, compute, explanation, request).message

    def _layers(self, layers: Layers | None) -> Layers:
        """Return the layers to choose from, without those inside others: a block's own layers seldom cut the model."""
        if layers is None:
            saliency.layers(self.prepared.adapted, self.prepared.picture)
            raise saliency.Unsupported("Channels and concepts need a model with a layer that has a spatial grid.")
        inside = tuple(f"{each}{mark}" for each in layers.names for mark in ".:")
        return layers._replace(names=tuple(name for name in layers.names if not name.startswith(inside)))

    def precompute(self, explanation: saliency.Explanation, view: View, fill: str) -> None:
        """Compute the answers that a page without a kernel can look up.

        These are the curves, and the predictions for the top :data:`SHARES` of the pixels, or for as many regions.
        """
        self.curve(explanation, fill)
        for keep in SHARES:
            if self.cancelled():
                return
            self.what_if(explanation, view._replace(keep=float(keep), region=0, picked={}), fill)


def progress_messages(post: Callable[[Message], None], rid: str) -> Callable[[int, int], None]:
    """Return a progress callback that posts a `progress` at a limited rate."""
    due = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal due
        if (now := time.monotonic()) >= due:
            due = now + BETWEEN_PROGRESS
            post(message("progress", rid, done=done, total=total, seconds_left=None))

    return progress


def _first(at: Callable[[str], saliency.LayerExplanation], layers: Sequence[str]) -> saliency.LayerExplanation:
    """Return the attribution to the first of the layers that cuts the model; the error of the first if none does."""
    refusals = []
    for each in layers:
        try:
            return at(each)
        except saliency.Unsupported as refusal:
            refusals.append(refusal)
    raise refusals[0]


def _digest(array: np.ndarray) -> bytes:
    return hashlib.blake2b(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes()).digest()


def _rows(predictions: list[saliency.Prediction], target: int | str) -> list[dict[str, Any]]:
    rows = predictions[:TOP_CLASSES]
    rows += [row for row in predictions[TOP_CLASSES:] if row.index == target]
    return [class_row(row) for row in rows]
