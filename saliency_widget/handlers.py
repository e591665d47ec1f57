"""Handlers of the browser's messages: they validate, accept and dispatch each request."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from PIL import Image, ImageOps

import saliency
from saliency_widget.pictures.film import Plan
from saliency_widget.protocol.cells import Cell
from saliency_widget.protocol.messages import Message, message
from saliency_widget.protocol.outbox import Outbox
from saliency_widget.protocol.requests import InvalidRequest, Request, parse
from saliency_widget.screen import Screen
from saliency_widget.traits.parameters import Controls
from saliency_widget.work.details import Box, Details
from saliency_widget.work.explainer import Explainer
from saliency_widget.work.explainers import Explainers
from saliency_widget.work.gallery import Gallery
from saliency_widget.work.tasks import error_message

logger = logging.getLogger(__name__.partition(".")[0])

MOST_PIXELS = 50_000_000
"""Maximum number of pixels of a picture that is dropped."""


class WidgetActions(NamedTuple):
    """The parts of the widget that handlers use, besides its explainers."""

    screen: Screen
    """The cells on the screen."""
    configure: Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
    """Sets the parameters of a method; returns those that differ from the method as it was offered."""
    add: Callable[[Any, str | None], int]
    """Adds an image; returns its index."""
    module: bytes
    """The code of the front end's second module, compressed."""
    details: Details
    """Parts of large photographs at their full resolution."""
    gallery: Gallery | None
    """The gallery of a widget with many pictures."""
    open: Callable[[int], None]
    """Opens a picture of the gallery."""


