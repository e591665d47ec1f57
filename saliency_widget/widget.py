"""The widget: its traits, what Python may ask of it, and what the browser may."""

from __future__ import annotations

import base64
import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, overload

import anywidget
import numpy as np
import traitlets

import saliency
from saliency_widget import drawing, export
from saliency_widget.choices import Named, choose, first_available
from saliency_widget.commands import TOP, Refused, Request, index_of, parse
from saliency_widget.exhibit import PICTURE_SIDE, Exhibit
from saliency_widget.explainer import Explainer, Found, Subject
from saliency_widget.outbox import Outbox
from saliency_widget.parameters import Controls
from saliency_widget.picked import PickedTrait, of_mask
from saliency_widget.place import find_place
from saliency_widget.tasks import Key, Listener, error_message
from saliency_widget.traits import COLORMAPS, FILLS, MODES, SIGNS, Number, OneOf, Whole
from saliency_widget.wire import message

logger = logging.getLogger(__name__.partition(".")[0])

STATIC = Path(__file__).with_name("static")
SETTINGS = (
    "method",
    "target",
    "mode",
    "sign",
    "keep",
    "threshold",
    "opacity",
    "colormap",
    "region",
    "picked",
    "fill",
    "live",
)
"""The traits that the browser may write."""

PATIENCE = 1.0
"""Seconds that the model's thread waits for whoever is changing traits: an observer may be waiting for it."""


def built(name: str) -> str:
    """A file of the front end.

    As text: of a path anywidget watches the contents, and holds every widget that shows them for ever.
    """
    path = STATIC / name
    if not path.is_file():
        raise FileNotFoundError(
            f"The front end is not built: saliency_widget/static/{name} is missing. In a checkout run "
            "`npm ci && npm run build` (Node.js 20 or newer); released wheels carry it."
        )
    return path.read_text(encoding="utf-8")


