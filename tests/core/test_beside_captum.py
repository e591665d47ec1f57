"""The gradient methods beside Captum's, on the same nets: equal where Captum is right, and shown where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn
from torch.nn import functional

import saliency
from tests.frameworks import lazy
from tests.nets import small_net

attr = lazy("captum.attr")
pytestmark = [pytest.mark.agreement, pytest.mark.needs("captum")]

IMAGE = np.random.default_rng(21).uniform(size=(12, 10, 3)).astype(np.float32)
BASELINE = np.random.default_rng(22).uniform(size=IMAGE.shape).astype(np.float32)


class Plain(nn.Module):
    """Convolutions with max and average pooling, and a smooth activation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 6, 3, padding=1)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(torch.relu(self.first(x)), 2)
        return self.head(functional.gelu(self.second(x)).mean((2, 3)))


class Reused(nn.Module):
    """One ReLU module, called twice, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.relu = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 5, 3), nn.ReLU(inplace=True)
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.second(self.relu(self.first(x)))).mean((2, 3)))


def made(kind: str, seed: int) -> nn.Module:
    """One of the nets, in float64 and eval mode."""
    torch.manual_seed(seed)
    net = {"residual": lambda: small_net(seed=seed), "plain": Plain, "reused": Reused}[kind]()
    return net.double().eval()


NETS = [(kind, seed) for kind in ("residual", "plain", "reused") for seed in (0, 1)]


@pytest.fixture(params=NETS, ids=lambda each: f"{each[0]}-{each[1]}")
def net(request: pytest.FixtureRequest) -> nn.Module:
    """Each of them."""
    return made(*request.param)


def as_captum(image: np.ndarray) -> Tensor:
    """Return (1, C, H, W) with requires_grad set, because Captum warns if it has to set it."""
    return torch.tensor(image, dtype=torch.float64).permute(2, 0, 1)[None].requires_grad_()


def ours(net: nn.Module, method: str | saliency.Method, **fields: Any) -> np.ndarray:
    """The mask of class 1, (H, W, C)."""
    return np.asarray(saliency.explain(net, IMAGE, method, 1, progress=False, **fields).mask)


def same(found: np.ndarray, theirs: Tensor) -> None:
    """Equal to 1e-5 of the maximum."""
    expected = theirs.detach()[0].permute(1, 2, 0).numpy()
    assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_gradient(net: nn.Module) -> None:
    """Captum's Saliency, sign kept."""
    same(ours(net, "gradient"), attr.Saliency(net).attribute(as_captum(IMAGE), target=1, abs=False))


def test_input_x_gradient(net: nn.Module) -> None:
    """Captum's InputXGradient."""
    same(ours(net, "input_x_gradient"), attr.InputXGradient(net).attribute(as_captum(IMAGE), target=1))


@pytest.mark.parametrize(
    ("ours_is", "theirs_is"),
    [
        ("gauss_legendre", "gausslegendre"),
        ("riemann_left", "riemann_left"),
        ("riemann_right", "riemann_right"),
        ("riemann_middle", "riemann_middle"),
    ],
)
def test_integrated_gradients(net: nn.Module, ours_is: str, theirs_is: str) -> None:
    """Node by node and weight by weight, from a baseline of one's own."""
    theirs = attr.IntegratedGradients(net).attribute(
        as_captum(IMAGE), as_captum(BASELINE), target=1, n_steps=9, method=theirs_is
    )
    same(ours(net, "integrated_gradients", steps=9, quadrature=ours_is, baseline=BASELINE), theirs)


def test_captum_s_trapezoid_misses_a_linear_score_and_ours_does_not() -> None:
    """The answer is weight times way; Captum's weights sum to (n - 1) / n, so it is short by 1 / n."""
    torch.manual_seed(0)
    last = nn.Linear(IMAGE.size, 2)
    linear = nn.Sequential(nn.Flatten(), last).double()
    exact = last.weight[1].reshape(1, 3, *IMAGE.shape[:2]) * as_captum(IMAGE - BASELINE)
    theirs = attr.IntegratedGradients(linear).attribute(
        as_captum(IMAGE), as_captum(BASELINE), target=1, n_steps=10, method="riemann_trapezoid"
    )

    same(ours(linear, "integrated_gradients", steps=10, quadrature="trapezoid", baseline=BASELINE), exact)
    assert_allclose(theirs.detach(), 0.9 * exact.detach(), rtol=1e-5)


def test_several_baselines_are_the_mean_of_captum_s(net: nn.Module) -> None:
    """Captum takes one baseline an input; ours averages those of a list."""
    each = [
        attr.IntegratedGradients(net).attribute(as_captum(IMAGE), as_captum(one), target=1, n_steps=8)
        for one in (BASELINE, 0 * BASELINE)
    ]
    found = ours(net, "integrated_gradients", steps=8, quadrature="gauss_legendre", baseline=[BASELINE, 0 * BASELINE])
    same(found, (each[0] + each[1]) / 2)


