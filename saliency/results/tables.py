"""What there is, as tables that print: methods, and the layers of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from saliency.core.method import Method


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as text, in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


class MethodInfo(NamedTuple):
    """One line of :func:`saliency.methods`."""

    id: str
    cls: type[Method]
    title: str
    needs: str
    """What it asks of a model."""
    cost: int
    """Images asked with default fields, for an image of 224×224; see :attr:`asked`."""
    paper: str
    family: str
    """One of :data:`saliency.core.method.FAMILIES`."""
    advice: str
    """When to use it, and when not."""

    @property
    def asked(self) -> str:
        """The cost in words, with what is known only once the model has answered."""
        beyond = self.cls().beyond
        return f"{self.cost} + {beyond}" if beyond else str(self.cost)


class MethodTable(tuple[MethodInfo, ...]):
    """The methods there are; prints as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        rows = [("id", "class", "needs", "images asked", "paper")]
        rows += [(each.id, each.cls.__name__, each.needs, each.asked, each.paper) for each in self]
        return aligned(rows)


class LayerInfo(NamedTuple):
    """One line of :func:`saliency.layers`."""

    name: str
    """What ``layer=`` takes."""
    shape: tuple[int, ...]
    """Of its output, for one image, in the model's own layout."""
    grid: str
    """How it lies over the image."""


class LayerTable(tuple[LayerInfo, ...]):
    """The layers with a spatial grid, in the order they are called; prints as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        rows = [("layer", "output", "grid")]
        rows += [(each.name, "×".join(map(str, each.shape)), each.grid) for each in self]
        return aligned(rows)
