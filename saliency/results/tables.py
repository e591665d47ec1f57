"""Tables that print: the methods, and the layers of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from saliency.checks import flag
from saliency.core.evidence import Evidence, automatic
from saliency.core.method import Method


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as text in aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


class MethodInfo(NamedTuple):
    """One row of :func:`saliency.methods`."""

    id: str
    cls: type[Method]
    title: str
    needs: str
    """The capability it needs of a model."""
    cost: int
    """Images evaluated with default fields, for an image of 224×224; see :attr:`images_evaluated`."""
    paper: str
    family: str
    """One of :data:`saliency.core.method.FAMILIES`."""
    advice: str
    """When to use it, and when not."""
    evidence: Evidence | None = None
    """Its standing on the leaderboard, docs/leaderboard.md; None where it was not measured."""

    @property
    def images_evaluated(self) -> str:
        """The cost in words, with the part that depends on the model's outputs."""
        beyond = self.cls().beyond
        return f"{self.cost} + {beyond}" if beyond else str(self.cost)


class MethodTable(tuple[MethodInfo, ...]):
    """The methods; prints as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        rows = [("id", "class", "needs", "images evaluated", "standing", "paper")]
        rows += [
            (each.id, each.cls.__name__, each.needs, each.images_evaluated, str(each.evidence or "–"), each.paper)
            for each in self
        ]
        return aligned(rows)

    def by_evidence(self) -> MethodTable:
        """Return the methods by their standing on the leaderboard, the highest first, those without one last."""
        return MethodTable(sorted(self, key=lambda each: -each.evidence.standing if each.evidence else 1.0))

    def automatic(self, transformer: bool = False) -> MethodTable:
        """Return the methods that "auto" chooses from, the highest standing first: those of up to 64 images.

        Args:
            transformer: whether the model is a transformer, on which other methods stand highest.
        """
        by_id = {each.id: each for each in self}
        names = automatic(flag(transformer, "transformer"))
        return MethodTable(by_id[name] for name in names if name in by_id)


@dataclass(frozen=True)
class ChannelInfo:
    """One row of :attr:`saliency.LayerExplanation.channels`."""

    index: int
    """Index of the channel."""
    sum: float
    """Its attribution, summed over all places of the layer."""
    share: float
    """The absolute sum as a share of the absolute sums of all channels, 0–1."""


class ChannelTable(tuple[ChannelInfo, ...]):
    """The channels of a layer by falling absolute sum; prints as a table of the first ones."""

    __slots__ = ()

    SHOWN = 20
    """Number of rows that are printed."""

    def __repr__(self) -> str:
        rows = [("channel", "sum", "share")]
        rows += [(str(each.index), f"{each.sum:.4g}", f"{100 * each.share:.1f} %") for each in self[: self.SHOWN]]
        more = len(self) - self.SHOWN
        return aligned(rows) + (f"\n… and {more} more" if more > 0 else "")


class LayerInfo(NamedTuple):
    """One row of :func:`saliency.layers`."""

    name: str
    """The value for ``layer=``."""
    shape: tuple[int, ...]
    """Shape of its output for one image, in the model's own layout."""
    grid: str
    """Its height and width as a spatial grid over the image."""


class LayerTable(tuple[LayerInfo, ...]):
    """The layers with a spatial grid, in calling order; prints as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        rows = [("layer", "output", "grid")]
        rows += [(each.name, "×".join(map(str, each.shape)), each.grid) for each in self]
        return aligned(rows)
