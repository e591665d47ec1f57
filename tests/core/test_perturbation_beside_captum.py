"""Perturbation methods equal Captum's on the same networks and draws, to 1e-5 of the maximum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import saliency
from tests.frameworks import lazy
from tests.nets import small_net

attr = lazy("captum.attr")
pytestmark = [pytest.mark.agreement, pytest.mark.needs("captum")]

IMAGE = np.random.default_rng(21).uniform(size=(12, 10, 3)).astype(np.float32)
BASELINE = np.random.default_rng(22).uniform(size=IMAGE.shape).astype(np.float32)
LABELS = np.random.default_rng(23).integers(0, 6, (12, 10))


def tensor(array: np.ndarray) -> Tensor:
    """(1, C, H, W)."""
    return torch.tensor(array, dtype=torch.float64).permute(2, 0, 1)[None]


@pytest.fixture(params=[0, 1, 2])
def net(request: pytest.FixtureRequest) -> nn.Module:
    """Random nets with residuals, batch norm and ReLU in place."""
    return small_net(seed=request.param).double()


def same(net: nn.Module, method: saliency.Method, theirs: Tensor) -> None:
    """Our mask of class 1 is Captum's, which is the same in all channels where ours has none."""
    found = saliency.explain(net, IMAGE, method, 1, progress=False).mask
    expected = theirs.detach()[0].permute(1, 2, 0).numpy()
    expected = expected if found.ndim == 3 else expected[..., 0]

    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_feature_ablation(net: nn.Module) -> None:
    """Scattered features, replaced by a picture."""
    options: Any = {"baselines": tensor(BASELINE), "target": 1, "feature_mask": torch.tensor(LABELS)[None, None]}
    theirs = attr.FeatureAblation(net).attribute(tensor(IMAGE), **options)

    same(net, saliency.FeatureAblation(segments=LABELS, baseline=BASELINE), theirs)


@pytest.mark.parametrize(("size", "stride"), [((4, 4, 3), (4, 3, 3)), ((5, 3, 2), (2, 3, 1)), ((12, 10, 1), (1, 1, 1))])
def test_occlusion(net: nn.Module, size: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
    """Windows of any shape and stride, over channels too, cropped at the border."""
    options: Any = {"sliding_window_shapes": (size[2], *size[:2]), "strides": (stride[2], *stride[:2])}
    theirs = attr.Occlusion(net).attribute(tensor(IMAGE), **options, baselines=0.25, target=1)

    same(net, saliency.Occlusion(size=size, stride=stride, value=0.25), theirs)


def test_exact_shapley_values(net: nn.Module) -> None:
    """Captum walks all orders, this package evaluates each coalition once; KernelSHAP of all coalitions agrees."""
    labels = LABELS % 4
    theirs = attr.ShapleyValues(net).attribute(tensor(IMAGE), target=1, feature_mask=torch.tensor(labels)[None, None])

    same(net, saliency.Shapley(segments=labels, baseline=0.0), theirs)
    same(net, saliency.KernelShap(segments=labels, baseline=0.0), theirs)


def test_shapley_sampling_along_the_same_orders(net: nn.Module) -> None:
    """Handed our orders, Captum's sampling gives our values."""
    method = saliency.ShapleySampling(segments=LABELS, samples=7, baseline=0.0)
    sampling = attr.ShapleyValueSampling(net)
    sampling.permutation_generator = lambda features, samples: (
        tuple(method.order(i, features).tolist()) for i in range(samples)
    )
    mask = torch.tensor(LABELS)[None, None]

    same(net, method, sampling.attribute(tensor(IMAGE), target=1, feature_mask=mask, n_samples=7))
