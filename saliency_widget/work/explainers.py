"""All that one widget has asked: an explainer for each model and image."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import saliency
from saliency_widget.pictures.drawing import View
from saliency_widget.pictures.selection import Picked
from saliency_widget.protocol.cells import Cell, Key, Pair
from saliency_widget.protocol.messages import Message, located, pack
from saliency_widget.protocol.requests import TOP
from saliency_widget.traits.parameters import Layers
from saliency_widget.work.explainer import Explainer
from saliency_widget.work.inputs import Asked, Cast, joined
from saliency_widget.work.picture import SMALL_SIDE, Exhibit, compact_packet
from saliency_widget.work.result_cache import Found
from saliency_widget.work.tasks import Listener, Post

MOST_IMAGES = 32
"""How many pictures there may be once some are added."""

ANSWERS_KEPT = 32
"""How many of the answers to selections notebooks are saved with at most, the latest."""


class Explainers(Mapping[Pair, Explainer]):
    """The explainers of a widget, by model and image.

    Args:
        cast: the models and the images.
        asked: how the models are to be asked, of images that are added too.
        post: sends to the browser.
        shown: what is on the screen.
        predicted: is told what the shown model sees in the shown image.
        found: is told that there is another result.
    """

    def __init__(
        self,
        cast: Cast,
        asked: Asked,
        post: Post,
        shown: Callable[[], Cell],
        predicted: Callable[[Sequence[saliency.Prediction]], None],
        found: Callable[[], None],
    ) -> None:
        self.cast, self.asked = cast, asked
        self._post, self._shown = post, shown
        self._on_predicted, self._on_found = predicted, found
        # encoded here, as whoever answers the browser has no time for it
        self.exhibit.png  # noqa: B018
        self._all = {pair: Explainer(subject, self._listener(pair)) for pair, subject in cast.subjects.items()}

    def __getitem__(self, pair: Pair) -> Explainer:
        return self._all[pair]

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def add(self, img: Any, name: str | None) -> Exhibit:
        """Take in another image, with the methods as they are set.

        Raises:
            SaliencyError: it cannot be read, or there are too many.
        """
        if len(self.cast.images) >= MOST_IMAGES:
            raise saliency.BadImage(f"There are {MOST_IMAGES} pictures already: make another widget.")
        self.cast = joined(self.cast, img, name, self.asked)
        for pair, subject in self.cast.subjects.items():
            if pair not in self._all:
                choices = self._all[pair[0], 0].choices
                self._all[pair] = Explainer(replace(subject, choices=choices), self._listener(pair))
        return self.cast.exhibits[-1]

    @property
    def shown(self) -> Explainer:
        """The one that is asked for what is on the screen."""
        return self._all[self._shown().pair]

    @property
    def shown_found(self) -> Found | None:
        """The result that is on the screen."""
        return self.shown.found.get(self._shown().key)

    @property
    def exhibit(self) -> Exhibit:
        """The image that is on the screen."""
        return self.cast.exhibits[self._shown().image]

    def greet(self, rid: str) -> None:
        """Send all there is: the shown image first."""
        shown = self._shown()
        self._post(self.exhibit.welcome(rid), answering=True)
        self.shown.greet(rid)
        for (model, image), explainer in self._all.items():
            if (model, image) != shown.pair:
                # a picture is sent once, by the thread of the first model
                news = model == 0 and image != shown.image
                explainer.greet("", self.cast.exhibits[image].welcome if news else None)

    def cancel(self, rid: str | None = None) -> bool:
        """Cancel the request `rid`, or all; False where there is none."""
        cancelled = [each.cancel(rid) for each in self._all.values()]
        return any(cancelled)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is waiting or running; False if that took longer than `timeout` seconds."""
        deadline = time.monotonic() + (math.inf if timeout is None else timeout)
        # what one model's thread ends with may be more work for another's
        while busy := [each for each in self._all.values() if not each.idle]:
            for each in busy:
                if not each.wait(None if timeout is None else max(deadline - time.monotonic(), 0)):
                    return False
        return True

    def configure(self, method_id: str, method: saliency.Method) -> None:
        """Offer a method with other fields."""
        for each in self._all.values():
            each.configure(method_id, method)

    def look(self) -> None:
        """Tell of results whose model has other weights by now."""
        for each in self._all.values():
            each.look()

    def close(self) -> None:
        """Cancel everything, and let go of the models."""
        for each in self._all.values():
            each.close()
        # what the models were asked about is held here too
        self.cast = self.cast._replace(subjects={})
        self.asked = self.asked._replace(preprocess=None, methods=None)

    def ask_ahead(self, view: View, fill: str, failed: Callable[[Exception], None]) -> None:
        """Have each result asked about; see :meth:`saliency_widget.work.what_if_requests.Enquiries.ahead`."""
        for each in self._all.values():
            each.enquiries.ahead(list(each.found.values()), view, fill, failed)

    @property
    def layers(self) -> Layers | None:
        """Those that any of the models is known to have; automatic is the first model's."""
        known = [each.layers for each in self._all.values() if each.layers is not None]
        if not known:
            return None
        return Layers(tuple(dict.fromkeys(name for each in known for name in each.names)), known[0].automatic)

    @property
    def methods(self) -> set[str]:
        """Those that anything was computed with."""
        return {method for each in self._all.values() for method, _ in list(each.found)}

    def packet(self, fields: Sequence[Message], picked: Picked) -> bytes:
        """Everything in full, what is shown first.

        Args:
            fields: what is told of the methods.
            picked: now; of answers to what was brushed only those to this can ever be looked up.
        """
        welcomes = [each.welcome() for each in sorted(self.cast.exhibits, key=lambda each: each is not self.exhibit)]
        told: list[Message] = []
        for pair in self._in_order():
            told += [self._prediction(pair), *(each for group in self._told(pair, picked) for each in group)]
        return pack([*welcomes, *told, *fields])

    def compact_packet(self, cells: Sequence[Cell], fields: Sequence[Message], picked: Picked) -> bytes:
        """The shown result at one byte a pixel, and others while there is room: of the cells on the screen first.

        Empty where nothing is computed of the shown model and image.
        """
        shown = self._shown().pair
        pairs = sorted({shown, *(cell.pair for cell in cells)}, key=lambda pair: (pair != shown, pair))
        first, *others = self._told(shown, picked) or [[]]
        if not first:
            return b""
        others += [group for pair in pairs[1:] for group in self._told(pair, picked)]
        others.sort(key=lambda group: _about(group[0]) not in cells)
        images = list(dict.fromkeys(image for _, image in pairs))
        side = int(SMALL_SIDE / math.sqrt(len(images)))
        begin = [self.cast.exhibits[image].thumbnail(side) for image in images]
        begin += [self._prediction(pair) for pair in pairs]
        wanted = 1 + sum(_about(group[0]) in cells for group in others)
        results = [[each for each in group if not _is_answer(each)] for group in [[*first, *fields], *others]]
        answers = [each for each in first if _is_answer(each)][: -ANSWERS_KEPT - 1 : -1]
        return compact_packet(begin, results, wanted, answers)

    def _prediction(self, pair: Pair) -> Message:
        return located(self._all[pair].prediction_message(), *pair)

    def _told(self, pair: Pair, picked: Picked) -> list[list[Message]]:
        """What there is of a model and an image: each result with what the model has said when asked about it."""
        explainer = self._all[pair]
        groups = [[found.message, *explainer.enquiries.about(found)] for found in explainer.in_order()]
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

        def predicted(predictions: Sequence[saliency.Prediction]) -> None:
            now = self._shown()
            if now.target == TOP and now.pair == pair:
                self._on_predicted(predictions)

        return Listener(post, shown, lambda: self._shown().target, predicted, self._on_found)


def _is_answer(told: Message) -> bool:
    """Whether it is what the model said to a selection: of these there may be hundreds."""
    return told.fields["op"] == "what_if"


def _reachable(told: Message, picked: Picked) -> bool:
    """Whether the question that a message answers can come up again: a stroke of the brush does not."""
    asked = told.fields.get("asked", {}).get("picked", {})
    return "runs" not in asked or asked == picked


def _about(result: Message) -> Cell:
    """The cell of a `result`."""
    told = result.fields["result"]
    return Cell(*(told[name] for name in Cell._fields))
