"""Cells of the screen: one result, or several side by side. In step with js/src/core/select.ts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from saliency_widget.protocol.values import AXES, MOST_CELLS

Key = tuple[str, int]
"""Id of the method, index of the class."""

Pair = tuple[int, int]
"""Index of the model, index of the image."""


class Cell(NamedTuple):
    """A place on the screen for one result: its method, class, model and image."""

    method: str
    target: int
    model: int
    image: int

    @property
    def key(self) -> Key:
        """Key of the result in its explainer."""
        return self.method, self.target

    @property
    def pair(self) -> Pair:
        """Key of the explainer."""
        return self.model, self.image


def laid_out(shown: Cell, grid: Mapping[str, Sequence[Any]], resolved: Callable[[Cell], Cell]) -> list[Cell]:
    """Return the cells on the screen, row by row; the shown cell is always among them.

    Args:
        shown: the cell that the traits name.
        grid: lists by the names of :data:`~saliency_widget.protocol.values.AXES`; an axis without a list has the shown
            value.
        resolved: returns a cell with its top class replaced by its index, if that is known.
    """
    shown = resolved(shown)
    if not any(grid.values()):
        return [shown]
    axes = [list(grid.get(name) or [value]) for name, value in zip(AXES, shown, strict=True)]
    cells = _combined(axes, resolved)
    if shown not in cells:
        axes = [[*axis, value] if value not in axis else axis for axis, value in zip(axes, shown, strict=True)]
        cells = _combined(axes, resolved)
    first = cells[:MOST_CELLS]
    return first if shown in first else [*first[1:], shown]


def columns(cells: Sequence[Cell]) -> int:
    """Return the number of cells in a row; with several axes, a row holds the values of the first."""
    counts = [count for axis in zip(*cells, strict=True) if (count := len(set(axis))) > 1]
    if len(counts) > 1 and len(cells) % counts[0] == 0:
        return counts[0]
    return len(cells) if len(cells) < FEW else math.ceil(math.sqrt(len(cells)))


FEW = 4
"""Fewer cells than this are shown in one row."""


def distinguishing_names(cell: Cell, cells: Sequence[Cell], names: Sequence[str]) -> list[str]:
    """Return those of the names of a cell's method, class, model and image in which it differs from other cells.

    The name of its method if it differs in nothing.
    """
    differs = [any(other[at] != cell[at] for other in cells) for at in range(len(AXES))]
    return [name for name, differing in zip(names, differs, strict=True) if differing] or [names[0]]


def _combined(axes: Sequence[Sequence[Any]], resolved: Callable[[Cell], Cell]) -> list[Cell]:
    """Return every combination of the axes; methods vary fastest, images slowest."""
    cells = (Cell(*reversed(each)) for each in product(*reversed(axes)))
    return list(dict.fromkeys(resolved(each) for each in cells))
