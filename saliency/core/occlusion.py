"""Occlusion: the drop of the score when a window of the image is covered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency.core.method import parameter
from saliency.core.pair.occlusion import PairOcclusion
from saliency.core.windows import Windows
from saliency.errors import BadField
from saliency.model.protocols import Model
from saliency.session.baselines import Baseline, baseline_count
from saliency.session.samples import Patches, spans
from saliency.session.session import Session, originals


@dataclass(eq=False, repr=False)
class Occlusion(PairOcclusion):
    """The drop of the score while a window slides over the image (arXiv:1311.2901, section 4.2).

    A pixel's value is the mean drop over the windows that cover it, or their sum as in PAIR. Needs scores only. Cost:
    one forward pass per window and cover, and one for the image.
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
        windows = Windows(ops, shape, axes, deep=self._in_channels, order=order)
        done: Any = 0.0
        for i, cover in enumerate(session.baselines(self._covers(), images)):
            patches = Patches(ops, images, windows.cuts, cover)
            drops: list[Any] = []
            for evaluated, scores in session.scores(patches):
                for image, which in spans(evaluated, patches.each):
                    first = image * patches.each + which.start - evaluated.start
                    part = scores[:, first : first + which.stop - which.start]
                    drops.append(whole[:, image : image + 1] - part)
                if session.streaming or evaluated.stop == len(patches):
                    mask = windows.map(ops.concat(drops, 1), evaluated.stop, self.reduce)
                    yield mask if i == 0 else (done[:, : mask.shape[1]] + mask) / (i + 1)
            done = done + mask

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
        windows = len(down) * len(across) * len(self.channel_windows(shape))
        return shape[0] * (1 + windows * baseline_count(self._covers()))

    def _covers(self) -> Baseline:
        # a sequence of numbers is a colour, not several baselines
        colour = isinstance(self.value, list | tuple) and all(isinstance(each, int | float) for each in self.value)
        return np.asarray(self.value, np.float64) if colour else self.value


def _of(value: int | tuple[int, ...], axis: int) -> int:
    return int(value[axis]) if isinstance(value, tuple | list) else int(value)
