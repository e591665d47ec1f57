"""Guided backpropagation and deconvolution: against the papers by hand, against Captum, and in every spelling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import saliency
from saliency.core.catalogue import METHODS
from saliency.core.method import run
from saliency.session.session import Session
from tests.frameworks import lazy
from tests.nets import small_net

pytestmark = [
    pytest.mark.filterwarnings("ignore:Setting backward hooks"),  # Captum's
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
]

X = np.random.default_rng(0).normal(size=(9, 8, 3)).astype(np.float32)
attr = lazy("captum.attr")

CAPTUM = {"guided_backprop": "GuidedBackprop", "deconvolution": "Deconvolution"}

SPELLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
    "functional": functional.relu,
    "functional in place": lambda x: functional.relu(x, True),
    "torch.relu": torch.relu,
    "relu_": lambda x: x.relu_(),
    "torch.relu_": torch.relu_,
    "clamp": lambda x: x.clamp(min=0),
    "clamp_": lambda x: x.clamp_(0),
    "clamp_min": lambda x: torch.clamp_min(x, 0.0),
    "threshold": nn.Threshold(0, 0),
    "leaky": nn.LeakyReLU(0.0),
}


class Net(nn.Module):
    """Two convolutions, the same ReLU after both, a residual, a head."""

    def __init__(self, relu: Callable[[Tensor], Tensor], seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.relu = relu
        self.stem, self.block = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.norm, self.head = nn.BatchNorm2d(6), nn.Linear(6, 4)
        self.norm.running_mean = torch.randn(6) * 0.1

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(self.relu(self.norm(self.stem(x))), 2)
        y = self.block(x)
        y += x
        return self.head(self.relu(y).mean((2, 3)))


def explain(net: Any, method: Any, target: Any = 1, **options: Any) -> Any:
    """Explain the picture as it is, without a bar."""
    return saliency.explain(net, X, method, target, **{"progress": False, "preprocess": lambda x: x, **options})


def sequential(seed: int, relu: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """A network that Captum can hook: every ReLU a module of its own."""
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), relu(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(6, 8, 3), relu(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(32, 16), relu(), nn.Linear(16, 4)).eval()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("method", CAPTUM)
def test_agrees_with_captum(method: str, in_place: bool, seed: int) -> None:
    """If every rectifier is an nn.ReLU, the masks equal Captum's."""
    net = sequential(seed, lambda: nn.ReLU(inplace=in_place))
    fed = torch.from_numpy(X).permute(2, 0, 1)[None].requires_grad_()
    expected = getattr(attr, CAPTUM[method])(net).attribute(fed, target=1)[0].permute(1, 2, 0).detach().numpy()

    np.testing.assert_allclose(explain(net, method).mask, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("method", CAPTUM)
def test_is_what_the_papers_say(method: str) -> None:
    """Two dense layers by hand, in NumPy."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(X.size, 12), nn.ReLU(), nn.Linear(12, 4))
    first, last = net[1], net[3]
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    w, b = first.weight.detach().numpy(), first.bias.detach().numpy()
    z = w @ X.transpose(2, 0, 1).ravel() + b
    back = np.maximum(last.weight.detach().numpy()[1], 0)
    if method == "guided_backprop":
        back = back * (z > 0)
    expected = (back @ w).reshape(3, 9, 8).transpose(1, 2, 0)

    np.testing.assert_allclose(explain(net, method).mask, expected, atol=1e-6)


@pytest.mark.parametrize("method", CAPTUM)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_relu_is_the_same(method: str, spelling: str) -> None:
    """Module, functional, in place, reused: one mask, where Captum sees only nn.ReLU, and each only once."""
    expected = explain(Net(nn.ReLU()).eval(), method).mask
    found = explain(Net(SPELLINGS[spelling]).eval(), method).mask

    assert expected.any()
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_captum_gives_the_plain_gradient_for_a_functional_relu() -> None:
    """Why nothing of Captum is compared on functional networks."""
    net = Net(functional.relu).eval()
    fed = torch.from_numpy(X).permute(2, 0, 1)[None].requires_grad_()
    theirs = attr.GuidedBackprop(net).attribute(fed, target=1)[0].permute(1, 2, 0).detach().numpy()

    np.testing.assert_allclose(theirs, explain(net, "gradient").mask, atol=1e-6)
    assert np.abs(theirs - explain(net, "guided_backprop").mask).max() > 0.1 * np.abs(theirs).max()


@pytest.mark.parametrize("method", CAPTUM)
def test_targets_share_a_forward_pass(method: str) -> None:
    """Three targets are one call of the model, and each is what it is alone."""
    net = small_net()
    together = explain(net, method, [0, 1, 2])

    assert together[0].calls == 1
    for exp in together:
        np.testing.assert_allclose(exp.mask, explain(net, method, exp.target).mask, atol=1e-7)


def test_composes_with_smooth_grad() -> None:
    """Noisy copies are evaluated in batches, and the mask does not depend on the batch size."""
    net = small_net()
    smooth = saliency.SmoothGrad(saliency.GuidedBackprop(), samples=5)
    one, other = (explain(net, smooth, batch_size=size).mask for size in (1, 4))

    np.testing.assert_allclose(one, other, atol=1e-7)


def test_a_model_without_rectifiers_is_refused() -> None:
    """A model without operators that the rules apply to is refused with its kinds of operators."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(X.size, 4), nn.Sigmoid())

    with pytest.raises(saliency.Unsupported, match=r"of the kind rectifier.*activation, dense only"):
        explain(net, "guided_backprop")


def test_scripted_modules_are_refused_before_any_work() -> None:
    """Half-scripted ones too: nothing of theirs would be seen."""
    net = nn.Sequential(torch.jit.script(sequential(0)), nn.Identity())

    with pytest.raises(saliency.Unsupported, match=r"contains scripted code.*can be explained by gradient"):
        explain(net, "guided_backprop")
    assert np.isfinite(explain(net, "gradient").mask).all()


@pytest.mark.parametrize("method", ["guided_backprop", "deep_lift", "lrp"])
def test_compiled_parts_run_as_they_were_written(method: str) -> None:
    """A part of the model that is compiled is not compiled again for us, nor changed."""

    def never(*_: Any) -> Any:
        raise AssertionError("compiled")

    net = sequential(0)
    net.register_module("0", torch.compile(net[0], backend=never))  # type: ignore[arg-type]
    before = [type(part) for part in net.modules()]
    found = []
    for each in (net, sequential(0)):
        bound = saliency.adapt(each).at([1])
        *_, mask = run(METHODS[method](), Session(bound), bound.ops.asarray(X[None]))
        found.append(mask.numpy())

    np.testing.assert_allclose(found[0], found[1], atol=1e-7)
    assert [type(part) for part in net.modules()] == before


def test_a_function_of_torch_is_followed() -> None:
    """Rectifiers called by a plain function are intercepted too."""
    net = sequential(0)
    function = saliency.adapt(net.forward, framework="torch")

    np.testing.assert_allclose(
        explain(function, "guided_backprop").mask, explain(net, "guided_backprop").mask, atol=1e-7
    )


@pytest.mark.parametrize("method", CAPTUM)
def test_rectifiers_in_place_stay_in_place(method: str) -> None:
    """A rectifier in place overwrites its input under the rules too, and the mask is that of one out of place."""
    seen: list[bool] = []

    class Watched(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            found = functional.relu(x, inplace=True)
            seen.append(found is x and bool((x >= 0).all()))
            return found

    explained = saliency.explain(Net(Watched()).eval(), X, method, target=1)
    plain = saliency.explain(Net(nn.ReLU()).eval(), X, method, target=1)
    assert seen
    assert all(seen)
    np.testing.assert_allclose(explained.mask, plain.mask, rtol=1e-4, atol=1e-7)
