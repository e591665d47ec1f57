"""Ablation-CAM: channels weighted by the drop of the score without them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.core.channelwise_cam import ChannelwiseCam
from saliency.model.protocols import Ops, Patchable
from saliency.session.samples import PerImage, spans
from saliency.session.session import Session


@dataclass(eq=False, repr=False)
class AblationCam(ChannelwiseCam):
    """Each channel of a layer weighted by the drop of the score without it (doi:10.1109/WACV45572.2020.9093360).

    The paper divides the drops by the score. This factor is common to all channels, and would invert the signs where
    the score is negative: it is omitted. Cost: two forward passes, plus one per channel of the layer, known after the
    first.
    """

    id = "ablation_cam"
    title = "Ablation-CAM"
    paper = "doi:10.1109/WACV45572.2020.9093360"
    needs = Patchable
    formula = r"M = \max\Bigl(0, \sum_k \bigl(f(A) - f(A \text{ with } A^k = 0)\bigr) A^k\Bigr)"
    advice = (
        "Measures the effect of each channel, where gradients give only the slope: use it for saturated scores and "
        "quantized models. The cost grows with the number of channels. Redundant channels all get low weights."
    )

    extra: ClassVar[int] = 1

    def evaluated(self, images: Any, activations: Any, session: Session[Any]) -> Iterator[tuple[slice, Any]]:
        yield from session.scores_with(Ablated(session.ops, images, activations))

    def weighed(self, scores: np.ndarray) -> np.ndarray:
        return scores[..., :1] - scores[..., 1:]


class Ablated(PerImage[Any]):
    """Each image with the layer's activations: first unchanged, then with one channel at a time set to zero.

    Args:
        images: (B, H, W, C).
        activations: (B, h, w, K).
    """

    def __init__(self, ops: Ops[Any], images: Any, activations: Any) -> None:
        super().__init__(ops, images, each=1 + int(activations.shape[-1]))
        self.activations = activations

    def __getitem__(self, rows: slice) -> Any:
        parts = [self.copies(image, which) for image, which in spans(rows, self.each)]
        return tuple(self.ops.concat(list(each)) for each in zip(*parts, strict=True))

    def copies(self, image: int, which: slice) -> Any:
        channels = np.arange(self.each - 1)
        kept = channels != np.arange(which.start, which.stop)[:, None] - 1
        ablated = self.activations[image : image + 1] * self.ops.asarray(kept[:, None, None])
        return self.ops.repeat(self.images[image : image + 1], len(kept)), ablated
