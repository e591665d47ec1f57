"""Traits of the widget, their validation, and which of them the browser may set."""

from __future__ import annotations

import base64
import json
import logging
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import anywidget
import traitlets

import saliency
from saliency_widget.pictures.drawing import View
from saliency_widget.protocol.cells import Cell
from saliency_widget.protocol.requests import LARGEST_TARGET, TOP
from saliency_widget.protocol.summary import summary
from saliency_widget.protocol.values import (
    COLORMAPS,
    FILLS,
    MODES,
    SCALES,
    SIGNS,
    BadTrait,
    BrushedTrait,
    Class,
    Flag,
    Grid,
    Number,
    OneOf,
    PickedTrait,
    Text,
    Whole,
)
from saliency_widget.traits.parameters import Controls

logger = logging.getLogger(__name__.partition(".")[0])

SETTINGS = (
    *("method", "target", "model_index", "image_index", "grid", "mode", "sign", "keep", "threshold", "opacity"),
    *("colormap", "gamma", "smooth", "contours", "scale", "region", "picked", "fill", "change_to", "live", "gallery"),
    "brushed",
)
"""The traits that the browser may set."""

STATE = 1
"""Version of the result of :meth:`saliency_widget.SaliencyWidget.state`."""

LINK = "saliency:"
"""Prefix of the text of a link."""

LARGEST_STATE = 10**7
"""Maximum size in bytes of the state in a link."""

LOCK_TIMEOUT = 1.0
"""Maximum seconds that a thread waits for another that sets traits, whose observer may be waiting for this thread."""


