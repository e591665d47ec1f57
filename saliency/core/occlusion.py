"""Occlusion: the drop of the score when a window of the image is covered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency.core.coarse_to_fine import CoarseToFine
from saliency.core.method import parameter
from saliency.core.pair.occlusion import PairOcclusion
from saliency.core.windows import Windows
from saliency.errors import BadField
from saliency.model.protocols import Model
from saliency.session.baselines import Baseline, baseline_count
from saliency.session.samples import Patches, own, spans
from saliency.session.session import Session, originals


@dataclass(eq=False, repr=False)
class Occlusion(PairOcclusion):
    """The drop of the score while a window slides over the image (arXiv:1311.2901, section 4.2).

    A pixel's value is the mean drop over the windows that cover it, or their sum as in PAIR. With `share` below 1,
    every second window down and across is evaluated, and then those where the drop, interpolated, is largest. Needs
    scores only. Cost: one forward pass per window and cover, and one for the image.
    """

    id = "occlusion"
    title = "Occlusion"
    paper = "arXiv:1311.2901"
    family = "perturbation"
    formula = r"M_p = \operatorname{mean}_{w \ni p} \bigl(f(x) - f(x_{\setminus w})\bigr)"
    advice = (
        "Works with any model, and is easy to read: the score lost when a part is covered. Misses redundant "
        "evidence, and depends on the size of the window."
    )
    needs = Model
    sign = "positive"

    size: int | tuple[int, ...] = parameter(
        15, "Side of the window in pixels, or (height, width), or (height, width, channels)", low=1
    )
    stride: int | tuple[int, ...] = parameter(
        8, "Step of the window, or (down, across), or (down, across, channels)", low=1
    )
    value: Baseline = parameter(
        "black", "Cover of the window; numbers are a colour, several names or pictures are averaged"
    )
    reduce: str = parameter(
        "mean",
        "Combination of the windows that cover a pixel; with 'sum' no window is cropped at the border",
        choices=("mean", "sum"),
    )
    share: float = parameter(
        1.0,
        "Share of the windows to evaluate: a quarter evenly, then those of the largest drop; others are interpolated",
        low=0.3,
        high=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("size", "stride"):
            if isinstance(value := getattr(self, name), tuple | list) and len(value) not in (2, 3):
                raise BadField(f"Occlusion.{name} must be a number, (height, width) or with channels, got {value!r}.")

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        ops, shape = session.ops, tuple(int(n) for n in images.shape)
        axes = [*self.windows(shape), self.channel_windows(shape)]
        order = session.order(int(np.prod([len(axis) for axis in axes])))
        whole = ops.concat([scores for _, scores in session.scores(originals(session, images))], 1)
        if not len(order):
            yield ops.asarray(np.zeros((*whole.shape, *shape[1:3])))
            return
        if self.share < 1:
            order = np.arange(len(order))
        windows = Windows(ops, shape, axes, deep=self._in_channels, order=order)
        drops = self._some if self.share < 1 else self._all
        done: Any = 0.0
        for i, cover in enumerate(session.baselines(self._covers(), images)):
            for found, evaluated in drops(images, whole, windows, cover, session):
                mask = windows.map(found, evaluated, self.reduce)
                yield mask if i == 0 else (done[:, : mask.shape[1]] + mask) / (i + 1)
            done = done + mask

    def _all(
        self, images: Any, whole: Any, windows: Windows[Any], cover: Any, session: Session[Any]
    ) -> Iterator[tuple[Any, int]]:
        """Yield the drops (k, n) of the first n windows of all images, with n."""
        patches = Patches(session.ops, images, windows.cuts, cover)
        drops: list[Any] = []
        for evaluated, scores in session.scores(patches):
            for image, which in spans(evaluated, patches.each):
                first = image * patches.each + which.start - evaluated.start
                drops.append(whole[:, image : image + 1] - scores[:, first : first + which.stop - which.start])
            if session.streaming or evaluated.stop == len(patches):
                yield session.ops.concat(drops, 1), evaluated.stop

    def _some(
        self, images: Any, whole: Any, windows: Windows[Any], cover: Any, session: Session[Any]
    ) -> Iterator[tuple[Any, int]]:
        """Yield the drops (k, n) of all windows of all images, a share of them evaluated, with n."""
        ops, plan = session.ops, CoarseToFine(windows.grid, self.share)
        tops = ops.tohost(whole)
        drops = np.zeros((len(tops), len(images), len(windows.cuts)))

        def evaluated(image: int, which: np.ndarray) -> Iterator[slice]:
            """Store the drops of some windows of one image, and yield their numbers as they come."""
            patches = Patches(ops, images[image : image + 1], windows.cuts[which], own(cover, image))
            for rows, scores in session.scores(patches):
                drops[:, image, which[rows]] = tops[:, image : image + 1] - ops.tohost(scores)
                yield rows

        def drawn() -> tuple[Any, int]:
            return ops.asarray(drops.reshape(len(tops), -1)), drops.shape[1] * drops.shape[2]

        for image in range(len(images)):
            for _ in evaluated(image, plan.coarse):
                pass
            drops[:, image] = plan.filled(drops[:, image, plan.coarse])
            for _ in evaluated(image, plan.next(drops[:, image])):
                if session.streaming:
                    yield drawn()
        if not session.streaming or not plan.fine:
            yield drawn()

    @property
    def _in_channels(self) -> bool:
        """Whether windows, and therefore the mask, have channels."""
        return isinstance(self.size, tuple | list) and len(self.size) == 3

    def windows(self, shape: tuple[int, ...]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return the positions of the windows, (start, stop) along each axis of images (B, H, W, ...)."""
        self._refuse_channels_first(int(np.prod(shape[3:])))
        down, across = (
            self._along(length, _of(self.size, axis), _of(self.stride, axis)) for axis, length in enumerate(shape[1:3])
        )
        return down, across

    def channel_windows(self, shape: tuple[int, ...]) -> list[tuple[int, int]]:
        """Return the channels that each window covers: all, unless `size` has channels, then adjacent groups."""
        channels = int(np.prod(shape[3:]))
        if not self._in_channels:
            return [(0, channels)]
        size = _of(self.size, 2)
        return self._along(channels, size, _of(self.stride, 2) if np.size(self.stride) == 3 else size)

    def _refuse_channels_first(self, channels: int) -> None:
        for name in ("size", "stride"):
            value: Any = getattr(self, name)
            if np.size(value) == 3 and value[2] > channels >= value[0]:
                raise BadField(
                    f"Occlusion.{name}={tuple(value)} seems to have its channels first. They come last, as in "
                    f"(height, width, channels): use {name}={(value[1], value[2], value[0])}."
                )

    def _along(self, length: int, size: int, stride: int) -> list[tuple[int, int]]:
        if self.reduce == "sum":
            return [(start, start + size) for start in range(0, length - size + 1, stride)]
        if stride > size:
            raise BadField(f"Occlusion's stride {stride} would leave gaps between windows of {size} pixels.")
        count = 1 + max(0, -(-(length - size) // stride))
        return [(n * stride, min(n * stride + size, length)) for n in range(count)]

    def cost(self, shape: tuple[int, ...]) -> int:
        down, across = self.windows(shape)
        grid = len(down), len(across), len(self.channel_windows(shape))
        windows = int(np.prod(grid))
        if self.share < 1 and windows:
            plan = CoarseToFine(grid, self.share)
            windows = len(plan.coarse) + plan.fine
        return shape[0] * (1 + windows * baseline_count(self._covers()))

    def _covers(self) -> Baseline:
        # a sequence of numbers is a colour, not several baselines
        colour = isinstance(self.value, list | tuple) and all(isinstance(each, int | float) for each in self.value)
        return np.asarray(self.value, np.float64) if colour else self.value


def _of(value: int | tuple[int, ...], axis: int) -> int:
    return int(value[axis]) if isinstance(value, tuple | list) else int(value)
