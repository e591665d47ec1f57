"""The result of an explanation by the values of a layer: one number for each, ranked channels, and maps of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from saliency import checks
from saliency.errors import BadField, BadImage, brief
from saliency.results.explanation import Explanation
from saliency.results.tables import ChannelInfo, ChannelTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BARS = 20
"""Number of channels that are drawn as bars, where a layer has no place on a picture."""


@dataclass(eq=False, repr=False)
class LayerExplanation(Explanation):
    """A mask over the values of a layer: (h, w, K), (tokens, K) or (K,), with the layer's K channels last.

    Drawings, ``heatmap``, ``top`` and ``on_picture`` show the sum over channels, at the layer's place on the picture.
    """

    grid: tuple[int, int] | None = None
    """Height and width of the layer's grid on the picture; None for a layer without one, such as a dense layer."""
    before: int = 0
    """Number of tokens without a position (class, registers) before those of the grid."""

    def __post_init__(self) -> None:
        grid: Any = self.grid
        if grid is not None:
            if not isinstance(grid, list | tuple) or len(grid) != 2:
                raise BadField(f"grid must be (height, width), got {brief(grid)}.")
            height, width = (checks.whole(each, "grid", 1) for each in grid)
            self.grid = height, width
        self.before = checks.whole(self.before, "before", 0)
        super().__post_init__()

    def _check_mask(self) -> None:
        shape = self.mask.shape
        if not self.mask.size or not 1 <= self.mask.ndim <= 8:
            raise BadImage(f"mask must be (h, w, K), (tokens, K) or (K,), got {shape}.")
        if self.grid is None:
            return
        height, width = self.grid
        fits = shape[:2] == self.grid if self.mask.ndim == 3 else self.before + height * width <= shape[0]
        if self.mask.ndim not in (2, 3) or not fits:
            raise BadImage(f"The mask {shape} does not fit a grid of {height}×{width} positions.")

    @property
    def channels(self) -> ChannelTable:
        """The channels by falling absolute sum over all places: index, sum, and share of all absolute sums."""
        sums = self.mask.sum(tuple(range(self.mask.ndim - 1)), dtype=np.float64)
        total = float(np.abs(sums).sum())
        order = np.argsort(-np.abs(sums), kind="stable")
        return ChannelTable(
            ChannelInfo(int(k), float(sums[k]), float(abs(sums[k]) / total) if total else 0.0) for k in order
        )

    def channel(self, index: int, smooth: bool = True) -> np.ndarray:
        """Return the map of one channel on the picture's own pixels, (H, W); without a picture, on the layer's grid.

        Args:
            index: of the channel; negative ones count from the end.
            smooth: see :meth:`on_picture`.

        Raises:
            BadField: there is no such channel.
            BadImage: the layer has no grid on the picture.
        """
        count = self.mask.shape[-1]
        index = checks.whole(index, "index", -count, count - 1)
        plane = np.ascontiguousarray(self._planes()[..., index])
        return self._placed(plane, checks.flag(smooth, "smooth")) if self.picture.size else plane

    @property
    def _plane(self) -> np.ndarray:
        return np.asarray(self._planes().sum(-1), np.float32)

    @property
    def _is_placed(self) -> bool:
        return bool(self.picture.size) and self.grid is not None

    def _planes(self) -> np.ndarray:
        """Return the mask on the layer's grid, (h, w, K), without tokens that have no position."""
        if self.grid is None:
            raise BadImage(
                f"The layer {self.layer!r} with values of shape {self.mask.shape} has no grid on the picture: use "
                "exp.mask and exp.channels."
            )
        height, width = self.grid
        if self.mask.ndim == 3:
            return self.mask
        return self.mask[self.before : self.before + height * width].reshape(height, width, -1)

    def _plot_values(self, ax: Axes, percentile: float) -> None:
        """Draw the channels with the largest sums as bars."""
        shown = self.channels[:BARS]
        ax.bar(range(len(shown)), [each.sum for each in shown])
        ax.set_xticks(range(len(shown)), [str(each.index) for each in shown], fontsize="x-small")
        ax.set_xlabel(f"channel of {self.layer}", parse_math=False)
        ax.axhline(0, color="0.5", linewidth=0.5)

    def _repr_png_(self) -> bytes | None:
        return self._png(dpi=100)
