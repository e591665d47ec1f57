"""What is on the screen: one result, or several side by side. In step with js/src/core/select.ts."""

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
    """One result, as it is asked for and shown."""

    method: str
    target: int
    model: int
    image: int

    @property
    def key(self) -> Key:
        """What an explainer knows it by."""
        return self.method, self.target

    @property
    def pair(self) -> Pair:
        """Which explainer knows it."""
        return self.model, self.image


def laid_out(shown: Cell, grid: Mapping[str, Sequence[Any]], resolved: Callable[[Cell], Cell]) -> list[Cell]:
    """The cells on the screen, row by row; the shown one is always among them.

    Args:
        shown: what the traits name.
        grid: lists by the names of :data:`~saliency_widget.protocol.values.AXES`; what has none is what is shown.
        resolved: the same cell with its top class by its index, where that is known.
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
    """How many stand side by side: those of a row belong together where there is more than one axis."""
    counts = [count for axis in zip(*cells, strict=True) if (count := len(set(axis))) > 1]
    if len(counts) > 1 and len(cells) % counts[0] == 0:
        return counts[0]
    return len(cells) if len(cells) < FEW else math.ceil(math.sqrt(len(cells)))


FEW = 4
"""Cells that are fewer stand in one row."""


def distinguishing_names(cell: Cell, cells: Sequence[Cell], names: Sequence[str]) -> list[str]:
    """Of the names of a cell's method, class, model and image those in which it differs from others.

    Where it differs in nothing, its method's.
    """
    differs = [any(other[at] != cell[at] for other in cells) for at in range(len(AXES))]
    return [name for name, differing in zip(names, differs, strict=True) if differing] or [names[0]]


def _combined(axes: Sequence[Sequence[Any]], resolved: Callable[[Cell], Cell]) -> list[Cell]:
    """Every combination, methods side by side first, images last."""
    cells = (Cell(*reversed(each)) for each in product(*reversed(axes)))
    return list(dict.fromkeys(resolved(each) for each in cells))