class SaliencyWidget(anywidget.AnyWidget):
    """See why a vision model decided, in a notebook.

    Returns at once: the image is read, and nothing is computed before the browser or :meth:`compute` asks.

    Args:
        model: what :func:`saliency.explain` takes.
        img: picture, path, array or tensor, see :func:`saliency.explain`; or what :func:`saliency.read` gave.
        methods: ids, methods as values, or classes; None for a list that suits most models.
        target: index or label of the class explained; None for the one the model finds most likely.
        labels: names of the classes.
        preprocess: from the image to what the model is fed.
        layer: for the methods that read one.
        baseline: for the methods that have one.
        batch_size: images a question; "auto" measures.
        activation: from the model's outputs to probabilities, see :func:`saliency.predict`.
        **initial_traits: `method`, `mode`, `sign`, `keep`, `threshold`, `opacity`, `colormap`, `region`, `layout`, ….

    Raises:
        SaliencyError: the image cannot be read, the model is none, a method, field or label is unknown.
    """

    _esm = built("widget.js")
    _css = built("widget.css")

    spec = traitlets.Dict().tag(sync=True)
    method = traitlets.Unicode().tag(sync=True)
    target = Whole(TOP, low=TOP)
    mode = OneOf("area", *(each for each in MODES if each != "area"))
    sign = OneOf(*SIGNS)
    keep = Number(30.0, 0, 100)
    threshold = Number(0.0, 0, 100)
    opacity = Number(0.7, 0, 1)
    colormap = OneOf(*COLORMAPS)
    region = Whole(0, low=0)
    picked = PickedTrait()
    fill = OneOf(*FILLS)
    live = traitlets.Bool(False).tag(sync=True)
    parameters = traitlets.Dict().tag(sync=True)
    _snapshot = traitlets.Bytes().tag(sync=True, echo_update=False)

    _explainer: Explainer | None = None

    def __init__(
        self,
        model: Any,
        img: Any,
        methods: Iterable[Named] | None = None,
        target: int | str | None = None,
        *,
        labels: Sequence[str] | None = None,
        preprocess: Callable[..., Any] | None = None,
        layer: str | None = None,
        baseline: Any = None,
        batch_size: int | str = "auto",
        activation: str = "auto",
        **initial_traits: Any,
    ) -> None:
        for name in initial_traits:
            if name.startswith("_") or name == "spec" or not self.has_trait(name):
                raise TypeError(f"SaliencyWidget has no {name!r}; there is: {', '.join(SETTINGS)}, layout.")
        read_already = isinstance(img, saliency.Picture)
        # a function that uses a framework is asked once whose arrays it takes; no other model is asked here
        adapted = saliency.adapt(
            model, labels=labels, image=lambda: (img if read_already else saliency.read(img, preprocess)).fed
        )
        picture = img if read_already else saliency.read(img, preprocess, channels_first=adapted.channels_first)
        if layer is not None:
            # refuses a name the model does not have
            adapted.at([0], [layer])
        fields = {name: value for name, value in {"layer": layer, "baseline": baseline}.items() if value is not None}
        choices = choose(methods, adapted, picture, fields)
        self._labels = adapted.labels
        small = drawing.shrunk(picture.shown, PICTURE_SIDE)
        place = find_place(picture.placement, picture.fed.shape[1:3], picture.shown.shape[:2], small.shape[:2])
        self._exhibit = Exhibit(small, place)
        name = getattr(model, "__name__", type(model).__name__)
        spec = {
            "version": 1,
            "title": f"Why {name} decides",
            "methods": [each.spec(picture.fed.shape) for each in choices],
            "size": list(small.shape[:2]),
            "place": list(place.rectangle),
            "notes": list(dict.fromkeys([*picture.notes, *adapted.notes])),
        }
        by_id = {each.id: each for each in choices}
        self._controls = Controls({each.id: each.method for each in choices}, picture.fed.shape)
        self._place = place
        self._name = name
        # ipywidgets' traits do not take writers from two threads
        self._changing = threading.RLock()
        self._outbox = Outbox(self.send)
        initial_traits = {
            "method": first_available(choices),
            "target": TOP if target is None else index_of(target, self._labels),
            **initial_traits,
        }
        super().__init__(spec=spec, **initial_traits)
        subject = Subject(model, picture, by_id, place, labels, batch_size, activation)
        self._explainer = Explainer(subject, Listener(self._outbox.post, self._shown, self._predicted, self._store))
        self._apply_parameters()
        self.on_msg(self._on_message)

    # what Python asks

    @overload
    def compute(
        self, method: str | None = None, target: int | str | None = None, wait: Literal[False] = False
    ) -> None: ...

    @overload
    def compute(
        self, method: str | None = None, target: int | str | None = None, *, wait: Literal[True]
    ) -> saliency.Explanation: ...

    def compute(
        self, method: str | None = None, target: int | str | None = None, wait: bool = False
    ) -> saliency.Explanation | None:
        """Have an explanation made; what the same weights have given already is not computed again.

        Args:
            method: id of a method on offer; the shown one by default.
            target: index or label of a class; the shown one by default.
            wait: whether to wait for it, and give it back. An interrupt then cancels it.

        Raises:
            SaliencyError: with `wait`, whatever went wrong.
        """
        explainer = self._working()
        method_id = self.method if method is None else method
        if method_id not in self._ids:
            raise saliency.UnknownName(f"This widget offers no method {method_id!r}, but: {', '.join(self._ids)}.")
        task = explainer.compute((method_id, self.target if target is None else index_of(target, self._labels)))
        return explainer.result(task) if wait else None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until everything that was asked is answered; False if `timeout` seconds were not enough."""
        return self._explainer is None or self._explainer.wait(timeout)

    def cancel(self) -> None:
        """Cancel everything that is waiting or running; what is running ends after the question it is at."""
        if self._explainer is not None:
            self._explainer.cancel()

    def close(self) -> None:
        """Leave the screen, cancel everything and let go of the model. Explanations stay."""
        if self._explainer is not None:
            self._explainer.close()
        super().close()

    @property
    def predictions(self) -> list[saliency.Prediction]:
        """Every class with its probability, best first; empty until the model was asked."""
        return list(self._explainer.predictions) if self._explainer is not None else []

    @property
    def explanations(self) -> dict[Key, saliency.Explanation]:
        """What was computed so far, by (id of the method, index of the class)."""
        found = self._explainer.found if self._explainer is not None else {}
        return {key: each.explanation for key, each in list(found.items())}

    @property
    def explanation(self) -> saliency.Explanation | None:
        """The one that is shown, if it is computed."""
        return self.explanations.get(self._shown())

    @property
    def selection(self) -> np.ndarray:
        """The pixels that are selected now, by `picked`, `region` or `keep`, at the mask's resolution: bool (H, W).

        Raises:
            ValueError: what is shown is not computed.
        """
        if (shown := self.explanation) is None:
            raise ValueError(f"{self.method!r} is not computed for this class: compute(wait=True) does it.")
        return drawing.selection_of(shown, self._view(), self._place)

    def select(self, mask: np.ndarray | None = None, *, regions: Iterable[int] | None = None) -> None:
        """Select pixels, or regions; or, with neither, what `keep` or `region` says.

        Args:
            mask: bool (H, W), at the mask's resolution, the way round the picture is shown.
            regions: ranks, 0 for the first.

        Raises:
            TypeError: both are given.
            TraitError: they are no mask, or no ranks.
        """
        if mask is not None and regions is not None:
            raise TypeError("select() takes a mask or regions, not both.")
        if mask is not None:
            self.picked = of_mask(np.asarray(mask, bool))
        else:
            self.picked = {} if regions is None else {"regions": [int(each) for each in regions]}

    def snapshot_png(self, width: int | None = None) -> bytes:
        """What is shown, as a PNG file; the picture alone where nothing is computed.

        Args:
            width: in pixels; by default that of the picture on the screen, and at least 448.
        """
        return drawing.png(self._exhibit.draw(self._found(), self._view(), width))

    @overload
    def to_html(self, path: None = None, title: str | None = None) -> str: ...

    @overload
    def to_html(self, path: str | os.PathLike[str], title: str | None = None) -> Path: ...

    def to_html(self, path: str | os.PathLike[str] | None = None, title: str | None = None) -> str | Path:
        """One page with the widget as it is and every explanation computed so far; it needs no kernel and no network.

        Args:
            path: where to write it.
            title: of the page.

        Returns:
            The path, or the page where none is given.
        """
        explainer = self._working()
        text = export.page(
            self.spec["title"] if title is None else title,
            code=self._esm,
            css=self._css,
            traits={name: getattr(self, name) for name in ("spec", *SETTINGS)},
            packet=self._exhibit.packet(explainer.prediction_message(), explainer.in_order()),
            fallback=self._still()[1],
        )
        if path is None:
            return text
        Path(path).write_text(text, encoding="utf-8")
        return Path(path)

    def __repr__(self) -> str:
        shown = self.explanation
        what = repr(shown.label) if shown is not None else "the top class" if self.target == TOP else self.target
        return f"<SaliencyWidget of {self._name}: {self.method} for {what}, {len(self.explanations)} computed>"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The widget, and for places that cannot show it a picture."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        png, page = self._still()
        return {**data, "image/png": base64.b64encode(png).decode(), "text/html": page}, metadata

    # what the browser asks

    def _on_message(self, _widget: object, content: Any, buffers: Any) -> None:
        """Answer within milliseconds: every comm of the kernel waits. Work is left to the model's thread."""
        try:
            request = parse(content, buffers, self._ids)
            self._outbox.accept(request.rid)
            self._answer(request)
        except Refused as reason:
            logger.warning("Ignored a message of the browser: %s.", reason)
        except Exception:  # the kernel and its other widgets live on
            logger.exception("Could not answer the browser.")

    def _answer(self, request: Request) -> None:
        explainer = self._working()
        match request.op:
            case "hello":
                self._outbox.post(self._exhibit.welcome(request.rid), answering=True)
                explainer.greet(request.rid)
            case "compute":
                explainer.compute((request.method, request.target), request.rid)
            case "cancel":
                if not explainer.cancel(request.rid):
                    logger.info("Ignored a cancel: %r is not waiting or running.", request.rid)
            case "classes":
                explainer.search(request.rid, request.query)
            case "what_if":
                view = self._view()._replace(**request.view)
                explainer.what_if(request.rid, (request.method, request.target), view, request.fill)
            case "curve":
                explainer.curve(request.rid, (request.method, request.target), request.fill)
            case "describe":
                told = self._controls.described(request.rid, request.method, request.fields, explainer.pace)
                self._outbox.post(told, answering=True)
            case "configure":
                self._configure(request)
            case "poll":
                self._outbox.resend()

    def _configure(self, request: Request) -> None:
        """Offer a method with other fields, if it can have them."""
        try:
            with self._changing:
                self.parameters = {**self.parameters, request.method: dict(request.fields)}
        except saliency.SaliencyError as reason:
            self._outbox.post(error_message(request.rid, reason), answering=True)
        else:
            fields = self.parameters.get(request.method, {})
            told = message("configured", request.rid, method=request.method, fields=fields)
            self._outbox.post(told, answering=True)

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take over what the browser sets, one by one: what cannot be is ignored, and the browser told what is."""
        good, refused = {}, []
        for name, value in sync_data.items():
            try:
                if name in ("spec", "parameters") or name.startswith("_"):
                    raise traitlets.TraitError(f"{name} is not the browser's to set.")
                if name in SETTINGS:
                    self.traits()[name]._validate(self, value)
                good[name] = value
            except traitlets.TraitError as reason:
                logger.warning("Ignored what the browser set: %s", reason)
                refused.append(name)
        with self._changing:
            super().set_state(good)
        if known := [name for name in refused if name in self.keys]:
            self.send_state(known)

    # what follows from the state

    @traitlets.validate("method")
    def _check_method(self, proposal: Any) -> str:
        if proposal.value not in self._ids:
            raise traitlets.TraitError(f"method must be one of {', '.join(self._ids)}, got {proposal.value!r}.")
        return str(proposal.value)

    @traitlets.validate("target")
    def _check_target(self, proposal: Any) -> int:
        classes = len(self.predictions)
        if classes and proposal.value >= classes:
            raise traitlets.TraitError(
                f"target must be the index of a class, 0 to {classes - 1}, got {proposal.value}."
            )
        return int(proposal.value)

    @traitlets.validate("parameters")
    def _check_parameters(self, proposal: Any) -> dict[str, dict[str, Any]]:
        """Only what differs from the methods as they were offered.

        Raises:
            SaliencyError: no such method or field, or a value it cannot have.
        """
        for method_id in proposal.value:
            if method_id not in self._ids:
                raise saliency.UnknownName(f"parameters: there is no method {method_id!r} in this widget.")
        found = {each: self._controls.different(each, fields) for each, fields in proposal.value.items()}
        return {method_id: fields for method_id, fields in found.items() if fields}

    @traitlets.observe("parameters")
    def _apply_parameters(self, _change: object = None) -> None:
        """Offer the methods as they are set; what was computed so before is there again."""
        if (explainer := self._explainer) is None:
            return
        spec = dict(self.spec, methods=[dict(each) for each in self.spec["methods"]])
        for each in spec["methods"]:
            method = self._controls.method(each["id"], self.parameters.get(each["id"], {}))
            if method.key() != explainer.choices[each["id"]].method.key():
                explainer.configure(each["id"], method)
                each["cost"] = self._controls.cost(each["id"], self.parameters.get(each["id"], {}))
        if spec != self.spec:
            self.spec = spec

    @traitlets.observe("method", "target")
    def _follow(self, _change: object) -> None:
        """What is kept for dead notebooks is what is on the screen."""
        if self._explainer is not None and self._shown() in self._explainer.found:
            self._explainer.later(self._store)

    def _shown(self) -> Key:
        return self.method, self.target

    def _predicted(self, predictions: Sequence[saliency.Prediction]) -> None:
        if self.target == TOP:
            self._write(target=predictions[0].index)

    def _store(self) -> None:
        """Keep the shown result, and others while there is room, in `_snapshot`."""
        explainer = self._working()
        packet = self._exhibit.compact_packet(explainer.prediction_message(), explainer.in_order())
        self._write(_snapshot=packet)

    def _write(self, **values: Any) -> None:
        """Set traits from the model's thread, while nobody else does."""
        held = self._changing.acquire(timeout=PATIENCE)
        try:
            for name, value in values.items():
                setattr(self, name, value)
        finally:
            if held:
                self._changing.release()

    @property
    def _ids(self) -> list[str]:
        return [each["id"] for each in self.spec["methods"]]

    def _working(self) -> Explainer:
        if self._explainer is None:
            raise RuntimeError("The widget is not ready.")
        return self._explainer

    def _found(self) -> Found | None:
        """The result that is shown."""
        return self._explainer.found.get(self._shown()) if self._explainer is not None else None

    def _view(self) -> drawing.View:
        return drawing.View(*(getattr(self, name) for name in drawing.View._fields))

    def _still(self) -> tuple[bytes, str]:
        return self._exhibit.still(self._found(), self._view(), self._summary())

    def _summary(self) -> str:
        name = next(each["name"] for each in self.spec["methods"] if each["id"] == self.method)
        found = self._found()
        if found is None:
            return f"{self.spec['title']}: {name}, not computed yet"
        return f"{name} for {found.explanation.label}: {found.message.fields['result']['quality']}"
