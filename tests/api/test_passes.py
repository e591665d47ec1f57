"""One pass is one pass: the model's real calls for every method of the catalogue, counted by the model itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

import saliency
from saliency.core.catalogue import METHODS
from tests.api.test_layers import made
from tests.conformance.models import reads_attention
from tests.nets import few, picture, small_net

ONE_PASS = frozenset(
    {
        "gradient",
        "input_x_gradient",
        "guided_backprop",
        "deconvolution",
        "lrp",
        "grad_cam",
        "grad_cam_plus_plus",
        "hires_cam",
        "layer_cam",
        "xgrad_cam",
        "refine_cam",
        "eigen_cam",
        "attention_rollout",
        "attention_relevance",
        "grad_sam",
    }
)
"""Methods that need one pass over the image and nothing else."""


EXTRA = {"neuron_conductance": 1, "le_grad": 2}
"""Further calls: the value of the neuron, and the head after each of two blocks, as a module is called as a whole."""

SEEN: list[int] = []
"""Number of images of each call so far; a global, as the objects of a module are copied with it."""


class Counted(nn.Module):
    """A module that records its calls in :data:`SEEN`.

    Args:
        inner: the network.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        SEEN.append(len(images))
        found: Tensor = self.inner(images)
        return found


def counted(method: str) -> tuple[Any, np.ndarray]:
    """Return an adapted model that a method can explain, and an image for it."""
    attends = reads_attention(METHODS[method])
    inner = made(fused=False) if attends else small_net()
    return saliency.adapt(Counted(inner).eval()), picture(*((32, 48) if attends else (24, 20))).astype(np.float32) / 255


def ends_of(method: Any) -> int:
    """Return the number of images at which a complete method needs the score: the image and its baselines."""
    return 5 if method.complete else 1


@pytest.mark.parametrize("target", [1, None], ids=["a target", "no target"])
@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_asked_twice(method: str, target: int | None) -> None:
    """From the second explanation on, a model is called as often as the method needs, plus once for the top class.

    A complete method also needs the scores at the ends of its paths, if no step lies there: one more call.
    """
    adapted, image = counted(method)
    used = METHODS[method](**few(METHODS[method], image.shape))

    def explain() -> Any:
        return saliency.explain(adapted, image, used, target, progress=False)

    explain()
    SEEN.clear()
    found = explain()
    calls, images = len(SEEN), sum(SEEN)
    top = 1 if target is None else 0
    if method in ONE_PASS:
        assert [1] * (1 + top) == SEEN
    elif method == "deep_lift":
        assert images == 2 + top
    else:
        extra = EXTRA.get(method, 0)
        assert calls <= found.calls + 1 + top + extra
        assert images <= found.images + ends_of(found.instance) + top + extra
    assert found.score == pytest.approx(
        float(adapted.at([found.target]).scores(adapted.ops.asarray(image[None]))[0, 0])
    )
