"""How much the score drops when a window of the image is covered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.called import CallModelFunction
from saliency.core.base import OUTPUT_LAYER_VALUES, CoreSaliency, floating
from saliency.errors import BadField
from saliency.method import Baseline, parameter
from saliency.model import Model
from saliency.samples import Patches, spans
from saliency.session import Session, originals


@dataclass(eq=False, repr=False)
class Occlusion(CoreSaliency):
    """How much the score drops while a window slides over the image (arXiv:1311.2901, section 4.2).

    A pixel's value is the mean drop over the windows that cover it, or their sum as PAIR has it. Needs scores only.
    One forward pass a window, and one for the image.
    """

    id = "occlusion"
    title = "Occlusion"
    paper = "arXiv:1311.2901"
    family = "perturbation"
    formula = r"M_p = \operatorname{mean}_{w \ni p} \bigl(f(x) - f(x_{\setminus w})\bigr)"
    advice = (
        "Any model at all, and the question is plain: what if this were covered? Blind to evidence that exists "
        "twice, and bound to the size of its window."
    )
    needs = Model
    sign = "positive"
    expected_keys: ClassVar[list[str]] = [OUTPUT_LAYER_VALUES]

    size: int | tuple[int, int] = parameter(15, "side of the window in pixels, or (height, width)", low=1)
    stride: int | tuple[int, int] = parameter(8, "how far the window moves, or (down, across)", low=1)
    value: Baseline = parameter("black", "what covers the window")
    reduce: str = parameter(
        "mean",
        "a pixel's value from the windows that cover it; with 'sum' no window is cropped at the border",
        choices=("mean", "sum"),
    )

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        ops = session.ops
        down, across = self.windows(tuple(images.shape))
        order = session.order(len(down) * len(across))
        whole = ops.concat([scores for _, scores in session.scores(originals(session, images))], 1)
        if not len(order):
            yield ops.asarray(np.zeros((*whole.shape, *images.shape[1:3])))
            return
        (shown,) = session.baselines(self._one_value(), images)
        cuts = [(*down[i // len(across)], *across[i % len(across)]) for i in order]
        patches = Patches(ops, images, cuts, shown)
        rows, columns = (
            ops.asarray(covers(axis, n)) for axis, n in zip((down, across), images.shape[1:3], strict=True)
        )
        # where each window of the grid stands in the order of asking
        place = np.argsort(order)
        drops: list[Any] = []
        for asked, scores in session.scores(patches):
            for image, which in spans(asked, patches.each):
                first = image * patches.each + which.start - asked.start
                part = scores[:, first : first + which.stop - which.start]
                drops.append(whole[:, image : image + 1] - part)
            if session.streaming or asked.stop == len(patches):
                yield self._map(ops.concat(drops, 1), asked.stop, place, rows, columns, session)

    def _map(self, drops: Any, asked: int, place: np.ndarray, rows: Any, columns: Any, session: Session[Any]) -> Any:
        """(k, b, H, W) from the drops (k, asked) of the windows asked so far."""
        ops, each = session.ops, len(place)
        k, images = int(drops.shape[0]), -(-asked // each)
        missing = images * each - asked
        visited = np.ones(images * each)
        if missing:
            visited[asked:] = 0
            drops = ops.concat([drops, ops.asarray(np.zeros((k, missing)))], 1)
        grid = (int(rows.shape[0]), int(columns.shape[0]))
        on_grid = ops.reshape(ops.take(ops.reshape(drops, (k, images, each)), place), (k, images, *grid))
        total = ops.matmul(ops.matmul(ops.transpose(rows, (1, 0)), on_grid), columns)
        if self.reduce == "sum" and not missing:
            return total
        covered = ops.asarray(visited.reshape(images, each)[:, place].reshape(1, images, *grid))
        count = ops.matmul(ops.matmul(ops.transpose(rows, (1, 0)), covered), columns)
        mean = total / ops.maximum(count, 1.0)
        if self.reduce == "mean":
            return mean
        return mean * ops.reshape(ops.sum(rows, 0), (-1, 1)) * ops.reshape(ops.sum(columns, 0), (1, -1))

    def windows(self, shape: tuple[int, ...]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Where the windows lie, (start, stop) along each axis of images (B, H, W, ...)."""
        axes = []
        for i, length in enumerate(shape[1:3]):
            size, stride = _along(self.size, i), _along(self.stride, i)
            if self.reduce == "sum":
                axes.append([(start, start + size) for start in range(0, length - size + 1, stride)])
                continue
            if stride > size:
                raise BadField(f"Occlusion's stride {stride} would leave gaps between windows of {size} pixels.")
            count = 1 + max(0, -(-(length - size) // stride))
            axes.append([(n * stride, min(n * stride + size, length)) for n in range(count)])
        return axes[0], axes[1]

    def cost(self, shape: tuple[int, ...]) -> int:
        down, across = self.windows(shape)
        return shape[0] * (1 + len(down) * len(across))

    def _one_value(self) -> Baseline:
        if isinstance(self.value, list | tuple):
            # a tuple is a colour, not several baselines
            return np.asarray(self.value, np.float64)
        return self.value

    def GetMask(
        self,
        x_value: Any,
        call_model_function: CallModelFunction,
        call_model_args: Any = None,
        size: int = 15,
        value: float = 0,
    ) -> np.ndarray:
        """PAIR's occlusion: every window of `size` wholly inside the image, its drop added to each of its pixels.

        Args:
            x_value: (H, W, C) or (H, W).
            call_model_function: see :class:`~saliency.core.base.CoreSaliency`.
            call_model_args: handed through.
            size: side of the window.
            value: what covers it.

        Returns:
            shape of `x_value`, the same in all channels.
        """
        image = np.asarray(x_value)
        fields: Mapping[str, Any] = {"size": size, "stride": 1, "value": value, "reduce": "sum"}
        mask = self._called(image, call_model_function, call_model_args, dtype=image.dtype, **fields)
        mask = mask.reshape(mask.shape + (1,) * (image.ndim - 2)).astype(floating(image))
        return np.array(np.broadcast_to(mask, image.shape))

    def getY(self, x_value: Any, call_model_function: CallModelFunction, call_model_args: Any) -> Any:
        """The score of one image, as PAIR's own helper asks it."""
        image = np.asarray(x_value)[None]
        output = call_model_function(image, call_model_args=call_model_args, expected_keys=self.expected_keys)
        self.format_and_check_call_model_output(output, image.shape, self.expected_keys)
        return output[OUTPUT_LAYER_VALUES][0]


def covers(windows: list[tuple[int, int]], length: int) -> np.ndarray:
    """(windows, length): 1 where the window covers."""
    at = np.arange(length)
    return np.array([(at >= start) & (at < stop) for start, stop in windows], np.float64)


def _along(value: int | tuple[int, int], axis: int) -> int:
    return int(value[axis]) if isinstance(value, tuple | list) else int(value)
