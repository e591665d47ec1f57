"""The gallery of a widget with many pictures: thumbnails, predictions and maps of the pictures that are seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from PIL import Image

import saliency
from saliency_widget.pictures import drawing
from saliency_widget.pictures.drawing import Shown, View
from saliency_widget.pictures.placement import find_placement
from saliency_widget.protocol.gallery import Item, items_message, order_message
from saliency_widget.protocol.messages import maps_in, message, result_message
from saliency_widget.protocol.requests import InvalidRequest, Request
from saliency_widget.traits.methods import OfferedMethod
from saliency_widget.work.collection import UNKNOWN, Collection
from saliency_widget.work.explainers import Explainers
from saliency_widget.work.jobs import Job
from saliency_widget.work.predicted import OF_TRUTH, SHOWS, SORTS, Predicted, ordered
from saliency_widget.work.queue import LAST, LATER, NOW, JobQueue
from saliency_widget.work.tasks import Post, as_exception, error_message

SIDE, QUALITY = 192, 78
"""Longest side of a thumbnail in pixels, and the quality of its JPEG file: about 6 kB."""

KEPT = 1000
"""Number of thumbnails, and of maps, that are kept."""

TOGETHER = 12
"""Number of thumbnails in a message, and of pictures that are predicted or explained between two other jobs."""

STILL = 24
"""Number of thumbnails in a saved page, the first of the gallery: at most 300 kB."""

STILL_BYTES = 12_000
"""Maximum size of each of them in bytes; a larger one is left out."""


class Gallery:
    """The pictures of a widget that has many. What is seen is computed first, and what is not seen only on request.

    Thumbnails are read on a thread of their own; predictions and maps are computed on the model's thread.

    Args:
        collection: the pictures.
        explainers: the explainers of the pictures that are open.
        post: sends a message to the browser.
        view: returns how maps are drawn.
    """

    def __init__(self, collection: Collection, explainers: Explainers, post: Post, view: Callable[[], View]) -> None:
        self._collection, self._explainers, self._post, self._view = collection, explainers, post, view
        self._reading = JobQueue(collection)
        self._models: dict[int, tuple[JobQueue, Any]] = {}
        """By the index of the model: its thread, and the model, which the thread's user must hold."""
        self._predicted = [Predicted(len(collection)) for _ in explainers.inputs.models]
        self._thumbnails: dict[int, bytes] = {}
        self._maps: dict[Any, bytes] = {}
        self._unreadable: dict[int, str] = {}
        self._open: dict[str, tuple[JobQueue, Job]] = {}

    @property
    def spec(self) -> dict[str, Any]:
        """The entry `gallery` of the trait `spec`."""
        collection = self._collection
        truth = collection.has_truth
        return {
            "count": len(collection),
            "truth": truth,
            "sorts": [[key, name] for key, name in SORTS.items() if truth or key not in OF_TRUTH],
            "shows": [[key, name] for key, name in SHOWS.items() if truth or key not in OF_TRUTH],
        }

    def handle(self, request: Request) -> None:
        """Handle an `items`, an `order` or a `predict` within milliseconds."""
        match request.op:
            case "items":
                self._enqueue(self._reading, request.rid, NOW, lambda job: self._send_items(request, job))
            case "order":
                self._post(self._order(request), answering=True)
            case "predict":
                queue = self._queue(request.model)
                self._enqueue(queue, request.rid, LAST, lambda job: self._predict_all(request, job))

    def cancel(self, rid: str | None = None) -> bool:
        """Cancel the request `rid`, or all. Return False if there is none."""
        found = [each for each in list(self._open) if rid in (None, each)]
        for each in found:
            if (entry := self._open.get(each)) is not None and entry[0].withdraw(entry[1]):
                self._open.pop(each, None)
                self._post(message("cancelled", each))
        return bool(found)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no request is open. Return False if that took longer than `timeout` seconds."""
        # a job of the reading thread enqueues one on the model's
        while self._open:
            queues = [self._reading, *(queue for queue, _ in list(self._models.values()))]
            if not all(each.wait(timeout) for each in queues):
                return False
        return True

    def close(self) -> None:
        """Cancel all requests, and release the models."""
        self.cancel()
        self._reading.close()
        for queue, _ in self._models.values():
            queue.close()
        self._models.clear()

    def check_weights(self) -> None:
        """Forget the predictions of weights that have changed since; what is seen is requested again."""
        for model, predicted in enumerate(self._predicted):
            if predicted.version is not None:
                self._enqueue(self._queue(model), f"weights:{model}", LATER, partial(self._check, model))

    def _check(self, model: int, _job: Job) -> None:
        if self._adapted(model).version != self._predicted[model].version:
            self._predicted[model] = Predicted(len(self._collection))
            self._maps.clear()
            self._post(items_message([], model, ""))

    # the thread that reads

    def _send_items(self, request: Request, job: Job) -> None:
        """Send the thumbnails that were requested, then what the model has to compute for them."""
        for part in parts(request.images):
            if job.cancelled.is_set():
                raise saliency.Cancelled("The pictures are no longer seen.")
            items = [self._item(i, request, self.thumbnail(i)) for i in part]
            self._post(items_message(items, request.model, request.method, request.rid))
        if self._complete(request, [i for i in request.images if i not in self._unreadable], job):
            self._post(message("done", request.rid))

    def _complete(self, request: Request, readable: Sequence[int], _job: Job) -> bool:
        """Send what else is known of pictures; return False if the model is still computing some of it."""
        predicted = self._predictions(request.model)
        unmapped = [i for i in readable if request.method and self._map_key(i, request) not in self._maps]
        for part in parts([i for i in readable if request.method and i not in unmapped]):
            self._send_maps(part, request)
        if not unmapped and not predicted.missing(readable):
            return True

        def compute(on_model: Job) -> None:
            self._predict(predicted.missing(readable), request, on_model)
            self._explain(unmapped, request, on_model)
            self._post(message("done", request.rid))

        self._enqueue(self._queue(request.model), request.rid, LATER, compute)
        return False

    def thumbnail(self, index: int) -> bytes:
        """Return a picture as a small JPEG file; empty if it cannot be read."""
        if index not in self._thumbnails and index not in self._unreadable:
            try:
                small = Image.fromarray(saliency.thumbnail(self._collection.image(index), SIDE))
                keep(self._thumbnails, index, drawing.encoded(small, "JPEG", quality=QUALITY))
            except Exception as error:  # noqa: BLE001  # whatever the user's collection raises
                self._unreadable[index] = str(error) or type(error).__name__
        return self._thumbnails.get(index, b"")

    def _item(self, index: int, request: Request, picture: bytes = b"", mapped: bool = False) -> Item:
        predicted, truth = self._predictions(request.model), int(self._collection.truth[index])
        best = int(predicted.index[index])
        known = best != UNKNOWN
        return Item(
            index,
            self._collection.names[index],
            picture,
            mapped,
            self._label(best, predicted) if known else "",
            float(predicted.score[index]) if known else None,
            predicted.percent,
            "" if truth == UNKNOWN else self._label(truth, predicted),
            best == truth if known and truth != UNKNOWN else None,
            self._unreadable.get(index) or predicted.errors.get(index, ""),
        )

    def _label(self, index: int, predicted: Predicted) -> str:
        return predicted.labels[index] if index in predicted.labels else self._collection.label(index)

    def _order(self, request: Request) -> Any:
        wanted = request.order
        if wanted["sort"] not in SORTS or wanted["show"] not in SHOWS:
            raise InvalidRequest(f"expected a known sort and show, got {wanted['sort']!r}, {wanted['show']!r}")
        predicted = self._predictions(request.model)
        for i, why in self._unreadable.items():
            predicted.errors.setdefault(i, why)
        verdicts = self._verdicts(request)
        order = ordered(
            wanted, request.query, self._collection, predicted, lambda i: self._label(i, predicted), verdicts
        )
        right = predicted.right(self._collection)
        return order_message(
            order, request.rid, predicted=predicted.done, right=int((right == 1).sum()), wrong=int((right == 0).sum())
        )

    def _verdicts(self, request: Request) -> dict[int, saliency.Verdict]:
        """Return the verdicts on maps of the method that were measured, by the index of the picture."""
        found = {}
        for (model, image), explainer in list(self._explainers.items()):
            for (method, _), result in list(explainer.results.items()):
                verdict = explainer.what_if_requests.verdict(result) if model == request.model else None
                if verdict is not None and method == request.method:
                    found[image] = verdict
        return found

    # the model's thread

    def _predict_all(self, request: Request, job: Job) -> None:
        predicted = self._predictions(request.model)
        total = len(predicted)
        while missing := predicted.missing()[:TOGETHER]:
            self._predict(missing, request, job)
            self._post(message("progress", request.rid, done=predicted.done, total=total, seconds_left=None))
        self._post(message("done", request.rid))

    def _predict(self, images: Sequence[int], request: Request, job: Job) -> None:
        """Predict pictures and send what was found. Raises Cancelled."""
        predicted = self._predictions(request.model)
        for part in parts(images):
            adapted = self._adapted(request.model)
            predicted.version = adapted.version
            found = saliency.predict_each(
                adapted, _Part(self._collection, part), 1, errors="yield", **self._how(request, job)
            )
            for i, each in zip(part, found, strict=True):
                predicted.add(i, each)
            self._post(items_message([self._item(i, request) for i in part], request.model, ""))

    def _explain(self, images: Sequence[int], request: Request, job: Job) -> None:
        """Explain the top class of pictures, and send the maps. Raises Cancelled."""
        for part in parts(images):
            adapted = self._adapted(request.model)
            method = self._offered(request).method
            found = saliency.explain_each(
                adapted,
                _Part(self._collection, part),
                method,
                errors="yield",
                **self._how(request, job),
            )
            for i, each in zip(part, found, strict=True):
                if not isinstance(each, Exception):
                    keep(self._maps, self._map_key(i, request), self._drawn(i, each, request))
            self._send_maps(part, request)

    def _how(self, request: Request, job: Job) -> dict[str, Any]:
        """Return the arguments of a call for several pictures, which gives way to more urgent jobs."""
        options, queue = self._explainers.options, self._queue(request.model)
        given = options.preprocess
        preprocess = given[request.model] if isinstance(given, list | tuple) else given
        return {
            "preprocess": preprocess,
            "batch_size": options.batch_size,
            "cancelled": lambda: queue.interrupted(job),
        }

    def _drawn(self, index: int, explanation: saliency.Explanation, request: Request) -> bytes:
        """Return a map on its picture as a small JPEG file."""
        picture = drawing.shrunk(explanation.picture, SIDE)
        size = picture.shape[0], picture.shape[1]
        whole = explanation.picture.shape[0], explanation.picture.shape[1]
        fed = explanation.mask.shape[0], explanation.mask.shape[1]
        placement = find_placement(explanation.placement, fed, whole, size)
        offered = self._offered(request)
        maps = result_message(explanation, offered.id, offered.method, placement)
        shown = Shown(maps_in(maps), explanation.sign, None, placement.rectangle)
        image = drawing.draw(picture, shown, self._view()._replace(mode="heat", picked={}, contours=False), size[1])
        return drawing.encoded(image, "JPEG", quality=QUALITY)

    def _send_maps(self, images: Sequence[int], request: Request) -> None:
        found = [(i, self._maps.get(self._map_key(i, request), b"")) for i in images]
        items = [self._item(i, request, each, bool(each)) for i, each in found]
        self._post(items_message(items, request.model, request.method))

    def _map_key(self, index: int, request: Request) -> Any:
        return index, request.model, self._offered(request).method.key(), self._view().colormap

    def _offered(self, request: Request) -> OfferedMethod:
        return self._explainers.any_of(request.model).methods[request.method]

    def _adapted(self, model: int) -> Any:
        return self._explainers.subject(model).prepared().adapted

    def _predictions(self, model: int) -> Predicted:
        found = self._predicted[model]
        if len(found) < len(self._collection):
            found.grow(len(self._collection))
        return found

    # jobs

    def _queue(self, model: int) -> JobQueue:
        if model not in self._models:
            subject = self._explainers.subject(model)
            self._models[model] = JobQueue(subject.model), subject.model
        return self._models[model][0]

    def _enqueue(self, queue: JobQueue, rid: str, urgency: int, run: Callable[[Job], None]) -> None:
        """Enqueue the work of a request, which `rid` can cancel."""

        def run_and_report() -> None:
            try:
                run(job)
            except saliency.Cancelled:
                self._post(message("cancelled", rid))
            except BaseException as error:  # noqa: BLE001  # the thread must survive whatever a model raises
                self._post(error_message(rid, as_exception(error)))
            finally:
                if self._open.get(rid) == (queue, job):
                    del self._open[rid]

        job = queue.create(run_and_report, urgency)
        self._open[rid] = queue, job
        queue.submit(job)

    def still(self) -> list[Item]:
        """Return the first pictures, for a saved page: at most :data:`STILL`."""
        request = Request("items", "")
        found = [self._item(i, request, self.thumbnail(i)) for i in range(min(STILL, len(self._collection)))]
        return [each if len(each.picture) <= STILL_BYTES else each._replace(picture=b"") for each in found]


class _Part:
    """Some pictures of a collection, as a collection."""

    def __init__(self, collection: Collection, images: Sequence[int]) -> None:
        self._collection, self._images = collection, images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Any:
        return self._collection.image(self._images[index])


def parts(images: Sequence[int], most: int | None = None) -> Iterator[Sequence[int]]:
    """Yield consecutive parts of a list, of at most `most` or :data:`TOGETHER` items."""
    step = TOGETHER if most is None else most
    for start in range(0, len(images), step):
        yield images[start : start + step]


def keep(cache: dict[Any, bytes], key: Any, value: bytes) -> None:
    """Add an entry to a cache; the oldest is dropped for it."""
    cache[key] = value
    while len(cache) > KEPT:
        cache.pop(next(iter(cache)), None)
