"""What the browser asks: looked at, accepted, and handed to whoever answers it."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from PIL import Image, ImageOps

import saliency
from saliency_widget.protocol.cells import Cell
from saliency_widget.protocol.messages import Message, message
from saliency_widget.protocol.outbox import Outbox
from saliency_widget.protocol.requests import Refused, Request, parse
from saliency_widget.screen import Screen
from saliency_widget.traits.parameters import Controls
from saliency_widget.work.explainer import Explainer
from saliency_widget.work.explainers import Explainers
from saliency_widget.work.tasks import error_message

logger = logging.getLogger(__name__.partition(".")[0])

MOST_PIXELS = 50_000_000
"""Of a picture that is dropped."""


class Desk(NamedTuple):
    """What of the widget a message may have to do with, beside asking its models."""

    screen: Screen
    """What is shown."""
    configure: Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
    """Sets the fields of a method; gives those that differ from the method as it was offered."""
    add: Callable[[Any, str | None], int]
    """Takes in another image; gives its index."""


class Conversation:
    """Answers the browser within milliseconds, as every comm of the kernel waits: work is left to the models' threads.

    Args:
        explainers: ask the models.
        controls: know the methods' fields.
        outbox: sends.
        desk: the widget.
    """

    def __init__(self, explainers: Explainers, controls: Controls, outbox: Outbox, desk: Desk) -> None:
        self._explainers, self._controls, self._outbox, self._desk = explainers, controls, outbox, desk

    def __call__(self, _widget: object, content: Any, buffers: Any) -> None:
        """Take a message, whatever it holds."""
        request: Request | None = None
        try:
            cast = self._explainers.cast
            ids = [each.id for each in cast.choices]
            request = parse(content, buffers, ids, len(cast.models), len(cast.images))
            self._outbox.accept(request.rid)
            self._answer(request)
        except Refused as reason:
            logger.warning("Ignored a message of the browser: %s.", reason)
        except Exception as error:  # the kernel and its other widgets live on
            logger.exception("Could not answer the browser.")
            if request is not None:
                self._outbox.post(error_message(request.rid, error), answering=True)

    def _answer(self, request: Request) -> None:
        explainers = self._explainers
        match request.op:
            case "hello":
                explainers.greet(request.rid)
            case "compute":
                explainers[request.model, request.image].compute((request.method, request.target), request.rid)
            case "cancel":
                if not explainers.cancel(request.rid):
                    logger.info("Ignored a cancel: %r is not waiting or running.", request.rid)
            case "classes":
                explainers.shown.search(request.rid, request.query)
            case "what_if" | "curve" | "code" | "describe" | "configure":
                self._explore(request, explainers[request.model, request.image])
            case "picture":
                explainers.shown.enquiries.tell(request.rid, lambda: self._take(request))
            case "poll":
                self._outbox.resend()

    def _explore(self, request: Request, explainer: Explainer) -> None:
        def explained() -> saliency.Explanation:
            return explainer.explained((request.method, request.target))

        match request.op:
            case "what_if":
                view = self._desk.screen.view(self._desk.screen.shown)._replace(**request.view)
                explainer.enquiries.what_if(request.rid, explained, view, request.fill)
            case "curve":
                explainer.enquiries.curve(request.rid, explained, request.fill)
            case "code":
                cell = Cell(request.method, request.target, request.model, request.image)
                explainer.enquiries.tell(request.rid, lambda: message("code", text=self._desk.screen.script(cell)))
            case "describe" | "configure":
                tell = self._described if request.op == "describe" else self._configured
                if explainer.layers is None and self._controls.reads_layers(request.method):
                    # only the model knows which there are
                    explainer.learn_layers()
                    explainer.enquiries.tell(request.rid, lambda: tell(request, explainer))
                else:
                    self._outbox.post(tell(request, explainer), answering=True)

    def _described(self, request: Request, explainer: Explainer) -> Message:
        return self._controls.described(request.rid, request.method, request.fields, explainer.pace)

    def _configured(self, request: Request, _explainer: Explainer) -> Message:
        """Offer a method with other fields, if it can have them."""
        try:
            fields = self._desk.configure(request.method, request.fields)
        except saliency.SaliencyError as reason:
            return error_message(request.rid, reason)
        return message("configured", request.rid, method=request.method, fields=fields)

    def _take(self, request: Request) -> Message:
        """Explain a picture that was dropped or pasted; on the model's thread, as reading takes its time."""
        try:
            with Image.open(io.BytesIO(request.data)) as opened:
                if opened.width * opened.height > MOST_PIXELS:
                    raise saliency.BadImage(f"The picture is too large: {opened.width} × {opened.height} pixels.")
                opened.load()
                upright = ImageOps.exif_transpose(opened)
        except (OSError, SyntaxError, ValueError) as reason:
            raise saliency.BadImage(f"This is no picture that can be read: {reason}.") from None
        return message("taken", image=self._desk.add(upright, request.query or None))
