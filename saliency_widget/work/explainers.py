"""The explainers of a widget: one for each model and image."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

import saliency
from saliency_widget.pictures.drawing import View, region_of
from saliency_widget.pictures.selection import Brushed, Picked
from saliency_widget.protocol.cells import Cell, Key, Pair
from saliency_widget.protocol.messages import Message, located, pack
from saliency_widget.protocol.requests import TOP
from saliency_widget.traits.parameters import Layers
from saliency_widget.work.concepts import Region
from saliency_widget.work.explainer import Explainer
from saliency_widget.work.inputs import Inputs, opened, with_image, without_image
from saliency_widget.work.options import Options
from saliency_widget.work.picture import SMALL_SIDE, ShownPicture, compact_packet
from saliency_widget.work.result_cache import Result
from saliency_widget.work.subject import Subject
from saliency_widget.work.tasks import Listener, Post

MOST_IMAGES = 32
"""Maximum number of pictures of a widget, with those that are added."""

MOST_OPENED = 64
"""Maximum number of pictures of a gallery that are open; of the others, only the thumbnails are kept."""

SAVED_ANSWERS = 32
"""Maximum number of what-if answers in a snapshot; the latest are saved."""


class Opening(NamedTuple):
    """How a picture of a gallery is opened."""

    read: Callable[[Inputs, int, Any], Inputs]
    """Returns the inputs with the picture of an index, given the image."""
    explainer: Callable[[Subject, Listener, int], Explainer]
    """Returns the explainer of a model and the picture of an index."""


class Explainers(Mapping[Pair, Explainer]):
    """The explainers of a widget, by model and image.

    Args:
        inputs: the models, images and methods.
        options: the arguments of the widget, also used for images that are added.
        post: sends a message to the browser.
        shown: returns the cell on the screen.
        on_prediction: called with the prediction of the shown model for the shown image.
        on_result: called after each new result.
        on_unsupported: called with the id of a method that the shown model turns out not to support.
        opening: how pictures are opened, where not for a model.
    """

    def __init__(
        self,
        inputs: Inputs,
        options: Options,
        post: Post,
        shown: Callable[[], Cell],
        on_prediction: Callable[[Sequence[saliency.Prediction]], None],
        on_result: Callable[[], None],
        on_unsupported: Callable[[str], None],
        opening: Opening | None = None,
    ) -> None:
        self._how = opening or Opening(
            lambda inputs, at, image: opened(inputs, at, image, options),
            lambda subject, listener, _: Explainer(subject, listener),
        )
        self.inputs, self.options = inputs, options
        self._post, self._shown = post, shown
        self._on_prediction, self._on_result, self._on_unsupported = on_prediction, on_result, on_unsupported
        # encoded here, as the handlers of the browser's messages must not block
        self.shown_picture.png  # noqa: B018
        self._all = {pair: self._explainer(subject, pair) for pair, subject in inputs.subjects.items()}
        self._opening = threading.RLock()

    def __getitem__(self, pair: Pair) -> Explainer:
        return self._all[pair]

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def add(self, img: Any, name: str | None) -> ShownPicture:
        """Add an image, with the current parameters of the methods.

        Raises:
            SaliencyError: it cannot be read, or there are too many images.
        """
        collection = self.inputs.collection
        if collection is None and len(self.inputs.images) >= MOST_IMAGES:
            raise saliency.BadImage(f"A widget shows at most {MOST_IMAGES} pictures: create another widget.")
        with self._opening:
            self._take(with_image(self.inputs, img, name, self.options))
            added = len(self.inputs.images) - 1
            if collection is not None:
                collection.append(img, self.inputs.images[added])
            return self.inputs.pictures[added]

    def open(self, index: int, needed: Container[int] = ()) -> ShownPicture | None:
        """Read a picture of a gallery; the picture that was opened first may be closed for it.

        Args:
            index: index of the picture.
            needed: indices of pictures that are not closed.

        Returns:
            The picture; None if it was open.

        Raises:
            Exception: it cannot be read.
        """
        with self._opening:
            if index in self.inputs.pictures or (collection := self.inputs.collection) is None:
                return None
            self._take(self._how.read(self.inputs, index, collection.image(index)))
            self.inputs.pictures[index].png  # noqa: B018  # as in the constructor
            closable = [each for each in self.inputs.pictures if each != index and each not in needed]
            for each in closable[: max(0, len(self.inputs.pictures) - MOST_OPENED)]:
                for pair in [pair for pair in self._all if pair[1] == each]:
                    self._all.pop(pair).close()
                self.inputs = without_image(self.inputs, each)
            return self.inputs.pictures[index]

    def _take(self, inputs: Inputs) -> None:
        """Create the explainers of a new picture, with the current parameters of the methods."""
        methods = {model: each.methods for (model, _), each in self._all.items()}
        for pair, subject in inputs.subjects.items():
            if pair not in self._all:
                self._all[pair] = self._explainer(replace(subject, methods=methods[pair[0]]), pair)
        self.inputs = inputs

    def _explainer(self, subject: Subject, pair: Pair) -> Explainer:
        return self._how.explainer(subject, self._listener(pair), pair[1])

    def any_of(self, model: int) -> Explainer:
        """Return the explainer of a model and any picture that is open."""
        return next(each for (m, _), each in list(self._all.items()) if m == model)

    def subject(self, model: int) -> Subject:
        """Return a model with any picture that is open.

        Raises:
            Cancelled: the widget was closed.
        """
        found = next((each for (m, _), each in self.inputs.subjects.items() if m == model), None)
        if found is None:
            raise saliency.Cancelled("The widget was closed.")
        return found

    @property
    def shown(self) -> Explainer:
        """The explainer of the shown model and image."""
        return self._all[self._shown().pair]

    @property
    def shown_result(self) -> Result | None:
        """The result on the screen, or None."""
        return self.shown.results.get(self._shown().key)

    @property
    def shown_picture(self) -> ShownPicture:
        """The picture on the screen."""
        return self.inputs.pictures[self._shown().image]

    def full_picture(self, image: int) -> np.ndarray:
        """Return an image at its full resolution, uint8 (H, W, 3).

        Raises:
            Cancelled: it is not open.
        """
        if (subject := self.inputs.subjects.get((0, image))) is None:
            raise saliency.Cancelled(f"Image {image} is not open.")
        return subject.picture.shown

    def send_state(self, rid: str) -> None:
        """Send every picture, prediction and result, those of the shown image first."""
        shown = self._shown()
        self._post(self.shown_picture.welcome(rid), answering=True)
        self.shown.send_state(rid)
        for (model, image), explainer in list(self._all.items()):
            if (model, image) != shown.pair:
                # a picture is sent once, by the explainer of the first model
                unsent = model == 0 and image != shown.image
                explainer.send_state("", self.inputs.pictures[image].welcome if unsent else None)

    def cancel(self, rid: str | None = None) -> bool:
        """Cancel the request `rid`, or all. Return False if there is none."""
        cancelled = [each.cancel(rid) for each in list(self._all.values())]
        return any(cancelled)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no job is waiting or running. Return False if that took longer than `timeout` seconds."""
        deadline = time.monotonic() + (math.inf if timeout is None else timeout)
        # the last job of one model's thread may enqueue jobs on another's
        while busy := [each for each in list(self._all.values()) if not each.idle]:
            for each in busy:
                if not each.wait(None if timeout is None else max(deadline - time.monotonic(), 0)):
                    return False
        return True

    def configure(self, method_id: str, method: saliency.Method) -> None:
        """Offer a method with other parameters."""
        for each in list(self._all.values()):
            each.configure(method_id, method)

    def check_weights(self) -> None:
        """Send `stale` for each model whose weights changed after its results were computed."""
        for each in list(self._all.values()):
            each.check_weights()

    def close(self) -> None:
        """Cancel all jobs and release the models."""
        for each in list(self._all.values()):
            each.close()
        # these hold models and images too
        self.inputs = self.inputs._replace(subjects={})
        self.options = self.options._replace(preprocess=None, methods=None, index=None, concepts=None, random=None)

    def precompute(
        self, view: View, fill: str, on_error: Callable[[Exception], None], *, what_if: bool, evidence: bool
    ) -> None:
        """Compute the answers that a page without a kernel can look up; see :meth:`WhatIfRequests.precompute`."""
        for each in list(self._all.values()):
            results = list(each.results.values())
            each.what_if_requests.precompute(results, view, fill, on_error, what_if=what_if, evidence=evidence)

    @property
    def layers(self) -> Layers | None:
        """The known layers of all models, with the automatic layer of the first; None if none are known."""
        known = [each.layers for each in list(self._all.values()) if each.layers is not None]
        if not known:
            return None
        return Layers(tuple(dict.fromkeys(name for each in known for name in each.names)), known[0].automatic)

    def regions(self, model: int, brushed: Sequence[Brushed]) -> list[Region]:
        """Return brushed regions on the pixels of their pictures, with these as they were given.

        Args:
            model: index of the model in whose maps they were brushed.
            brushed: the regions.

        Raises:
            BadField: a region is not of the size of the maps.
        """
        found = []
        for each in brushed:
            subject = self._subject_of(model, each["image"])
            mask = region_of(each, subject.picture, subject.placement)
            if mask is None:
                raise saliency.BadField(
                    f"The region {each['name']!r} was brushed in maps of another size, {each['shape']}: brush it again."
                )
            found.append(Region(each["name"], subject.image, mask, self.inputs.expressions["images"][each["image"]]))
        return found

    def _subject_of(self, model: int, image: int) -> Subject:
        """Return a model with a picture; one of a gallery that is not open is read for the caller alone."""
        inputs = self.inputs
        if (model, image) not in inputs.subjects and inputs.collection is not None:
            inputs = opened(inputs, image, inputs.collection.image(image), self.options)
        return inputs.subjects[model, image]

    @property
    def computed_methods(self) -> set[str]:
        """Ids of the methods that have results."""
        return {method for each in list(self._all.values()) for method, _ in list(each.results)}

    def packet(self, fields: Sequence[Message], picked: Picked) -> bytes:
        """Pack all pictures, predictions and results in full, the shown ones first.

        Args:
            fields: the `described` messages of the methods.
            picked: the current selection by hand: of the answers about brushed masks only those about it are packed.
        """
        pictures = sorted(self.inputs.pictures.values(), key=lambda each: each is not self.shown_picture)
        messages = [each.welcome() for each in pictures]
        for pair in self._in_order():
            messages += [self._prediction(pair), *(each for group in self._messages(pair, picked) for each in group)]
        return pack([*messages, *fields])

    def compact_packet(self, cells: Sequence[Cell], fields: Sequence[Message], picked: Picked) -> bytes:
        """Pack the shown result at one byte a value, and others that fit, those of the cells on the screen first.

        Returns:
            The packet; empty if nothing is computed for the shown model and image.
        """
        shown = self._shown().pair
        pairs = sorted({shown, *(cell.pair for cell in cells)}, key=lambda pair: (pair != shown, pair))
        first, *others = self._messages(shown, picked) or [[]]
        if not first:
            return b""
        others += [group for pair in pairs[1:] for group in self._messages(pair, picked)]
        others.sort(key=lambda group: _cell_of(group[0]) not in cells)
        images = list(dict.fromkeys(image for _, image in pairs))
        side = int(SMALL_SIDE / math.sqrt(len(images)))
        begin = [self.inputs.pictures[image].thumbnail(side) for image in images]
        begin += [self._prediction(pair) for pair in pairs]
        wanted = 1 + sum(_cell_of(group[0]) in cells for group in others)
        groups = [[*first, *fields], *others]
        results = [[each for each in group if not (_is_answer(each) or _has_pictures(each))] for group in groups]
        answers = [each for each in first if _is_answer(each)][: -SAVED_ANSWERS - 1 : -1]
        return compact_packet(begin, results, wanted, answers)

    def _prediction(self, pair: Pair) -> Message:
        return located(self._all[pair].prediction_message(), *pair)

    def _messages(self, pair: Pair, picked: Picked) -> list[list[Message]]:
        """Return the results of a model and an image, each followed by the what-if answers about it."""
        explainer = self._all[pair]
        groups = [[result.message, *explainer.what_if_requests.answers(result)] for result in explainer.in_order()]
        return [[located(each, *pair) for each in group if _reachable(each, picked)] for group in groups]

    def _in_order(self) -> list[Pair]:
        shown = self._shown().pair
        return sorted(self._all, key=lambda pair: pair != shown)

    def _listener(self, pair: Pair) -> Listener:
        def post(message: Message, *, answering: bool = False) -> None:
            self._post(located(message, *pair), answering=answering)

        def shown() -> Key | None:
            now = self._shown()
            return now.key if now.pair == pair else None

        def on_prediction(predictions: Sequence[saliency.Prediction]) -> None:
            now = self._shown()
            if now.target == TOP and now.pair == pair:
                self._on_prediction(predictions)

        def on_unsupported(method: str) -> None:
            if self._shown().model == pair[0]:
                self._on_unsupported(method)

        return Listener(post, shown, lambda: self._shown().target, on_prediction, self._on_result, on_unsupported)


def _is_answer(message: Message) -> bool:
    """Return whether a message is the answer about a selection; there may be hundreds of these."""
    return message.fields["op"] == "what_if"


def _has_pictures(message: Message) -> bool:
    """Return whether a message has training images, which are too large for a saved notebook."""
    return message.fields["op"] == "examples"


def _reachable(message: Message, picked: Picked) -> bool:
    """Return whether the request of an answer can be repeated: a brushed mask other than `picked` cannot."""
    selection = message.fields.get("asked", {}).get("picked", {})
    return "runs" not in selection or selection == picked


def _cell_of(result: Message) -> Cell:
    """Return the cell of a `result`."""
    fields = result.fields["result"]
    return Cell(*(fields[name] for name in Cell._fields))
