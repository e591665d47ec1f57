"""The screen: the cells that a widget shows, with their names, results and views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import saliency
from saliency_widget.pictures.drawing import Shown, View, sign_of
from saliency_widget.pictures.film import Scene
from saliency_widget.pictures.maps import field_of
from saliency_widget.protocol.cells import Cell, columns, distinguishing_names, laid_out
from saliency_widget.protocol.messages import maps_in
from saliency_widget.protocol.requests import TOP
from saliency_widget.script import ConceptTest, Part, recipe
from saliency_widget.traits.settings import Settings, shown_in, view_of
from saliency_widget.work.concepts import crop_size
from saliency_widget.work.explainers import Explainers
from saliency_widget.work.result_cache import Result


class Screen:
    """The cells on the screen. Each call reads the current traits and results.

    Args:
        settings: the traits.
        explainers: the explainers of the widget.
        script: returns a script for a cell without a model; None where there is one.
    """

    def __init__(self, settings: Settings, explainers: Explainers, script: Callable[[Cell], str] | None = None) -> None:
        self._settings, self._explainers, self._script = settings, explainers, script

    @property
    def shown(self) -> Cell:
        """The cell that the panels describe."""
        return self._resolved(shown_in(self._settings))

    @property
    def cells(self) -> list[Cell]:
        """All cells, row by row."""
        return laid_out(shown_in(self._settings), self._settings.grid, self._resolved)

    @property
    def columns(self) -> int:
        """Number of cells in a row."""
        return columns(self.cells)

    def result(self, cell: Cell) -> Result | None:
        """Return the result of a cell, or None."""
        return self._explainers[cell.pair].results.get(cell.key)

    def verdict(self, cell: Cell) -> saliency.Verdict | None:
        """Return the verdict on the map of a cell; None if it was not measured."""
        result = self.result(cell)
        return None if result is None else self._explainers[cell.pair].what_if_requests.verdict(result)

    def unsupported(self, cell: Cell) -> str:
        """Return why the model of a cell does not support its method; empty if it does."""
        return str(self._method_spec(cell)["lacks"][cell.model])

    def name(self, cell: Cell, cells: Sequence[Cell]) -> str:
        """Return the names in which a cell differs from the others."""
        spec = self._settings.spec
        names = [self._method_spec(cell)["name"], self.label(cell), spec["models"][cell.model]]
        return " · ".join(distinguishing_names(cell, cells, [*names, spec["images"][cell.image]["name"]]))

    def label(self, cell: Cell) -> str:
        """Return the label of a cell's class."""
        if (result := self.result(cell)) is not None:
            return result.explanation.label
        rows = {row.index: row.label for row in list(self._explainers[cell.pair].predictions)}
        return rows.get(cell.target, "the top class" if cell.target < 0 else f"class {cell.target}")

    def view(self, cell: Cell) -> View:
        """Return the view of a cell: a number of regions applies to the shown cell, the others keep as much area."""
        view = view_of(self._settings)
        if view.region == 0 or cell == self.shown:
            return view
        return self._with_share(view)

    def _with_share(self, view: View) -> View:
        """Return a view with the shown cell's number of regions replaced by their share of the area."""
        if view.region and (table := self._regions(self.result(self.shown))):
            view = view._replace(keep=round(100 * table[min(view.region, len(table)) - 1].cumulative, 1))
        return view._replace(region=0)

    def script(self, shown: Cell | None = None) -> str:
        """Return a script that computes and draws what is shown; see :func:`saliency_widget.script.recipe`.

        Args:
            shown: the shown cell; by default that of the traits.

        Raises:
            Unsupported: no cell's model supports its method.
        """
        shown = shown_in(self._settings) if shown is None else shown
        if self._script is not None:
            return self._script(shown)
        on_screen = laid_out(shown, self._settings.grid, self._resolved)
        cells = [cell for cell in on_screen if not self.unsupported(cell)]
        if not cells:
            raise saliency.Unsupported(self.unsupported(on_screen[0]))
        view = self.view(cells[0]) if len(cells) == 1 else self._with_share(view_of(self._settings))
        parts = [self._part(cell, self.name(cell, cells)) for cell in cells]
        return recipe(parts, view, columns(cells))

    def _part(self, cell: Cell, name: str) -> Part:
        inputs, result = self._explainers.inputs, self.result(cell)
        requests = self._explainers[cell.pair].what_if_requests
        return Part(
            name=name,
            model=inputs.expressions["models"][cell.model],
            image=inputs.expressions["images"][cell.image],
            id=cell.method,
            method=self._explainers[cell.pair].methods[cell.method].method,
            target=None if cell.target == TOP else cell.target,
            options=self._explainers.options.arguments(cell.model),
            explanation=None if result is None else result.explanation,
            placement=inputs.placings[cell.pair].placement,
            size=inputs.pictures[cell.image].size,
            checked=self.verdict(cell) is not None,
            changes=[] if result is None else list(requests.changes(result)),
            layers=[] if result is None else requests.layers(result),
            tests=[] if result is None else self._tests(cell, result),
            training=self._index(cell) if result is not None and requests.explained_by_examples(result) else "",
        )

    def _tests(self, cell: Cell, result: Result) -> list[ConceptTest]:
        explainers = self._explainers
        options, fed = explainers.options, result.explanation.mask.shape[:2]
        return [
            ConceptTest(
                layer,
                explainers.regions(cell.model, brushed),
                bool(options.concepts),
                options.random is not None,
                crop_size(fed),
                maps,
            )
            for layer, brushed, maps in explainers[cell.pair].what_if_requests.tests(result)
        ]

    def _index(self, cell: Cell) -> str:
        """Return the Python expression for the index of a cell's training images."""
        several = isinstance(self._explainers.options.index, list | tuple)
        return f"index[{cell.model}]" if several else "index"

    def drawn(self, cell: Cell) -> Shown | None:
        """Return what is drawn over the picture of a cell; None if it has no result."""
        if (result := self.result(cell)) is None:
            return None
        rectangle = result.message.fields["result"]["place"]
        suggested, regions = result.explanation.sign, self._regions(result)
        return Shown(maps_in(result.message), suggested, regions, rectangle, self._ends(suggested))

    def scene(self, cell: Cell) -> Scene:
        """Return what a film of a cell shows.

        Raises:
            BadField: the cell has no result.
        """
        cell = self._resolved(cell)
        name = self._method_spec(cell)["name"]
        if (shown := self.drawn(cell)) is None:
            raise saliency.BadField(f"{name} is not computed for this class.")
        picture = self._explainers.inputs.pictures[cell.image].pixels
        return Scene(picture, shown, view_of(self._settings), name, self.label(cell))

    def _ends(self, suggested: str) -> tuple[float, float] | None:
        """Return the ends of the colour scale that all cells share; None if each has its own."""
        if self._settings.scale == "own" or len(cells := self.cells) == 1:
            return None
        view = view_of(self._settings)
        sign = sign_of(view, suggested)
        results = [result for cell in cells if (result := self.result(cell)) is not None]
        alike = [each for each in results if sign_of(view, each.explanation.sign) == sign]
        fields = [field_of(maps_in(each.message), sign) for each in alike]
        return min(each.low for each in fields), max(each.high for each in fields)

    def _regions(self, result: Result | None) -> Sequence[saliency.Region] | None:
        return None if result is None or result.explanation.regions is None else result.explanation.regions.table

    def _resolved(self, cell: Cell) -> Cell:
        method, target = self._explainers[cell.pair].resolved(cell.key)
        return cell._replace(method=method, target=target)

    def _method_spec(self, cell: Cell) -> dict[str, Any]:
        """Return the entry of a cell's method in the trait `spec`."""
        return next(each for each in self._settings.spec["methods"] if each["id"] == cell.method)
