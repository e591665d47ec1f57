"""Score-CAM: channels weighted by the score of the image masked by them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency.core.cam import resized, scaled
from saliency.core.channelwise_cam import ChannelwiseCam
from saliency.core.method import parameter
from saliency.model.protocols import Ops
from saliency.session.baselines import Baseline
from saliency.session.samples import PerImage, own
from saliency.session.session import Session


@dataclass(eq=False, repr=False)
class ScoreCam(ChannelwiseCam):
    """A layer's activations, each channel weighted by the score of the image masked by it (arXiv:1910.01279, alg. 1).

    A channel's mask is its activation, resized to the image and scaled to 0–1 (zero if it is constant). The weights are
    the softmax over the channels of the masked images' scores, in which the baseline's own score cancels. With
    `clusters`, similar channels share one mask, the mean of theirs, and its score. Cost: one forward pass, plus one per
    channel of the layer, whose number is known after the first, or per cluster.
    """

    id = "score_cam"
    title = "Score-CAM"
    paper = "arXiv:1910.01279"
    formula = (
        r"M = \max\Bigl(0, \sum_k \mathrm{softmax}_k\bigl(f(x' + m_k (x - x'))\bigr) A^k\Bigr),"
        r"\quad m_k = \mathrm{norm}(\mathrm{resize}(A^k))"
    )
    advice = (
        "For models without gradients, or with saturated or noisy ones. The cost grows with the number of channels, "
        "and for large scores the softmax selects a single channel; maps differ little between classes."
    )

    baseline: Baseline = parameter(0.0, "Replacement of pixels hidden by a mask")
    clusters: int | None = parameter(
        None, "Number of clusters of similar channels, evaluated together; by default every channel alone", low=1
    )

    def units(self, activations: Any, session: Session[Any]) -> tuple[Any, np.ndarray | None]:
        channels = int(activations.shape[-1])
        if self.clusters is None or self.clusters >= channels:
            return activations, None
        found = []
        for each in session.ops.tohost(activations):
            session.check()
            found.append(clustered(each, self.clusters))
        return session.ops.asarray(np.stack([maps for maps, _ in found])), np.stack([of for _, of in found])

    def evaluated(self, images: Any, activations: Any, session: Session[Any]) -> Iterator[tuple[slice, Any]]:
        (baseline,) = session.baselines(self.baseline, images)
        yield from session.scores(Masked(session.ops, images, activations, baseline))

    def weighed(self, scores: np.ndarray) -> np.ndarray:
        powers = np.exp(scores - np.nanmax(scores, -1, keepdims=True))
        return powers / np.nansum(powers, -1, keepdims=True)


def clustered(activations: np.ndarray, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """Join channels with similar maps by Ward's clustering, which minimizes the squared distances to the means.

    Args:
        activations: (h, w, K); each map is first scaled to 0-1.
        clusters: number of clusters, less than K.

    Returns:
        the mean maps (h, w, clusters), and the index of the cluster of each channel, (K,).
    """
    from scipy.cluster.hierarchy import cut_tree, linkage

    maps = activations.reshape(-1, activations.shape[-1]).T.astype(np.float64)
    least = maps.min(1, keepdims=True)
    span = maps.max(1, keepdims=True) - least
    maps = (maps - least) / np.where(span > 0, span, 1.0)
    members = cut_tree(linkage(maps, "ward"), clusters)[:, 0]
    means = np.stack([maps[members == i].mean(0) for i in range(clusters)], 1)
    return means.reshape(*activations.shape[:2], clusters), members


class Masked(PerImage[Any]):
    """The image seen through each of its channels: baseline + mask * (image - baseline).

    Args:
        images: (B, H, W, C).
        activations: (B, h, w, K).
        baselines: (B, H, W, C), or (1, H, W, C) for all.
    """

    def __init__(self, ops: Ops[Any], images: Any, activations: Any, baselines: Any) -> None:
        super().__init__(ops, images, each=int(activations.shape[-1]))
        self.channels, self.baselines = ops.transpose(activations, (0, 3, 1, 2)), baselines

    def copies(self, image: int, which: slice) -> Any:
        masks = scaled(resized(self.channels[image, which], self.images, self.ops), self.ops)
        hidden = own(self.baselines, image)
        return hidden + masks[..., None] * (self.images[image : image + 1] - hidden)
