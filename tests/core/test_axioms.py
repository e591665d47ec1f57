"""Axioms of the path methods from their papers, as properties of random networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import Tensor, nn
from torch.nn import functional

import saliency

IMAGE = np.random.default_rng(51).uniform(size=(6, 5, 3)).astype(np.float32)
SEEDS = st.integers(0, 10_000)

LINEAR: dict[str, saliency.Method] = {
    "gradient": saliency.GradientSaliency(),
    "input_x_gradient": saliency.InputXGradient(),
    "integrated_gradients": saliency.IntegratedGradients(steps=7, quadrature="gauss_legendre", baseline=[0.1, 0.8]),
    "expected_gradients": saliency.ExpectedGradients(samples=9, spread=0.1),
    "blur_ig": saliency.BlurIG(steps=7, max_sigma=3),
    "smooth_grad": saliency.SmoothGrad(samples=5),
}
"""Methods whose mask is linear in the score."""

BLIND: dict[str, saliency.Method] = {
    **{name: method for name, method in LINEAR.items() if name != "blur_ig"},
    "tolerance": saliency.IntegratedGradients(tolerance=0.05, baseline=0.3),
    "guided_ig": saliency.GuidedIG(steps=9),
    "idgi": saliency.IDGI(saliency.IntegratedGradients(steps=7)),
    "idg": saliency.IntegratedDecisionGradients(saliency.IntegratedGradients(steps=7)),
}
"""Methods that give nothing to what the score does not depend on."""


class Net(nn.Module):
    """Two convolutions with a given activation; the first ignores some channels on request.

    Weights are multiples of 1/1024 and the end is a sum, so that gradients are exact in whatever order they are added:
    Guided IG, which ranks them, sees equal ones as equal on every machine.
    """

    def __init__(
        self, seed: int, rectify: Callable[[Tensor], Tensor] = torch.relu, blind: tuple[int, ...] = ()
    ) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.second = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 4, 3)
        self.rectify = rectify
        with torch.no_grad():
            self.first.weight[:, list(blind)] = 0
            for part in (self.first, self.second):
                part.weight.copy_((1024 * part.weight).round() / 1024)
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.rectify(self.second(self.rectify(self.first(x)))).sum((2, 3))


def mask(model: Any, method: saliency.Method, target: Any = 1, image: np.ndarray = IMAGE) -> np.ndarray:
    """In float32, as explained."""
    return np.asarray(saliency.explain(model, image, method, target, progress=False).mask)


@pytest.mark.parametrize("name", LINEAR)
@settings(max_examples=3)
@given(seed=SEEDS, a=st.floats(-3, 3), b=st.floats(-3, 3))
def test_linearity(name: str, seed: int, a: float, b: float) -> None:
    """Of a weighted sum of scores the mask is the weighted sum of their masks."""
    net = Net(seed)
    first, second = (mask(net, LINEAR[name], target) for target in (0, 1))

    def both(outputs: Tensor) -> Tensor:
        return a * outputs[:, 0] + b * outputs[:, 1]

    scale = abs(a) * np.abs(first).max() + abs(b) * np.abs(second).max()
    assert_allclose(mask(net, LINEAR[name], both), a * first + b * second, rtol=0, atol=1e-5 * scale + 1e-12)


@pytest.mark.parametrize("name", BLIND)
@settings(max_examples=3)
@given(seed=SEEDS, channel=st.integers(0, 2))
def test_dummy(name: str, seed: int, channel: int) -> None:
    """A channel that the score does not read gets exactly nothing, and the others do."""
    found = mask(Net(seed, blind=(channel,)), BLIND[name])

    assert not found[..., channel].any()


@pytest.mark.parametrize("name", [name for name in BLIND if name not in ("smooth_grad", "expected_gradients")])
@settings(max_examples=3)
@given(seed=SEEDS)
def test_symmetry(name: str, seed: int) -> None:
    """Two channels that the score treats alike, with the same values, get the same."""
    net = Net(seed)
    with torch.no_grad():
        net.first.weight[:, 2] = net.first.weight[:, 0]
    alike = IMAGE.copy()
    alike[..., 2] = alike[..., 0]
    found = mask(net, BLIND[name], image=alike)

    assert_allclose(found[..., 0], found[..., 2], rtol=1e-5, atol=1e-7 * np.abs(found).max())


@pytest.mark.parametrize("name", BLIND)
@settings(max_examples=2)
@given(seed=SEEDS)
def test_implementation_invariance(name: str, seed: int) -> None:
    """A module, a function, a method, in place, or one that is used twice: the same score has the same mask."""
    expected = mask(Net(seed), BLIND[name])

    for rectify in (
        nn.ReLU(),
        nn.ReLU(inplace=True),
        lambda x: functional.relu(x, inplace=True),
        lambda x: functional.relu(x / 2) * 2,
    ):
        found = mask(Net(seed, rectify), BLIND[name])
        assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max() + 1e-12)


@settings(max_examples=6)
@given(seed=SEEDS, tolerance=st.floats(1e-3, 0.3))
def test_completeness_to_a_tolerance(seed: int, tolerance: float) -> None:
    """The gap is at most the requested share, or a note reports that it is not."""
    method = saliency.IntegratedGradients(tolerance=tolerance, baseline=[0.0, "blur"])
    found = saliency.explain(Net(seed), IMAGE, method, 2, progress=False)
    # of each baseline by itself, so of their mean no more than of the larger
    ends = [
        saliency.explain(Net(seed), IMAGE, method.but(baseline=each), 2, progress=False).baseline_score
        for each in (0.0, "blur")
    ]
    most = tolerance * np.mean([abs(found.score - each) for each in ends])

    assert abs(found.gap) <= most + 1e-6 or any("not reached" in note for note in found.notes)
