"""Masks that were stored, in a gallery: their thumbnails, maps and index, with a model or without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

import saliency
from saliency_widget.pictures import drawing
from saliency_widget.pictures.placement import Placement, Placing, find_placement
from saliency_widget.protocol.cells import Cell, Key
from saliency_widget.protocol.gallery import Item, items_message, order_message
from saliency_widget.protocol.messages import readable, result_message
from saliency_widget.protocol.requests import InvalidRequest, Request
from saliency_widget.traits.methods import offered_alone
from saliency_widget.work.collection import UNKNOWN, Collection
from saliency_widget.work.explainer import Explainer
from saliency_widget.work.explainers import Explainers, Opening
from saliency_widget.work.gallery import QUALITY, SIDE, Gallery, keep, parts
from saliency_widget.work.inputs import Inputs
from saliency_widget.work.jobs import Job
from saliency_widget.work.options import Options
from saliency_widget.work.picture import ShownPicture
from saliency_widget.work.predicted import ranks
from saliency_widget.work.result_cache import Result
from saliency_widget.work.subject import Subject
from saliency_widget.work.tasks import Listener, Post, Task

NO_MODEL = (
    "These masks were opened without a model: pass model=… to SaliencyWidget.from_masks to compute something new."
)

BLANK = 224
"""Side in pixels of the grey picture under masks whose pictures were not passed."""

COLUMNS = {
    "probability": "Score",
    "prediction": "Predicted class",
    "label": "Explained class",
    "score": "Explained score",
    "gap": "Completeness error",
    "seconds": "Time",
    "evidence": "Evidence",
}
"""Columns of the index that pictures are sorted by, with their names in the gallery."""

SHOWS = {
    "all": "All pictures",
    "differs": "Explained another class",
    "supported": "Map supported",
    "not supported": "Map not supported",
    "undecided": "Map undecided",
    "error": "Not explained",
}
"""What pictures are filtered by, with its name in the gallery."""

EACH = 4
"""Number of maps in a message: drawing one takes about as long as reading its picture."""

NEAREST = 60
"""Number of pictures that are listed as nearest."""


class StoredMasks:
    """Masks with the rows of their index, which are read once for each method.

    Args:
        masks: the masks.
    """

    def __init__(self, masks: saliency.Masks) -> None:
        self.masks = masks
        self._rows: dict[str, dict[int, Mapping[str, Any]]] = {}

    def rows(self, method: str) -> Mapping[int, Mapping[str, Any]]:
        """Return the rows of the index for a method, by the index of the picture."""
        if method not in self._rows:
            self._rows[method] = {each["image"]: each for each in self.masks.rows(method)}
        return self._rows[method]

    @cached_property
    def names(self) -> list[str]:
        """The names of the pictures."""
        known = {i: readable(row["id"]) for i, row in self.rows(self.masks.methods[0]).items()}
        names = [known.get(i, str(i)) for i in range(len(self.masks))]
        return [f"image {name}" if name.isdecimal() else name for name in names]

    def explanation(self, index: int, method: str) -> saliency.Explanation | None:
        """Return a stored explanation; None for a picture that was not explained."""
        row = self.rows(method).get(index)
        if row is None or row["error"] is not None:
            return None
        found = self.masks.explanation(index, method)
        return found if found.mask.ndim in (2, 3) else None


@dataclass(frozen=True)
class StoredSubject(Subject):
    """A picture whose masks were stored, without a model."""

    def prepared(self) -> saliency.Prepared:
        """Raise, as there is no model.

        Raises:
            Unsupported: always.
        """
        raise saliency.Unsupported(NO_MODEL)


class StoredExplainer(Explainer):
    """Gives the stored explanations of one picture.

    Args:
        subject: the picture; its model is a :class:`StoredMasks`.
        listener: receives messages.
        index: index of the picture.
    """

    def __init__(self, subject: Subject, listener: Listener, index: int) -> None:
        super().__init__(subject, listener)
        stored: StoredMasks = subject.model
        for method in stored.masks.methods:
            if (found := stored.explanation(index, method)) is None:
                continue
            target = found.target if isinstance(found.target, int) else 0
            found.target = target
            offered = self.methods[method]
            sent = result_message(found, method, offered.method, _placed(found, subject.placing))
            # what would improve a map needs the model
            sent = sent.but(result={**sent.fields["result"], "concern": None})
            self.results[method, target] = Result(found, sent, None, offered.method.key())
            row = stored.rows(method)[index]
            if all(each.index != target for each in self.predictions):
                probability = row["probability"] if row["prediction"] == row["label"] else None
                self.predictions.append(saliency.Prediction(target, found.label, probability, float(found.score)))

    def send_state(self, rid: str, picture: Callable[[], Any] | None = None) -> None:
        """Send the picture and the stored results."""
        if picture is not None:
            self._listener.post(picture())
        self._listener.post(self.prediction_message())
        for result in self.in_order():
            self._listener.post(result.message)

    def check_weights(self) -> None:
        """Do nothing: there are no weights."""

    def post_timing(self, answering: bool = False) -> None:
        """Do nothing: nothing is computed."""

    def compute(self, key: Key, rid: str = "") -> Task:
        """Return a stored explanation as a task that has ended, or one that failed."""
        self._listener.post(self.prediction_message())
        task = Task(self.resolved(key), rid)
        self._end(task, self.results.get(task.key) or saliency.Unsupported(NO_MODEL))
        return task


def _placed(found: saliency.Explanation, placing: Placing) -> Placement:
    fed = found.mask.shape[0], found.mask.shape[1]
    whole = (found.picture.shape[0], found.picture.shape[1]) if found.picture.size else fed
    return find_placement(found.placement, fed, whole, placing.shown)


class StoredImages(NamedTuple):
    """The images of a widget over stored masks."""

    stored: StoredMasks
    images: Any
    """As they were explained; None without."""

    def collection(self, labels: Sequence[str] | None, truth: Any) -> Collection:
        """Return the pictures, or as many grey ones as there are masks.

        Args:
            labels: names of the classes; by default those of the index.
            truth: the class of each picture, or None.

        Raises:
            SaliencyError: `truth` does not fit.
        """
        stored = self.stored
        source = None if self.images is None else saliency.collection(self.images)
        grey = np.full((BLANK, BLANK, 3), 128, np.uint8)

        def at(index: int) -> tuple[Any, Any]:
            if source is None:
                return grey, None
            assert source.at is not None
            return source.at(index)[0], None

        collection = Collection(stored.names, at)
        if labels is None:
            given = truth.tolist() if hasattr(truth, "tolist") else truth
            if isinstance(given, list | tuple) and any(isinstance(each, int) for each in given):
                raise saliency.BadTarget("truth has indices of classes, and the labels are not known: pass labels=[…].")
            rows = stored.rows(stored.masks.methods[0]).values()
            classes = {str(row[name]) for row in rows for name in ("label", "prediction") if row[name]}
            labels = sorted({*classes, *(each for each in given or () if isinstance(each, str))})
        collection.judge(labels, truth)
        return collection

    def script(self, cell: Cell) -> str:
        """Return a script that reads and draws a stored map."""
        images = "" if self.images is None else ", images"
        return (
            "import matplotlib.pyplot as plt\n\nimport saliency\n\n"
            f"masks = saliency.open_masks({str(self.stored.masks.path)!r}{images})\n"
            f"found = masks.explanation({cell.image}, {cell.method!r})\n"
            "found.plot()\nplt.show()\n"
        )

    def opening(self, options: Options) -> Opening:
        """Return how a picture is opened without a model."""
        return Opening(
            lambda inputs, at, image: stored_opened(inputs, at, image, self.stored, options),
            StoredExplainer,
        )

    def inputs(self, options: Options, truth: Any, shown: int | None) -> Inputs:
        """Return the inputs of a widget without a model; see :func:`stored_inputs`."""
        collection = self.collection(options.labels, truth)
        index = shown if shown is None else saliency.checks.whole(shown, "image_index", 0, len(collection) - 1)
        return stored_inputs(self.stored, collection, options.labels, index, options)


def stored_inputs(
    stored: StoredMasks, collection: Collection, labels: Sequence[str] | None, shown: int | None, options: Options
) -> Inputs:
    """Return the inputs of a widget without a model.

    Args:
        stored: the masks.
        collection: their pictures.
        labels: names of the classes, if they were passed.
        shown: index of the picture that is opened first; by default the first that was explained.
        options: the arguments of the widget.
    """
    masks = stored.masks
    rows = stored.rows(masks.methods[0])
    readable_ = (i for i, row in rows.items() if row["error"] is None)
    first = next(readable_, 0) if shown is None else shown
    methods = [offered_alone(each, _instance(stored, each)) for each in masks.methods]
    empty = Inputs(
        models=(str(masks.manifest.get("model", {}).get("name", "Stored masks")),),
        images=tuple(collection.names),
        labels=labels,
        methods=methods,
        pictures={},
        subjects={},
        placings={},
        shape=(1, BLANK, BLANK, 3),
        spec={
            "version": 2,
            "methods": [each.spec((1, BLANK, BLANK, 3), [""]) for each in methods],
            "models": [],
            "notes": [],
            "stored": True,
        },
        expressions={"models": ["model"], "images": []},
        collection=collection,
    )
    named = empty._replace(spec={**empty.spec, "models": list(empty.models)})
    return stored_opened(named, first, collection.image(first), stored, options)


def stored_opened(before: Inputs, at: int, image: Any, stored: StoredMasks, options: Options) -> Inputs:
    """Return inputs with one of their pictures read."""
    picture = saliency.read(image)
    shown = ShownPicture(picture.shown, at)
    placing = Placing(picture, shown.size)
    methods = {each.id: each for each in before.methods}
    subject = StoredSubject(stored, picture, methods, placing, options, None)
    return before._replace(
        pictures={**before.pictures, at: shown},
        subjects={**before.subjects, (0, at): subject},
        placings={**before.placings, (0, at): placing},
    )


def _instance(stored: StoredMasks, method: str) -> saliency.Method:
    """Return the method of a mask that was stored, or one with default fields if the index does not tell."""
    for index, row in stored.rows(method).items():
        if row["error"] is None:
            found = stored.masks.explanation(index, method).instance
            if found is not None:
                return found
            break
    known = {each.id: each.cls for each in saliency.methods()}
    return known[method]() if method in known else saliency.GradientSaliency()


class StoredGallery(Gallery):
    """A gallery over stored masks: maps and numbers are read, and nothing is computed.

    Args:
        images: the masks and their pictures.
        collection: the pictures.
        explainers: the explainers of the pictures that are open.
        post: sends a message to the browser.
        view: returns how maps are drawn.
    """

    def __init__(
        self,
        images: StoredImages,
        collection: Collection,
        explainers: Explainers,
        post: Post,
        view: Callable[[], drawing.View],
    ) -> None:
        super().__init__(collection, explainers, post, view)
        self._stored, self._with_images = images.stored, images.images is not None

    @property
    def spec(self) -> dict[str, Any]:
        """The entry `gallery` of the trait `spec`."""
        rows = list(self._stored.rows(self._default).values())
        filled = [name for name in COLUMNS if any(row.get(name) is not None for row in rows)]
        evidence = {row.get("evidence") for row in rows}
        shows = [key for key in SHOWS if key in ("all", "differs", "error") or key in evidence]
        return {
            "count": len(self._collection),
            "truth": self._collection.has_truth,
            "sorts": [["image", "Original order"], ["id", "Name"], *([name, COLUMNS[name]] for name in filled)],
            "shows": [[key, SHOWS[key]] for key in shows],
            "nearest": True,
        }

    @property
    def _default(self) -> str:
        return self._stored.masks.methods[0]

    def _method(self, request: Request) -> str:
        """Return the stored method whose maps are shown."""
        return request.method if request.method in self._stored.masks.methods else self._default

    def check_weights(self) -> None:
        """Do nothing: predictions are those of the index."""

    def thumbnail(self, index: int) -> bytes:
        """Return a picture as a small JPEG file, or its map alone; empty if it cannot be read."""
        if self._with_images:
            return super().thumbnail(index)
        return self._map(index, self._default)

    def _complete(self, request: Request, images: Sequence[int], job: Job) -> bool:
        method = self._method(request)
        for part in parts(images if request.method else [], EACH):
            if job.cancelled.is_set():
                raise saliency.Cancelled("The maps are no longer seen.")
            items = [self._item(i, request, self._map(i, method), mapped=True) for i in part]
            if drawn := [each for each in items if each.picture]:
                self._post(items_message(drawn, request.model, request.method))
        return True

    def _map(self, index: int, method: str) -> bytes:
        if (index, method) not in self._maps:
            drawn = self._stored.masks.overlay(index, method, SIDE) if index in self._stored.rows(method) else None
            file = b"" if drawn is None else drawing.encoded(Image.fromarray(drawn), "JPEG", quality=QUALITY)
            keep(self._maps, (index, method), file)
        return self._maps[index, method]

    def _item(self, index: int, request: Request, picture: bytes = b"", mapped: bool = False) -> Item:
        row: Mapping[str, Any] = self._stored.rows(self._method(request)).get(index, {})
        truth = int(self._collection.truth[index])
        true = "" if truth == UNKNOWN else self._collection.label(truth)
        prediction = str(row.get("prediction") or row.get("label") or "")
        return Item(
            index,
            self._collection.names[index],
            picture,
            mapped,
            prediction,
            row.get("probability") if row.get("probability") is not None else row.get("score"),
            row.get("probability") is not None,
            true,
            None if not true or not prediction else true == prediction,
            self._unreadable.get(index) or row.get("error") or "",
        )

    def _order(self, request: Request) -> Any:
        wanted, method = request.order, self._method(request)
        rows = self._stored.rows(method)
        if wanted["near"] is not None:
            near = self._stored.masks.nearest(wanted["near"], method, NEAREST)
            order = np.array([wanted["near"], *(each.image for each in near)])
            return order_message(order, request.rid, predicted=len(self._collection), right=0, wrong=0)
        if wanted["show"] not in SHOWS or wanted["sort"] not in ("image", "id", *COLUMNS):
            raise InvalidRequest(f"expected a known sort and show, got {wanted['sort']!r}, {wanted['show']!r}")
        text = request.query.strip().casefold()
        found = [i for i, row in rows.items() if _shows(row, wanted["show"]) and _has(row, text)]
        values = [i if wanted["sort"] == "image" else rows[i][wanted["sort"]] for i in found]
        known = [(value, i) for value, i in zip(values, found, strict=True) if value is not None]
        keys = [value for value, _ in known]
        texts = any(isinstance(each, str) for each in keys)
        numbers = ranks([str(each) for each in keys]) if texts else np.array(keys, float)
        order = np.argsort(-numbers if wanted["descending"] else numbers, kind="stable").tolist()
        listed = [known[i][1] for i in order] + [i for value, i in zip(values, found, strict=True) if value is None]
        count = len(self._collection)
        return order_message(np.array(listed, np.int64), request.rid, predicted=count, right=0, wrong=0)


def _shows(row: Mapping[str, Any], show: str) -> bool:
    match show:
        case "all":
            return True
        case "error":
            return row["error"] is not None
        case "differs":
            return row["error"] is None and row["prediction"] != row["label"]
    return bool(row.get("evidence") == show)


def _has(row: Mapping[str, Any], text: str) -> bool:
    return not text or any(text in str(row[name] or "").casefold() for name in ("id", "label", "prediction"))
