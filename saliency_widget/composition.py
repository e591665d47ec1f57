"""Several widgets side by side, linked: :func:`compose`."""

from __future__ import annotations

import os
import threading
import uuid
from pathlib import Path
from typing import Any, overload

import ipywidgets

import saliency
from saliency_widget.protocol.requests import TOP
from saliency_widget.protocol.summary import summary
from saliency_widget.widget import SaliencyWidget, write_page

LINKED = ("mode", "keep", "threshold")
"""Traits that linked widgets share; their class is shared by its label."""

LEAST = 2
"""Minimum number of widgets."""


class Composition(ipywidgets.HBox):  # type: ignore[misc]  # ipywidgets has no types
    """Widgets side by side whose zoom, pointer, class, mode and percentile are linked; see :func:`compose`.

    Zoom and pointer are linked in the browser, without the kernel. Closing a widget takes it out; closing the
    composition unlinks all, which stay open.
    """

    children: tuple[SaliencyWidget, ...]

    def __init__(self, widgets: tuple[SaliencyWidget, ...]) -> None:
        self._group = uuid.uuid4().hex
        self._setting = threading.local()
        layout = {"flex_flow": "row wrap", "align_items": "flex-start", "grid_gap": "8px"}
        super().__init__(children=widgets, layout=layout)
        self.add_class("slw-composed")
        first, *others = widgets
        for each in others:
            each._write(**{name: getattr(first, name) for name in LINKED})
        if first.target != TOP:
            self._link_class(first)
        for each in widgets:
            each._write(spec={**each.spec, "group": self._group})
            each.observe(self._follow, [*LINKED, "target"])
            each.observe(self._leave, "comm")

    @property
    def widgets(self) -> tuple[SaliencyWidget, ...]:
        """The linked widgets."""
        return tuple(self.children)

    @overload
    def to_html(
        self, path: None = None, title: str | None = None, *, what_if: bool = False, evidence: bool = False
    ) -> str: ...

    @overload
    def to_html(
        self, path: str | os.PathLike[str], title: str | None = None, *, what_if: bool = False, evidence: bool = False
    ) -> Path: ...

    def to_html(
        self,
        path: str | os.PathLike[str] | None = None,
        title: str | None = None,
        *,
        what_if: bool = False,
        evidence: bool = False,
    ) -> str | Path:
        """Return one HTML page with all widgets, which are linked there too.

        Args:
            path: see :meth:`SaliencyWidget.to_html`.
            title: see :meth:`SaliencyWidget.to_html`.
            what_if: see :meth:`SaliencyWidget.to_html`.
            evidence: see :meth:`SaliencyWidget.to_html`.

        Returns:
            The path, or the page if no path is given.

        Raises:
            BadField: all widgets are closed.
            Exception: with `what_if` or `evidence`, any error of a model.
        """
        if not self.widgets:
            raise saliency.BadField("All widgets of this composition are closed: compose() others.")
        return write_page(self.widgets, path, title, what_if=what_if, evidence=evidence)

    def close(self) -> None:
        """Unlink the widgets, which stay open, and remove the composition from the screen."""
        for each in self.widgets:
            self._unlink(each)
            each.unobserve(self._leave, "comm")
        self.children = ()
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Return the widgets, and their pictures for hosts that cannot show widgets."""
        bundle = super()._repr_mimebundle_(**kwargs)
        stills = [each._stills.bundle()["text/html"] for each in self.widgets]
        return bundle if bundle is None else {**bundle, "text/html": "\n".join(stills)}

    def _follow(self, change: Any) -> None:
        """Set the trait of the other widgets to that of one."""
        if getattr(self._setting, "now", False):
            return
        owner, name = change.owner, change.name
        # a top class becomes known for each widget: that of the first counts
        if name == "target" and (change.new == TOP or (change.old == TOP and owner is not self.widgets[0])):
            return
        self._setting.now = True
        try:
            if name == "target":
                self._link_class(owner)
            else:
                for each in self.widgets:
                    if each is not owner:
                        each._write(**{name: change.new})
        finally:
            self._setting.now = False

    def _link_class(self, owner: SaliencyWidget) -> None:
        """Show the class of one widget in the others, as far as their models have it."""
        for each in self.widgets:
            target = None if each is owner else _same_class(owner, each)
            if target is not None:
                each._write(target=target)

    def _leave(self, change: Any) -> None:
        """Take a widget that was closed out of the composition; one alone is linked to nothing."""
        if change.new is not None:
            return
        self._unlink(change.owner)
        change.owner.unobserve(self._leave, "comm")
        self.children = left = tuple(each for each in self.widgets if each is not change.owner)
        if len(left) < LEAST:
            for each in left:
                self._unlink(each)

    def _unlink(self, widget: SaliencyWidget) -> None:
        """Unlink a widget, unless it is."""
        if widget.spec.get("group") == self._group:
            widget.unobserve(self._follow, [*LINKED, "target"])
            widget._write(spec={name: value for name, value in widget.spec.items() if name != "group"})


def compose(*widgets: SaliencyWidget) -> Composition:
    """Show widgets side by side, with their zoom, pointer, class, mode and percentile linked.

    Each keeps its own model, method and settings. The first gives the class, mode and percentile that all begin with. A
    class is found in another model by its label, or by its index where neither has labels; a model that lacks it keeps
    its own. Zoom and pointer are linked by shares of the pictures, in the browser.

    Args:
        *widgets: two or more.

    Returns:
        The composition, a box that the notebook shows.

    Raises:
        BadArgument: there are fewer than two widgets, one of them is no widget, closed, given twice, or in another
            composition.
    """
    for each in widgets:
        if not isinstance(each, SaliencyWidget):
            hint = "compose(*widgets)" if isinstance(each, list | tuple) else "compose(SaliencyWidget(…), …)"
            raise saliency.BadArgument(f"compose() takes widgets, got {summary(each)}: write {hint}.")
        if each.comm is None:
            raise saliency.BadArgument("compose() takes open widgets, and one is closed: create it again.")
        if "group" in each.spec:
            raise saliency.BadArgument("A widget is in another composition already: close() that one first.")
    if len(set(widgets)) < max(len(widgets), LEAST):
        raise saliency.BadArgument(
            f"compose() links two or more different widgets, got {len(set(widgets))}: compose(one, other, …)."
        )
    return Composition(widgets)


def _same_class(owner: SaliencyWidget, other: SaliencyWidget) -> int | None:
    """Return the index of a widget's class in another; None if its model lacks it."""
    index, here, there = owner.target, _labels(owner), _labels(other)
    if here == there:
        return None if other.predictions and index >= len(other.predictions) else index
    if here is None or there is None or index >= len(here) or here[index] not in there:
        return None
    return index if index < len(there) and there[index] == here[index] else there.index(here[index])


def _labels(widget: SaliencyWidget) -> list[str] | None:
    labels = widget._ready_explainers().inputs.labels
    return None if labels is None else list(labels)
