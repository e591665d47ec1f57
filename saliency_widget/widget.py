"""The widget: its traits, what Python may ask of it, and what the browser may."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import traitlets

import saliency
from saliency_widget.front_end import built
from saliency_widget.handlers import Conversation, Desk
from saliency_widget.host import after_each_cell
from saliency_widget.pictures import drawing
from saliency_widget.pictures.selection import of_mask
from saliency_widget.protocol.cells import Key
from saliency_widget.protocol.outbox import Outbox
from saliency_widget.protocol.requests import TOP, index_of
from saliency_widget.protocol.summary import brief
from saliency_widget.protocol.values import BadTrait
from saliency_widget.screen import Screen
from saliency_widget.snapshot import Keeper
from saliency_widget.stills import Stills
from saliency_widget.traits.methods import Named, first_available
from saliency_widget.traits.parameters import Controls
from saliency_widget.traits.settings import SETTINGS, STATE, Settings, checked_state, shown_in, view_of
from saliency_widget.work.explainers import Explainers
from saliency_widget.work.inputs import Asked, cast, grid_of, index_in

NAME_LENGTH = 1000
"""Characters of an image's name."""

MOST_WIDTH = 16_384
"""Pixels of a snapshot."""


class SaliencyWidget(Settings):
    """See why a vision model decided, in a notebook.

    Returns at once: the image is read, and nothing is computed before the browser or :meth:`compute` asks.

    Args:
        model: what :func:`saliency.explain` takes; or several, in a list or a dict by name.
        img: picture, path, array or tensor, see :func:`saliency.explain`; or what :func:`saliency.read` gave; or
            several of these, in a list or a dict by name.
        methods: ids, methods as values, or classes; None for all there are.
        target: index or label of the class explained; None for the one the model finds most likely.
        labels: names of the classes.
        preprocess: see :func:`saliency.explain`; or one for each model, in a list.
        layer: for the methods that read one.
        baseline: for the methods that have one.
        batch_size: images a question; "auto" measures.
        activation: what the model's outputs are, see :func:`saliency.adapt`.
        output: which of several outputs is explained, see :func:`saliency.adapt`.
        **initial_traits: `method`, `model_index`, `image_index`, `grid`, `mode`, `sign`, `keep`, `threshold`,
            `opacity`, `colormap`, `gamma`, `smooth`, `contours`, `scale`, `region`, `layout`, ….

    Raises:
        SaliencyError: the image cannot be read, the model is none, a method, field or label is unknown.
    """

    _esm = built("widget.js")
    _css = built("widget.css")

    _explainers: Explainers | None = None

    def __init__(
        self,
        model: Any,
        img: Any,
        methods: Iterable[Named] | None = None,
        target: int | str | None = None,
        *,
        labels: Sequence[str] | None = None,
        preprocess: Any = None,
        layer: str | None = None,
        baseline: Any = None,
        batch_size: int | str = "auto",
        activation: str = "auto",
        output: Any = None,
        **initial_traits: Any,
    ) -> None:
        for name in initial_traits:
            if name.startswith("_") or name == "spec" or not self.has_trait(name):
                raise saliency.BadArgument(f"SaliencyWidget has no {name!r}; there is: {', '.join(SETTINGS)}, layout.")
        batch_size = saliency.checks.batch_size(batch_size)
        fields = {name: value for name, value in {"layer": layer, "baseline": baseline}.items() if value is not None}
        asked = Asked(methods, labels, preprocess, fields, batch_size, activation, output)
        made = cast(model, img, asked)
        offered = {each.id: each.method for each in made.choices}
        controls = Controls(offered, made.shape, lambda: None if self._explainers is None else self._explainers.layers)
        self._outbox = Outbox(self.send)
        initial_traits = {
            "method": first_available(made.choices),
            "target": TOP if target is None else index_of(target, made.labels),
            **initial_traits,
        }
        name = " and ".join(made.models)
        decides = "decides" if len(made.models) == 1 else "decide"
        super().__init__(controls, spec={"title": f"Why {name} {decides}", **made.spec}, **initial_traits)
        told = (self._outbox.post, lambda: shown_in(self), lambda seen: self._write(target=seen[0].index), self._found)
        self._explainers = explainers = Explainers(made, asked, *told)
        self._screen = Screen(self, explainers)
        self._stills = Stills(self, explainers, controls, self._screen)
        self._keeper = Keeper(self, lambda packet: self._write(_snapshot=packet), explainers, self._stills)
        self._apply_parameters()
        desk = Desk(self._screen, self._configure, self.add)
        self.on_msg(Conversation(explainers, controls, self._outbox, desk))
        self._forget = after_each_cell(self, "_look")

    # what Python asks

    @overload
    def compute(
        self,
        method: str | None = None,
        target: int | str | None = None,
        wait: Literal[False] = False,
        *,
        model: int | str | None = None,
        image: int | str | None = None,
    ) -> None: ...

    @overload
    def compute(
        self,
        method: str | None = None,
        target: int | str | None = None,
        *,
        wait: Literal[True],
        model: int | str | None = None,
        image: int | str | None = None,
    ) -> saliency.Explanation: ...

    def compute(
        self,
        method: str | None = None,
        target: int | str | None = None,
        wait: bool = False,
        *,
        model: int | str | None = None,
        image: int | str | None = None,
    ) -> saliency.Explanation | None:
        """Have an explanation made; what the same weights have given already is not computed again.

        Args:
            method: id of a method on offer; the shown one by default.
            target: index or label of a class; the shown one by default.
            wait: whether to wait for it, and give it back. An interrupt then cancels it.
            model: index or name of one of several; the shown one by default.
            image: index or name of one of several; the shown one by default.

        Raises:
            SaliencyError: with `wait`, whatever went wrong.
        """
        explainers = self._working()
        cast = explainers.cast
        pair = (
            self.model_index if model is None else index_in(cast.models, model, "model"),
            self.image_index if image is None else index_in(cast.images, image, "image"),
        )
        wait = saliency.checks.flag(wait, "wait")
        method_id: Any = self.method if method is None else method
        if not isinstance(method_id, str) or method_id not in self._ids:
            raise saliency.UnknownName(f"This widget offers no method {brief(method_id)}, but: {', '.join(self._ids)}.")
        task = explainers[pair].compute((method_id, self.target if target is None else index_of(target, cast.labels)))
        return explainers[pair].result(task) if wait else None

    def add(self, img: Any, name: str | None = None) -> int:
        """Take in another image, as one that is dropped onto the widget, and show it.

        Args:
            img: as for the widget, but one.
            name: what it is called.

        Returns:
            its index, for `image_index` and ``compute(image=…)``.

        Raises:
            SaliencyError: it cannot be read, or there are too many.
        """
        explainers = self._working()
        if name is not None and len(saliency.checks.text(name, "name")) > NAME_LENGTH:
            raise saliency.BadField(f"name must have at most {NAME_LENGTH} characters, got {len(name)}.")
        exhibit = explainers.add(img, name)
        self._write(spec={**self.spec, "images": explainers.cast.spec["images"]})
        self._outbox.post(exhibit.welcome())
        # another image has a top class of its own
        self._write(image_index=exhibit.index, target=TOP, picked={})
        return exhibit.index

    def compare(
        self,
        methods: Iterable[str] = (),
        targets: Iterable[int | str] = (),
        *,
        models: Iterable[int | str] = (),
        images: Iterable[int | str] = (),
    ) -> None:
        """Lay results side by side: every combination of what is named. What is not named stays as it is shown.

        Without arguments everything there are several of: the models and the images; or else the possible methods.
        ``widget.grid = {}`` goes back to one picture.

        Args:
            methods: ids of methods on offer.
            targets: indices or labels of classes; -1 is the one that each model finds most likely in each image.
            models: indices or names.
            images: indices or names.

        Raises:
            SaliencyError: a label or name is unknown.
            TraitError: a method is unknown, or there would be more cells than can be looked at.
        """
        self.grid = grid_of(self._working().cast, methods, targets, models, images)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until everything that was asked is answered; False if `timeout` seconds were not enough."""
        timeout = timeout if timeout is None else saliency.checks.number(timeout, "timeout", 0)
        return self._explainers is None or self._explainers.wait(timeout)

    def cancel(self) -> None:
        """Cancel everything that is waiting or running; what is running ends after the question it is at."""
        if self._explainers is not None:
            self._explainers.cancel()

    def close(self) -> None:
        """Leave the screen, cancel everything and let go of the model. Explanations stay."""
        if self._explainers is not None:
            self._explainers.close()
            self._forget()
        super().close()

    @property
    def predictions(self) -> list[saliency.Prediction]:
        """Every class with its probability, best first; empty until the model was asked.

        Of several models and images, those that are shown.
        """
        return [] if self._explainers is None else list(self._explainers.shown.predictions)

    @property
    def explanations(self) -> dict[Key, saliency.Explanation]:
        """What was computed so far of the shown model and image, by (id of the method, index of the class)."""
        found = {} if self._explainers is None else dict(self._explainers.shown.found)
        return {key: each.explanation for key, each in found.items()}

    @property
    def explanation(self) -> saliency.Explanation | None:
        """The one that is shown, if it is computed."""
        return self.explanations.get(shown_in(self).key)

    @property
    def selection(self) -> np.ndarray:
        """The pixels that are selected now, by `picked`, `region` or `keep`, at the mask's resolution: bool (H, W).

        Raises:
            BadField: what is shown is not computed.
        """
        if (shown := self.explanation) is None:
            raise saliency.BadField(f"{self.method!r} is not computed for this class: compute(wait=True) does it.")
        return drawing.selection_of(shown, view_of(self), self._working().cast.places[shown_in(self).pair])

    def select(self, mask: np.ndarray | None = None, *, regions: Iterable[int] | None = None) -> None:
        """Select pixels, or regions; or, with neither, what `keep` or `region` says.

        Args:
            mask: bool (H, W), at the mask's resolution, the way round the picture is shown.
            regions: ranks, 0 for the first.

        Raises:
            BadArgument: both are given.
            BadField, BadShape: they are no mask, or no ranks.
        """
        if mask is not None and regions is not None:
            raise saliency.BadArgument("select() takes a mask or regions, not both.")
        if mask is not None:
            self.picked = of_mask(saliency.checks.selection(mask, "mask"))
        elif regions is not None:
            ranks = saliency.checks.several(regions, "regions")
            self.picked = {"regions": [saliency.checks.whole(each, "regions", 0) for each in ranks]}
        else:
            self.picked = {}

    def code(self) -> str:
        """What is shown as Python that needs no widget: each explanation, the selection, and the figure.

        Raises:
            Unsupported: no model can answer what is shown.
        """
        return self._screen.script()

    def state(self) -> dict[str, Any]:
        """How it is looked at, as plain values that JSON can hold; :meth:`from_state` gives it back."""
        settings = {name: getattr(self, name) for name in SETTINGS}
        return {"version": STATE, **settings, "parameters": self.parameters, "methods": self._ids}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], model: Any, img: Any, **options: Any) -> SaliencyWidget:
        """A widget as another was.

        Args:
            state: what :meth:`state` gave; the model and the image are not in it.
            model: as for the widget.
            img: as for the widget.
            **options: as for the widget; `methods` where it was given values, not ids.

        Raises:
            BadField: the state is of a newer version, or none.
        """
        settings = checked_state(state)
        methods, target = settings.pop("methods", None), settings.pop("target", TOP)
        methods = options.pop("methods", methods)
        return cls(model, img, methods, None if target == TOP else target, **{**settings, **options})

    def snapshot_png(self, width: int | None = None) -> bytes:
        """What is shown, as a PNG file; the picture alone where nothing is computed.

        Args:
            width: in pixels, at most 16,384; by default that of the picture on the screen, and at least 448.
        """
        width = width if width is None else saliency.checks.whole(width, "width", 1, MOST_WIDTH)
        return self._stills.png(width)

    @overload
    def to_html(self, path: None = None, title: str | None = None, *, what_if: bool = False) -> str: ...

    @overload
    def to_html(self, path: str | os.PathLike[str], title: str | None = None, *, what_if: bool = False) -> Path: ...

    def to_html(
        self, path: str | os.PathLike[str] | None = None, title: str | None = None, *, what_if: bool = False
    ) -> str | Path:
        """One page with the widget as it is and every explanation computed so far; it needs no kernel and no network.

        What the model has said to selections is there too, with the curves that were asked for.

        Args:
            path: where to write it.
            title: of the page.
            what_if: whether to wait for what is being computed and then ask the model about every explanation, with
                the chosen `fill`, as on the page nobody can: its curves, and its top 5, 10, … 95 % (or as many
                regions) alone and left out. That is some 90 images for each.

        Returns:
            The path, or the page where none is given.

        Raises:
            Exception: with `what_if`, whatever the model raises.
        """
        title = title if title is None else saliency.checks.text(title, "title")
        file = path if path is None else saliency.checks.path(path)
        if saliency.checks.flag(what_if, "what_if"):
            self._stills.ask_ahead()
        text = self._stills.page(title, code=self._esm, css=self._css)
        if file is None:
            return text
        with saliency.checks.opening(file, saliency.BadField):
            file.write_text(text, encoding="utf-8")
        return file

    def __repr__(self) -> str:
        shown = self.explanation
        what = repr(shown.label) if shown is not None else "the top class" if self.target == TOP else self.target
        name = " and ".join(self.spec["models"])
        return f"<SaliencyWidget of {name}: {self.method} for {what}, {len(self.explanations)} computed>"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The widget, and for places that cannot show it a picture."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        return {**data, **self._stills.bundle()}, metadata

    # what follows from the state

    @traitlets.validate("target")
    def _check_target(self, proposal: Any) -> int:
        if (classes := len(self.predictions)) and proposal.value >= classes:
            raise BadTrait(f"target must be a class's index, 0 to {classes - 1}, got {proposal.value}.")
        return int(proposal.value)

    @traitlets.observe("parameters")
    def _apply_parameters(self, _change: object = None) -> None:
        """Offer the methods as they are set; what was computed so before is there again."""
        if (explainers := self._explainers) is None:
            return
        spec = dict(self.spec, methods=[dict(each) for each in self.spec["methods"]])
        for each in spec["methods"]:
            method = self._controls.method(each["id"], self.parameters.get(each["id"], {}))
            if method.key() != explainers.shown.choices[each["id"]].method.key():
                explainers.configure(each["id"], method)
                each["cost"] = self._controls.cost(each["id"], self.parameters.get(each["id"], {}))
        if spec != self.spec:
            self.spec = spec

    @traitlets.observe("method", "target", "model_index", "image_index", "grid")
    def _follow(self, _change: object) -> None:
        """What is kept for dead notebooks is what is on the screen."""
        if self._explainers is None:
            return
        if self.target == TOP and (predictions := self._explainers.shown.predictions):
            self.target = predictions[0].index
        else:
            self._keeper.follow()

    def _found(self) -> None:
        self._keeper.found()

    def _look(self) -> None:
        """A cell has run: it may have trained a model."""
        self._working().look()

    def _working(self) -> Explainers:
        if self._explainers is None:
            raise RuntimeError("The widget is not ready.")
        return self._explainers