def given(monkeypatch: pytest.MonkeyPatch, noise: np.ndarray) -> None:
    """Let Captum draw this noise, (n, H, W, C), in place of its own."""
    drawn = torch.tensor(noise, dtype=torch.float64).permute(0, 3, 1, 2)

    def normal(mean: Any, std: Tensor) -> Tensor:
        return drawn * std

    monkeypatch.setattr(torch, "normal", normal)


@pytest.mark.parametrize("inner", ["gradient", "integrated_gradients"])
@pytest.mark.parametrize(
    ("method", "kind"),
    [("smooth_grad", "smoothgrad"), ("smooth_grad_squared", "smoothgrad_sq"), ("var_grad", "vargrad")],
)
def test_the_smooth_grad_family(monkeypatch: pytest.MonkeyPatch, method: str, kind: str, inner: str) -> None:
    """Of the same noise, Captum's NoiseTunnel is the same mean, mean square and variance."""
    net, samples, spread = made("plain", 3), 5, 0.1
    noise = np.stack([np.random.default_rng([0, i]).standard_normal(IMAGE.shape, np.float32) for i in range(samples)])
    given(monkeypatch, noise)
    options: dict[str, Any] = {"nt_samples": samples, "stdevs": float(spread * np.ptp(IMAGE)), "nt_type": kind}
    base: Any
    if inner == "gradient":
        base, theirs = saliency.GradientSaliency(), attr.NoiseTunnel(attr.Saliency(net))
        options["abs"] = False
    else:
        base = saliency.IntegratedGradients(steps=4, quadrature="gauss_legendre")
        theirs = attr.NoiseTunnel(attr.IntegratedGradients(net))
        options["n_steps"] = 4
    smoothed = {"smooth_grad": saliency.SmoothGrad, "smooth_grad_squared": saliency.SmoothGradSquared}
    cls = smoothed.get(method, saliency.VarGrad)
    found = ours(net, cls(base, samples=samples, spread=spread))

    same(found, theirs.attribute(as_captum(IMAGE), target=1, **options))


def test_without_noise_the_mean_is_the_method_itself() -> None:
    """NoiseTunnel at a standard deviation of zero, and ours at a spread of zero."""
    net = made("residual", 4)
    theirs = attr.NoiseTunnel(attr.Saliency(net)).attribute(
        as_captum(IMAGE), target=1, nt_samples=3, stdevs=0.0, abs=False
    )
    same(ours(net, "smooth_grad", spread=0, samples=3), theirs)


@pytest.mark.parametrize("spread", [0.0, 0.15])
def test_expected_gradients_is_gradient_shap(monkeypatch: pytest.MonkeyPatch, spread: float) -> None:
    """Given our draws of baselines, nodes and noise, Captum's GradientShap is the same."""
    net, samples = made("plain", 5), 7
    several = np.random.default_rng(23).uniform(size=(3, *IMAGE.shape)).astype(np.float32)
    draws = [np.random.default_rng([9, i]) for i in range(samples)]
    chosen, alphas = [int(draw.integers(3)) for draw in draws], [draw.uniform() for draw in draws]
    given(monkeypatch, np.stack([draw.standard_normal(IMAGE.shape, np.float32) for draw in draws]))
    monkeypatch.setattr(np.random, "choice", lambda *_, **__: np.array(chosen))
    monkeypatch.setattr(np.random, "uniform", lambda *_, **__: np.array(alphas))
    theirs = attr.GradientShap(net).attribute(
        as_captum(IMAGE),
        torch.tensor(several, dtype=torch.float64).permute(0, 3, 1, 2),
        target=1,
        n_samples=samples,
        stdevs=float(spread * np.ptp(IMAGE)),
    )
    found = ours(net, saliency.ExpectedGradients(samples=samples, baseline=several, spread=spread, seed=9))

    same(found, theirs)


def test_the_gap_is_captum_s_convergence_delta(net: nn.Module) -> None:
    """Sum of the mask less the difference of the scores."""
    theirs, delta = attr.IntegratedGradients(net).attribute(
        as_captum(IMAGE), as_captum(BASELINE), target=1, n_steps=6, return_convergence_delta=True
    )
    found = saliency.explain(
        net, IMAGE, "integrated_gradients", 1, steps=6, quadrature="gauss_legendre", baseline=BASELINE, progress=False
    )

    assert_allclose(found.gap, float(delta), rtol=1e-3, atol=1e-5 * float(theirs.detach().abs().sum()))


@pytest.mark.parametrize("layer", ["first", "second"])
@pytest.mark.parametrize("relu", [True, False])
def test_grad_cam_is_captum_s_resized_by_torch(layer: str, relu: bool) -> None:
    """Captum's raw map through torch's bilinear interpolation, borders clamped, equals the mask."""
    net = made("plain", 6)
    theirs = attr.LayerGradCam(net, net.get_submodule(layer)).attribute(
        as_captum(IMAGE), target=1, relu_attributions=relu
    )
    resized = attr.LayerAttribution.interpolate(theirs, IMAGE.shape[:2], "bilinear")

    assert theirs.abs().max() > 0
    same(ours(net, saliency.GradCam(relu=relu), layer=layer)[..., None], resized)