class MessageHandler:
    """Handles the browser's messages within milliseconds, as they block the kernel: models are called on other threads.

    Args:
        explainers: the explainers of the widget.
        controls: the parameters of the methods.
        outbox: sends messages to the browser.
        actions: what else the widget does.
    """

    def __init__(self, explainers: Explainers, controls: Controls, outbox: Outbox, actions: WidgetActions) -> None:
        self._explainers, self._controls, self._outbox, self._actions = explainers, controls, outbox, actions

    def __call__(self, _widget: object, content: Any, buffers: Any) -> None:
        """Handle a message with any content."""
        request: Request | None = None
        try:
            inputs = self._explainers.inputs
            ids = [each.id for each in inputs.methods]
            request = parse(content, buffers, ids, len(inputs.models), len(inputs.images))
            self._outbox.accept(request.rid)
            self._dispatch(request)
        except InvalidRequest as reason:
            logger.warning("Ignored a message of the browser: %s.", reason)
        except Exception as error:  # an error here must not reach the kernel's message loop
            logger.exception("Could not handle a message of the browser.")
            if request is not None:
                self._outbox.post(error_message(request.rid, error), answering=True)

    def _dispatch(self, request: Request) -> None:
        explainers = self._explainers
        match request.op:
            case "hello":
                explainers.send_state(request.rid)
            case "compute":
                explainers[request.model, request.image].compute((request.method, request.target), request.rid)
            case "cancel":
                gallery, details = self._actions.gallery, self._actions.details
                of_pictures = (gallery is not None and gallery.cancel(request.rid)) or details.cancel(request.rid)
                if not of_pictures and not explainers.cancel(request.rid):
                    logger.info("Ignored a cancel: %r is not waiting or running.", request.rid)
            case "classes":
                explainers.shown.search(request.rid, request.query)
            case (
                "what_if"
                | "curve"
                | "check"
                | "change"
                | "channels"
                | "concepts"
                | "examples"
                | "film"
                | "code"
                | "describe"
                | "configure"
            ):
                self._dispatch_method(request, explainers[request.model, request.image])
            case "items" | "order" | "predict" | "open":
                self._dispatch_gallery(request)
            case "detail":
                self._actions.details.request(request.rid, request.image, Box(*request.box), request.width)
            case "module":
                code = Message({"op": "module", "rid": request.rid}, {"code": self._actions.module})
                self._outbox.post(code, answering=True)
            case "picture":
                explainers.shown.what_if_requests.respond(request.rid, lambda: self._add_picture(request))
            case "poll":
                self._outbox.resend()

    def _dispatch_gallery(self, request: Request) -> None:
        if (gallery := self._actions.gallery) is None:
            raise InvalidRequest("expected no request about a gallery: this widget has none")

        def open_picture() -> Message:
            self._actions.open(request.image)
            return message("done")

        if request.op == "open":
            # reading may take long, so it is done on the model's thread
            self._explainers.shown.what_if_requests.respond(request.rid, open_picture)
        else:
            gallery.handle(request)

    def _dispatch_method(self, request: Request, explainer: Explainer) -> None:
        def explanation() -> saliency.Explanation:
            return explainer.explanation_of((request.method, request.target))

        match request.op:
            case "what_if":
                view = self._actions.screen.view(self._actions.screen.shown)._replace(**request.view)
                explainer.what_if_requests.what_if(request.rid, explanation, view, request.fill)
            case "curve":
                explainer.what_if_requests.curve(request.rid, explanation, request.fill)
            case "check":
                explainer.what_if_requests.check(request.rid, explanation)
            case "change":
                explainer.what_if_requests.change(request.rid, explanation, request.kind, request.fill, request.to)
            case "channels":
                if explainer.layers is None:
                    explainer.find_layers()
                explainer.what_if_requests.channels(
                    request.rid, explanation, request.layer, request.by, lambda: explainer.layers
                )
            case "concepts":
                if explainer.layers is None:
                    explainer.find_layers()
                explainer.what_if_requests.concepts(
                    request.rid,
                    explanation,
                    request.layer,
                    request.brushed,
                    lambda: self._explainers.regions(request.model, request.brushed),
                    lambda: explainer.layers,
                )
            case "examples":
                explainer.what_if_requests.examples(request.rid, explanation)
            case "film":
                cell = Cell(request.method, request.target, request.model, request.image)
                explainer.what_if_requests.film(
                    request.rid,
                    explanation,
                    lambda: self._actions.screen.scene(cell),
                    Plan(fill=request.fill),
                    request.encoding,
                )
            case "code":
                cell = Cell(request.method, request.target, request.model, request.image)
                explainer.what_if_requests.respond(
                    request.rid, lambda: message("code", text=self._actions.screen.script(cell))
                )
            case "describe" | "configure":
                answer = self._described if request.op == "describe" else self._configured
                if explainer.layers is None and self._controls.reads_layers(request.method):
                    # the layers are found on the model's thread, so the answer comes from there too
                    explainer.find_layers()
                    explainer.what_if_requests.respond(request.rid, lambda: answer(request, explainer))
                else:
                    self._outbox.post(answer(request, explainer), answering=True)

    def _described(self, request: Request, explainer: Explainer) -> Message:
        return self._controls.described(request.rid, request.method, request.fields, explainer.timing)

    def _configured(self, request: Request, _explainer: Explainer) -> Message:
        """Set the parameters of a method; return `configured`, or `error` if they are invalid."""
        try:
            fields = self._actions.configure(request.method, request.fields)
        except saliency.SaliencyError as reason:
            return error_message(request.rid, reason)
        return message("configured", request.rid, method=request.method, fields=fields)

    def _add_picture(self, request: Request) -> Message:
        """Add a picture that was dropped or pasted. Runs on the model's thread, as reading may take long."""
        try:
            with Image.open(io.BytesIO(request.data)) as opened:
                if opened.width * opened.height > MOST_PIXELS:
                    raise saliency.BadImage(f"The picture is too large: {opened.width} × {opened.height} pixels.")
                opened.load()
                upright = ImageOps.exif_transpose(opened)
        except (OSError, SyntaxError, ValueError) as reason:
            raise saliency.BadImage(f"The file cannot be read as a picture: {reason}.") from None
        return message("taken", image=self._actions.add(upright, request.query or None))