class Settings(anywidget.AnyWidget):
    """Traits that Python and the browser share, see "Traits" in docs/widget-protocol.md.

    Args:
        controls: parameters of the methods.
        **values: initial values of traits.
    """

    spec = traitlets.Dict().tag(sync=True)
    method = Text()
    target = Class(TOP)
    model_index = Whole(0, low=0)
    image_index = Whole(0, low=0)
    grid = Grid()
    mode = OneOf("area", *(each for each in MODES if each != "area"))
    sign = OneOf(*SIGNS)
    keep = Number(12.0, 0, 100)
    threshold = Number(0.0, 0, 100)
    opacity = Number(0.7, 0, 1)
    colormap = OneOf(*COLORMAPS)
    gamma = Number(1.0, 0.2, 5)
    smooth = Flag(True)
    contours = Flag(False)
    scale = OneOf(*SCALES)
    region = Whole(0, low=0)
    picked = PickedTrait()
    fill = OneOf(*FILLS)
    change_to = Class(TOP)
    live = Flag(False)
    gallery = Flag(False)
    brushed = BrushedTrait()
    parameters = traitlets.Dict().tag(sync=True)
    _snapshot = traitlets.Bytes().tag(sync=True, echo_update=False)
    _more = traitlets.Bytes().tag(sync=True, echo_update=False)

    def __init__(self, controls: Controls, **values: Any) -> None:
        self._controls = controls
        # the traits of ipywidgets are not thread-safe
        self._write_lock = threading.RLock()
        super().__init__(**values)

    def _class_index(self, name: str, label: str) -> int:
        """Return the index of a class by its label, for the trait called `name`.

        Raises:
            BadTrait: there is no such class.
        """
        raise BadTrait(f"{name} must be the index of a class, got {summary(label)}.")

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Set traits from the browser; an invalid value is ignored, and the browser is sent the current one."""
        good, refused = {}, []
        for name, value in sync_data.items():
            try:
                if name not in SETTINGS:
                    raise BadTrait(f"{summary(name)} cannot be set by the browser.")
                self.traits()[name]._validate(self, value)
                good[name] = value
            except traitlets.TraitError as reason:
                logger.warning("Ignored a value that the browser set: %s", reason)
                refused.append(name)
        with self._write_lock:
            super().set_state(good)
        if known := [name for name in refused if name in self.keys]:
            self.send_state(known)

    @traitlets.validate("method")
    def _check_method(self, proposal: Any) -> str:
        if proposal.value not in self._ids:
            raise BadTrait(f"method must be one of {', '.join(self._ids)}, got {summary(proposal.value)}.")
        return str(proposal.value)

    @traitlets.validate("model_index", "image_index")
    def _check_index(self, proposal: Any) -> int:
        kind = proposal.trait.name.partition("_")[0]
        count = self._count(f"{kind}s")
        if proposal.value >= count:
            raise BadTrait(f"{proposal.trait.name} must be below {count}, the number of {kind}s, got {proposal.value}.")
        if kind == "image":
            self._open(proposal.value)
        return int(proposal.value)

    def _count(self, kind: str) -> int:
        """Return the number of models or images; in a gallery `spec` lists only the images that are open."""
        gallery = self.spec.get("gallery")
        return int(gallery["count"]) if kind == "images" and gallery else len(self.spec[kind])

    def _open(self, image: int) -> None:
        """Read an image of a gallery, unless it is open.

        Raises:
            BadTrait: it cannot be read.
        """

    @traitlets.validate("gallery")
    def _check_gallery(self, proposal: Any) -> bool:
        if proposal.value and not self.spec.get("gallery"):
            raise BadTrait("gallery must be False: this widget shows its few pictures side by side.")
        return bool(proposal.value)

    @traitlets.validate("grid")
    def _check_grid(self, proposal: Any) -> dict[str, Any]:
        if unknown := [each for each in proposal.value.get("methods", []) if each not in self._ids]:
            raise BadTrait(f"grid's methods must be among {', '.join(self._ids)}, got {summary(unknown)}.")
        for kind in ("models", "images"):
            count = self._count(kind)
            if wrong := [each for each in proposal.value.get(kind, []) if not 0 <= each < count]:
                raise BadTrait(f"grid's {kind} must be indices below {count}, got {summary(wrong)}.")
        for image in proposal.value.get("images", []):
            self._open(image)
        if wrong := [each for each in proposal.value.get("targets", []) if not TOP <= each < LARGEST_TARGET]:
            raise BadTrait(f"grid's targets must be indices of classes or {TOP}, got {summary(wrong)}.")
        return dict(proposal.value)

    @traitlets.validate("parameters")
    def _check_parameters(self, proposal: Any) -> dict[str, dict[str, Any]]:
        """Return the fields that differ from the methods as they were offered.

        Raises:
            SaliencyError: there is no such method or field, or a value is invalid.
        """
        for method_id in proposal.value:
            if method_id not in self._ids:
                raise saliency.UnknownName(
                    f"parameters: this widget offers no method {summary(method_id)}. It offers: {', '.join(self._ids)}."
                )
        if wrong := [each for each in proposal.value.values() if not isinstance(each, Mapping)]:
            raise saliency.BadField(f"parameters must hold a dict of fields for each method, got {summary(wrong[0])}.")
        found = {each: self._controls.different(each, fields) for each, fields in proposal.value.items()}
        for method_id, fields in found.items():
            # raises for values that do not fit the size of the image, before any method is changed
            self._controls.cost(method_id, fields)
        return {method_id: fields for method_id, fields in found.items() if fields}

    def _configure(self, method_id: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Set the fields of a method, and return those that differ from the method as it was offered.

        Raises:
            SaliencyError: there is no such field, or a value is invalid.
        """
        with self._exclusive():
            self.parameters = {**self.parameters, method_id: dict(fields)}
        return dict(self.parameters.get(method_id, {}))

    def _write(self, **values: Any) -> None:
        """Set traits from the model's thread, under the lock."""
        with self._exclusive():
            for name, value in values.items():
                setattr(self, name, value)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Hold the lock on the traits; after :data:`LOCK_TIMEOUT`, go on without it."""
        held = self._write_lock.acquire(timeout=LOCK_TIMEOUT)
        try:
            yield
        finally:
            if held:
                self._write_lock.release()

    @property
    def _ids(self) -> list[str]:
        return [each["id"] for each in self.spec["methods"]]


def linked(state: Mapping[str, Any]) -> str:
    """Return a widget's state as text that fits into a message or an address."""
    return LINK + base64.urlsafe_b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode().rstrip("=")


def _unlinked(text: str) -> Any:
    """Return the state in the text of a link.

    Raises:
        BadField: it is not such a text.
    """
    code = text.strip().removeprefix(LINK)
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.urlsafe_b64decode(code + "=" * (-len(code) % 4)), LARGEST_STATE)
        return json.loads(data)
    except (ValueError, zlib.error):
        raise saliency.BadField(f"Expected the result of link(), got {summary(text)}: copy the whole text.") from None


def checked_state(state: Any) -> dict[str, Any]:
    """Return a widget's state without its version.

    Args:
        state: a state, or a link.

    Raises:
        BadField: it is neither, or one of another version.
    """
    state = _unlinked(state) if isinstance(state, str) else state
    if not isinstance(state, Mapping) or state.get("version") != STATE:
        raise saliency.BadField(f"Expected a result of state(), version {STATE}, got {summary(state)}.")
    if unknown := [name for name in state if name not in (*SETTINGS, "version", "parameters", "methods")]:
        raise saliency.BadField(f"Expected a result of state(), got one with an unknown name: {summary(unknown[0])}.")
    return {name: value for name, value in state.items() if name != "version"}


def view_of(settings: Settings) -> View:
    """Return the view of results that the traits describe."""
    return View(*(getattr(settings, name) for name in View._fields))


def shown_in(settings: Settings) -> Cell:
    """Return the shown cell; in a grid, the one that the panels describe."""
    return Cell(settings.method, settings.target, settings.model_index, settings.image_index)
