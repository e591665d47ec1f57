"""What a widget shows: which cells, what they are called, what was found for them, and how they are looked at."""

from __future__ import annotations

from collections.abc import Sequence

import saliency
from saliency_widget.pictures.drawing import Shown, View, sign_of
from saliency_widget.pictures.maps import field_of
from saliency_widget.protocol.cells import Cell, columns, laid_out, told_apart
from saliency_widget.protocol.messages import maps_in
from saliency_widget.protocol.requests import TOP
from saliency_widget.script import Part, recipe
from saliency_widget.traits.settings import Settings, shown_in, view_of
from saliency_widget.work.explainers import Explainers
from saliency_widget.work.result_cache import Found


class Screen:
    """Reads a widget's traits and its explainers, as they are when it is asked.

    Args:
        settings: the traits.
        explainers: what was found.
    """

    def __init__(self, settings: Settings, explainers: Explainers) -> None:
        self._settings, self._explainers = settings, explainers

    @property
    def shown(self) -> Cell:
        """The cell that the panels speak of."""
        return self._resolved(shown_in(self._settings))

    @property
    def cells(self) -> list[Cell]:
        """All there are, row by row."""
        return laid_out(shown_in(self._settings), self._settings.grid, self._resolved)

    @property
    def columns(self) -> int:
        """How many stand side by side."""
        return columns(self.cells)

    def found(self, cell: Cell) -> Found | None:
        """What was found for a cell."""
        return self._explainers[cell.pair].found.get(cell.key)

    def lacks(self, cell: Cell) -> str:
        """Why the model of a cell cannot be asked; empty where it can."""
        return str(self._told(cell)["lacks"][cell.model])

    def name(self, cell: Cell, cells: Sequence[Cell]) -> str:
        """What tells a cell from the others."""
        spec = self._settings.spec
        names = [self._told(cell)["name"], self.label(cell), spec["models"][cell.model]]
        return " · ".join(told_apart(cell, cells, [*names, spec["images"][cell.image]["name"]]))

    def label(self, cell: Cell) -> str:
        """What the class of a cell is called."""
        if (found := self.found(cell)) is not None:
            return found.explanation.label
        rows = {row.index: row.label for row in list(self._explainers[cell.pair].predictions)}
        return rows.get(cell.target, "the top class" if cell.target < 0 else f"class {cell.target}")

    def view(self, cell: Cell) -> View:
        """How a cell is looked at: a number of regions is the shown one's, the others keep as much of the area."""
        view = view_of(self._settings)
        if view.region == 0 or cell == self.shown:
            return view
        return self._alike(view)

    def _alike(self, view: View) -> View:
        """The same with a share of the area in place of the shown cell's number of regions."""
        if view.region and (table := self._regions(self.found(self.shown))):
            view = view._replace(keep=round(100 * table[min(view.region, len(table)) - 1].cumulative, 1))
        return view._replace(region=0)

    def script(self, shown: Cell | None = None) -> str:
        """What is shown as Python; see :func:`saliency_widget.script.recipe`.

        Args:
            shown: by default as the traits have it.

        Raises:
            Unsupported: no model can answer any of it.
        """
        shown = shown_in(self._settings) if shown is None else shown
        there = laid_out(shown, self._settings.grid, self._resolved)
        cells = [cell for cell in there if not self.lacks(cell)]
        if not cells:
            raise saliency.Unsupported(self.lacks(there[0]))
        view = self.view(cells[0]) if len(cells) == 1 else self._alike(view_of(self._settings))
        parts = [self._part(cell, self.name(cell, cells)) for cell in cells]
        return recipe(parts, view, columns(cells))

    def _part(self, cell: Cell, name: str) -> Part:
        cast, found = self._explainers.cast, self.found(cell)
        return Part(
            name=name,
            model=cast.terms["models"][cell.model],
            image=cast.terms["images"][cell.image],
            id=cell.method,
            method=self._explainers[cell.pair].choices[cell.method].method,
            target=None if cell.target == TOP else cell.target,
            options=self._explainers.asked.given(cell.model),
            explanation=None if found is None else found.explanation,
            place=cast.places[cell.pair],
            size=cast.exhibits[cell.image].size,
        )

    def drawn(self, cell: Cell) -> Shown | None:
        """What is laid over the picture of a cell; None where nothing was found."""
        if (found := self.found(cell)) is None:
            return None
        place = found.message.fields["result"]["place"]
        suggested, regions = found.explanation.sign, self._regions(found)
        return Shown(maps_in(found.message), suggested, regions, place, self._ends(suggested))

    def _ends(self, suggested: str) -> tuple[float, float] | None:
        """The ends of the colours that all cells with a sign share; None where each has its own."""
        if self._settings.scale == "own" or len(cells := self.cells) == 1:
            return None
        view = view_of(self._settings)
        sign = sign_of(view, suggested)
        founds = [found for cell in cells if (found := self.found(cell)) is not None]
        alike = [each for each in founds if sign_of(view, each.explanation.sign) == sign]
        fields = [field_of(maps_in(each.message), sign) for each in alike]
        return min(each.low for each in fields), max(each.high for each in fields)

    def _regions(self, found: Found | None) -> Sequence[saliency.Region] | None:
        return None if found is None or found.explanation.regions is None else found.explanation.regions.table

    def _resolved(self, cell: Cell) -> Cell:
        method, target = self._explainers[cell.pair].resolved(cell.key)
        return cell._replace(method=method, target=target)

    def _told(self, cell: Cell) -> dict[str, list[str]]:
        """What the browser is told of a cell's method."""
        return next(each for each in self._settings.spec["methods"] if each["id"] == cell.method)
