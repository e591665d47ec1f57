"""Sensitivity to noise and consistency with the mirrored image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

import saliency
from saliency.metrics import Attribution, FlipConsistency, SensitivityMax
from saliency.metrics.similarity import spearman
from tests.frameworks import lazy
from tests.metrics.cases import GRADIENT, case_with, fed, gradient, mask_of, measured, picture
from tests.nets import small_net

captum_metrics = lazy("captum.metrics")


def noise(x: np.ndarray, draws: int = 10, radius: float = 0.02) -> np.ndarray:
    """Return the noise of the metric, (draws, H, W, C)."""
    reach = radius * np.ptp(x)
    return np.random.default_rng([0, draws]).uniform(-reach, reach, (draws, *x.shape))


def test_sensitivity_is_the_greatest_relative_change() -> None:
    """The gradient of ten noisy images, one at a time, by torch alone."""
    net = small_net()
    x = fed(net, picture())
    original = gradient(net, x)
    changes = np.array([np.linalg.norm(gradient(net, x + each) - original) for each in noise(x)])
    changes /= np.linalg.norm(original)

    found = measured(SensitivityMax(), net, picture(), GRADIENT)

    np.testing.assert_allclose(found.curves["change"].values, changes, rtol=1e-4)
    assert found.value == pytest.approx(changes.max(), rel=1e-4)
    assert found.details["mean"] == pytest.approx(changes.mean(), rel=1e-4)
    assert found.images == 10


@pytest.mark.needs("captum")
@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients:UserWarning")
def test_sensitivity_is_captum_s() -> None:
    """With the same noisy images, Captum's sensitivity_max gives the same number."""
    from captum.attr import Saliency
    from captum.metrics import sensitivity_max

    net = small_net()
    x = fed(net, picture())
    noisy = torch.tensor(x + noise(x), dtype=torch.float32).movedim(-1, 1)

    def explain(inputs: Any, **_: Any) -> Any:
        return Saliency(net).attribute(inputs, target=1, abs=False)

    expected = sensitivity_max(
        explain,
        torch.tensor(x, dtype=torch.float32).movedim(-1, 0)[None],
        perturb_func=lambda *_: (noisy,),
        n_perturb_samples=10,
    )

    assert measured(SensitivityMax(), net, picture(), GRADIENT).value == pytest.approx(float(expected), rel=1e-4)


def test_a_map_that_ignores_the_image_is_not_sensitive() -> None:
    """A constant map has 0, and a zero map NaN with the reason: nothing can be compared with it."""
    net = small_net()
    case = case_with(net, picture(), GRADIENT)
    case.runner = lambda images, targets=None, model=None: np.ones((1, len(images), 24, 20), np.float32)

    assert SensitivityMax()(case, Attribution(np.ones((24, 20)))).value == 0
    found = SensitivityMax()(case, Attribution(np.zeros((24, 20))))
    assert np.isnan(found.value)
    assert "the mask is zero" in found.reason


def test_flip_consistency_is_the_correlation_with_the_mask_flipped_back() -> None:
    """Against gradients of the mirrored input by torch alone; the probabilities of both images are given."""
    net = small_net()
    x = fed(net, picture())
    mirrored = np.ascontiguousarray(x[:, ::-1])
    own, back = np.abs(gradient(net, x)).sum(2), np.abs(gradient(net, mirrored)).sum(2)[:, ::-1]

    found = measured(FlipConsistency(), net, picture(), GRADIENT)

    assert found.value == pytest.approx(float(spearmanr(own.ravel(), back.ravel()).statistic), abs=1e-6)
    with torch.no_grad():
        both = torch.tensor(np.stack([x, mirrored]), dtype=torch.float32).movedim(-1, 1)
        before, after = net(both).softmax(1)[:, 1].tolist()
    assert found.details["probability"] == pytest.approx(before, abs=1e-5)
    assert found.details["probability mirrored"] == pytest.approx(after, abs=1e-5)
    assert found.images == 3


def one_sided(scale: float = 4.0, *, classes: int = 2) -> torch.nn.Module:
    """Return a network of two classes, or one value, that reads the left half of the image only."""

    class Left(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            score = scale * x[..., : x.shape[-1] // 2].mean((1, 2, 3))
            return torch.stack([score, -score], 1)[:, :classes]

    return Left()


@pytest.mark.parametrize("classes", [1, 2])
def test_flip_consistency_is_undefined_where_mirroring_changes_the_decision(classes: int) -> None:
    """A probability may change by a tenth, and a value by a tenth of what blurring does."""
    x = np.zeros((24, 20, 3), np.uint8)
    x[:, :10] = 200
    net = one_sided(classes=classes)

    found = measured(FlipConsistency(), net, x, GRADIENT, target=0)

    assert np.isnan(found.value)
    assert found.reason.startswith("mirroring the image changes the target's value from ")
    assert found.reason.endswith("to 50 %" if classes == 2 else "to 0")
    allowed = measured(FlipConsistency(change=100.0), net, x, GRADIENT, target=0)
    # both maps are the left half
    assert allowed.value == pytest.approx(-1)


def test_the_rank_correlation_is_scipy_s() -> None:
    """Of maps with ties it equals scipy.stats.spearmanr; with a constant map it is 0, with NaN it is NaN."""
    random = np.random.default_rng(0)
    one, other = random.integers(0, 9, (2, 12, 10)).astype(float)

    assert spearman(one, other) == pytest.approx(float(spearmanr(one.ravel(), other.ravel()).statistic), abs=1e-12)
    assert spearman(one, np.ones_like(one)) == 0
    assert np.isnan(spearman(one, np.where(other > 7, np.nan, other)))


def test_a_model_without_left_and_right() -> None:
    """With kernels that are their own mirror images, the map of the mirrored image is the mirrored map."""
    net = small_net()
    with torch.no_grad():
        for conv in (net.stem, net.block):
            conv.weight.copy_((conv.weight + conv.weight.flip(3)) / 2)

    assert measured(FlipConsistency(), net, picture(), GRADIENT).value == pytest.approx(1, abs=1e-4)


def test_a_constant_mask_has_no_order_to_compare() -> None:
    """FlipConsistency gives NaN with the reason."""
    found = FlipConsistency()(case_with(small_net(), picture(), GRADIENT), Attribution(np.ones((24, 20))))

    assert np.isnan(found.value)
    assert "constant" in found.reason
    assert mask_of(small_net(), picture(), saliency.GradCam()).values.shape == (24, 20)
