"""One pass is one pass: the model's real calls for every method of the catalogue, counted by the model itself."""

from __future__ import annotations

import cProfile
from collections.abc import Callable
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


SHARING = ["grad_cam", "eigen_cam", "layer_cam", "hires_cam", "gradient", "input_x_gradient"]
"""Methods that need two passes in all: one that reads the layer, and one for the gradient by the image."""


@pytest.mark.parametrize("target", [1, None], ids=["a target", "no target"])
def test_a_list_of_methods_shares_passes(target: int | None) -> None:
    """Methods that need the same pass share it; each result is that of the method alone."""
    adapted, image = counted("gradient")
    saliency.explain(adapted, image, SHARING, target, progress=False)
    SEEN.clear()
    found = saliency.explain(adapted, image, SHARING, target, progress=False)

    assert [1] * (2 if target is not None else 3) == SEEN
    assert [each.method for each in found] == SHARING
    assert [each.calls for each in found] == [1, 0, 0, 0, 1, 0]
    for each in found:
        alone = saliency.explain(adapted, image, each.method, target, progress=False)
        np.testing.assert_array_equal(each.mask, alone.mask)
        assert each.score == alone.score


def test_the_smooth_grad_family_shares_its_noisy_copies() -> None:
    """The three statistics of the same noisy copies cost one of them; another seed or method inside is new."""
    adapted, image = counted("gradient")
    family = saliency.SmoothGrad, saliency.SmoothGradSquared, saliency.VarGrad
    others = [saliency.SmoothGrad(samples=4, seed=1), saliency.VarGrad(saliency.GradCam(), samples=4)]
    methods = [*(each(samples=4) for each in family), *others]
    saliency.explain(adapted, image, methods, 1, progress=False)
    SEEN.clear()
    found = saliency.explain(adapted, image, methods, 1, progress=False)

    assert sum(SEEN) <= 3 * 4 + len(methods)  # and the score of the image itself
    assert [each.images for each in found] == [4, 0, 0, 4, 4]
    assert [any("earlier method" in note for note in each.notes) for each in found[:3]] == [False, True, True]
    for each, method in zip(found, methods, strict=True):
        alone = saliency.explain(adapted, image, method, 1, progress=False)
        np.testing.assert_array_equal(each.mask, alone.mask)


def test_paths_with_the_same_steps_are_shared() -> None:
    """XRAI takes the path of Integrated Gradients with its steps and baseline; another rule or baseline is new."""
    adapted, image = counted("gradient")
    methods: list[Any] = [
        saliency.IntegratedGradients(steps=4, baseline="white"),
        saliency.XRAI(steps=4),
        saliency.IntegratedGradients(steps=4, baseline=["black", "white"]),
        saliency.IntegratedGradients(steps=4, quadrature="trapezoid"),
        saliency.IntegratedGradients(steps=4, baseline="grey"),
    ]
    found = saliency.explain(adapted, image, methods, 1, progress=False, batch_size=4)

    assert [each.images for each in found] == [4, 4, 0, 4, 4]
    for each, method in zip(found, methods, strict=True):
        alone = saliency.explain(adapted, image, method, 1, progress=False, batch_size=4)
        np.testing.assert_allclose(each.mask, alone.mask, rtol=1e-5, atol=1e-6 * np.abs(alone.mask).max())
        assert each.gap == pytest.approx(alone.gap, abs=1e-5)


def test_methods_at_different_layers_share_nothing() -> None:
    """A pass is shared only where it reads the same layers."""
    adapted, image = counted("gradient")
    methods = [saliency.GradCam("inner.stem"), saliency.GradCam("inner.block"), saliency.GradCam("inner.stem")]
    found = saliency.explain(adapted, image, methods, 1, progress=False)

    assert [each.calls for each in found] == [1, 1, 0]
    assert np.abs(found[0].mask - found[1].mask).max() > 0
    np.testing.assert_array_equal(found[0].mask, found[2].mask)


def test_changes_of_the_model_are_noticed() -> None:
    """Remembered layers and numbers of classes end with the structure of the model that they belong to."""
    adapted, image = counted("gradient")
    saliency.explain(adapted, image, "grad_cam", 1, progress=False)
    inner = adapted.module.inner
    inner.head = nn.Linear(6, 9)
    assert saliency.explain(adapted, image, "grad_cam", 8, progress=False).target == 8
    inner.head = nn.Linear(6, 2)
    with pytest.raises(saliency.BadTarget, match="2"):
        saliency.explain(adapted, image, "grad_cam", 8, progress=False)


def functions_called(run: Callable[[], object]) -> int:
    """Return the number of calls of Python functions, which does not depend on the machine's load."""
    profile = cProfile.Profile(builtins=False)
    profile.runcall(run)
    return sum(each.callcount for each in profile.getstats())


def test_the_overhead_of_one_call() -> None:
    """A gradient of an adapted model takes at most 1,600 calls of Python functions, and 250 by PAIR's interface."""
    adapted, image = counted("gradient")

    def explained() -> None:
        saliency.explain(adapted, image, "gradient", 1, progress=False)

    def function(x_value_batch: Any, call_model_args: Any = None, expected_keys: Any = None) -> Any:
        return dict.fromkeys(expected_keys, np.ones_like(x_value_batch))

    def called() -> None:
        saliency.core.GradientSaliency().GetMask(image, function)

    for run, most in ((explained, 1600), (called, 250)):
        run()
        run()
        count = functions_called(run)
        assert count <= most, count
