"""DeepLIFT: complete through every operator, equal to Captum's where that is right, and right where it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as everybody calls it

import saliency
from saliency.core.method import run
from saliency.session.session import Session
from tests.frameworks import lazy
from tests.nets import everything, same, small_net

pytestmark = [  # Captum's
    pytest.mark.filterwarnings("ignore:Setting forward, backward hooks"),
    pytest.mark.filterwarnings("ignore:Input Tensor"),
]

attr = lazy("captum.attr")

RNG = np.random.default_rng(0)
X, BASELINE, OTHER = (RNG.normal(size=(8, 7, 3)).astype(np.float32) for _ in range(3))


def explain(net: Any, method: Any = "deep_lift", target: Any = 1, **options: Any) -> Any:
    """Explain the picture as it is, against a random baseline."""
    given = {"progress": False, "preprocess": lambda x: x, "baseline": BASELINE}
    return saliency.explain(net, X, method, target, **{**given, **options})


def first(image: np.ndarray) -> Tensor:
    """(H, W, C) as (1, C, H, W)."""
    return torch.from_numpy(image).permute(2, 0, 1)[None]


def theirs(net: nn.Module) -> tuple[np.ndarray, float]:
    """Captum's DeepLIFT of class 1, and its completeness gap; the network has float64, or quotients are noisy."""
    net.double()
    found, gap = attr.DeepLift(net).attribute(
        first(X).double(), first(BASELINE).double(), target=1, return_convergence_delta=True
    )
    return found[0].permute(1, 2, 0).detach().numpy(), float(gap)


class Net(nn.Module):
    """A convolution, something, a head."""

    def __init__(self, middle: Callable[[Any, Tensor], Tensor], seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.middle = middle
        self.stem, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu", norm_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.middle(self, self.stem(x))
        return self.head(x.mean((2, 3)) if x.ndim == 4 else x.mean(1) if x.ndim == 3 else x)


def tokens(x: Tensor) -> Tensor:
    """(N, K, h, w) as (N, h·w, K)."""
    return x.flatten(2).transpose(1, 2)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention written out."""
    return (query @ key.transpose(1, 2) / 8**0.5).softmax(-1) @ value


RAMP = torch.linspace(0, 1, 30).reshape(6, 5)
MIDDLES: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "relu6": lambda net, x: F.relu6(x * 4),
    "leaky_relu": lambda net, x: F.leaky_relu(x, 0.1),
    "gelu": lambda net, x: F.gelu(x),
    "silu": lambda net, x: F.silu(x),
    "hardswish": lambda net, x: F.hardswish(x * 3),
    "elu": lambda net, x: F.elu(x),
    "sigmoid": lambda net, x: torch.sigmoid(x),
    "tanh": lambda net, x: x.tanh(),
    "softplus": lambda net, x: F.softplus(x),
    "glu": lambda net, x: F.glu(torch.cat([x, x * 2], 1), 1),
    "exp and quotient": lambda net, x: torch.exp(x) / (1 + x**2),
    "constants about": lambda net, x: 2 ** (1 - x) + 1 / (2 + x.sigmoid()),
    "max_pool": lambda net, x: F.max_pool2d(x, 2),
    "max_pool then relu": lambda net, x: F.relu(F.max_pool2d(x, 2)),
    "overlapping max_pool": lambda net, x: F.max_pool2d(x, 3, 1),
    "max_pool padded by hand": lambda net, x: F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf), 2),
    "max over an axis": lambda net, x: x.flatten(2).max(2).values,
    "maximum of two": lambda net, x: torch.maximum(x, 0.3 - x),
    "softmax": lambda net, x: x.softmax(1) * x,
    "log_softmax": lambda net, x: F.log_softmax(x, 1),
    "layer_norm": lambda net, x: F.layer_norm(x, (6, 5), RAMP),
    "group_norm": lambda net, x: F.group_norm(x, 2).relu(),
    "instance_norm": lambda net, x: F.instance_norm(x).relu() * RAMP,
    "normalize": lambda net, x: F.normalize(x),
    "std": lambda net, x: x / (x.std(1, keepdim=True) + 1),
    "squeeze and excite": lambda net, x: x * x.mean((2, 3), keepdim=True).sigmoid(),
    "residual": lambda net, x: F.relu(x + F.relu(x)),
    "all in place": lambda net, x: x.relu_().mul_(2).add_(1).sigmoid_(),
    "views in place": lambda net, x: (x[:, :4].relu_(), x[:, 4:].sigmoid_(), x)[2],
    "einsum": lambda net, x: torch.einsum("nchw,ndhw->ncd", x, x),
    "attention written out": lambda net, x: attend(tokens(x), tokens(x) * 2, tokens(x)),
    "scaled_dot_product_attention": lambda net, x: F.scaled_dot_product_attention(tokens(x), tokens(x), tokens(x)),
    "MultiheadAttention": lambda net, x: net.attention(*[tokens(x)] * 3)[0],
    "TransformerEncoderLayer": lambda net, x: net.encoder(tokens(x)),
}


@pytest.mark.parametrize("middle", MIDDLES)
def test_is_complete_through(middle: str) -> None:
    """The mask sums to f(image) - f(baseline), whatever the non-linearity and however it is written."""
    exp = explain(Net(MIDDLES[middle]).eval())

    assert abs(exp.score - exp.baseline_score) > 1e-3
    assert abs(exp.gap) < 2e-6 * max(1.0, np.abs(exp.mask).sum())
    assert not any("no rule" in note for note in exp.notes)


def test_an_unknown_operator_is_named() -> None:
    """A note names operators with plain gradients, and the gap shows the resulting error."""
    exp = explain(Net(lambda net, x: x.flatten(2).sort(2).values.flatten(1)[:, :8] * 1.0).eval())

    assert "no rule for sort: the plain gradient was used" in exp.notes


class Random(nn.Module):
    """A network of random parts in sequence, each with or without a residual connection."""

    def __init__(self, parts: list[tuple[str, bool]], seed: int, bias: bool) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.parts = parts
        self.convs = nn.ModuleList(nn.Conv2d(3 if i == 0 else 4, 4, 3, padding=1, bias=bias) for i in range(len(parts)))
        self.norm, self.head = nn.BatchNorm2d(4), nn.Linear(4, 4, bias=bias)
        nn.init.uniform_(self.norm.weight, 0.5, 1.5)
        nn.init.normal_(self.norm.bias, std=float(bias))

    def forward(self, x: Tensor) -> Tensor:
        for i, (conv, (part, residual)) in enumerate(zip(self.convs, self.parts, strict=True)):
            y = PARTS[part](self, conv(x))
            x = y + x if residual and i > 0 else y
        return self.head(x.mean((2, 3)))


PARTS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "relu": lambda net, x: F.relu(x, inplace=True),
    "norm": lambda net, x: net.norm(x).relu_(),
    "max": lambda net, x: F.max_pool2d(x, 3, 1, 1).clamp(min=0),
    "mean": lambda net, x: torch.relu(F.avg_pool2d(x, 3, 1, 1)),
    "leaky": lambda net, x: F.leaky_relu(x, 0.2),
    "concat": lambda net, x: torch.cat([x[:, :2].relu(), x[:, 2:]], 1),
}
architectures = st.lists(st.tuples(st.sampled_from(sorted(PARTS)), st.booleans()), min_size=1, max_size=4)


@given(parts=architectures, seed=st.integers(0, 1000))
@settings(max_examples=12)
def test_random_networks_are_complete_and_conserve(parts: list[tuple[str, bool]], seed: int) -> None:
    """DeepLIFT sums to the difference; ε-LRP without biases, and with ε → 0, to the score."""
    for bias, method in ((True, saliency.DeepLift(baseline=0.2)), (False, saliency.LRP("epsilon", epsilon=1e-12))):
        net = Random(parts, seed, bias).eval().double()
        bound = saliency.adapt(net).at([0, 1])
        images = bound.ops.asarray(X[None, :6, :6])
        *_, mask = run(method, Session(bound), images)
        scores = bound.scores(images)
        if bias:
            scores = scores - bound.scores(0.2 + 0.0 * images)
        tolerance = 1e-7 * float(mask.abs().sum())

        np.testing.assert_allclose(mask.sum((2, 3, 4)).numpy(), scores.numpy(), rtol=1e-6, atol=tolerance)


class Squared(torch.autograd.Function):
    """Something that no mode sees."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """The square."""
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, *back: Tensor) -> Tensor:
        """Its gradient."""
        return 2 * ctx.saved_tensors[0] * back[0]


def test_what_works_out_of_sight_is_named() -> None:
    """A custom autograd.Function uses its own gradient, and a note reports it."""
    exp = explain(Net(lambda net, x: Squared.apply(x).relu()).eval())  # type: ignore[no-untyped-call]

    assert any("no rule for a custom autograd.Function" in note for note in exp.notes)


@pytest.mark.parametrize("kind", ["Swin", "ConvNext"])
def test_is_complete_for_real_architectures(kind: str) -> None:
    """Windowed attention with its shifts, layer scales, depthwise convolutions, layer norms: no gap, no note."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    small: dict[str, Any] = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
    if kind == "Swin":
        small = {"image_size": 16, "patch_size": 2, "embed_dim": 8, "depths": [2], "num_heads": [2], "window_size": 4}
    config = getattr(transformers, f"{kind}Config")(**small, num_labels=3)
    net = getattr(transformers, f"{kind}ForImageClassification")(config).eval().double()
    image = np.random.default_rng(0).normal(size=(32, 32, 3) if kind == "ConvNext" else (16, 16, 3))
    exp = saliency.explain(net, image, "deep_lift", 1, baseline=0.1, progress=False, preprocess=lambda x: x)

    assert abs(exp.gap) < 1e-6 * np.abs(exp.mask).sum()
    assert not any("no rule" in note for note in exp.notes)


def plain(activation: Callable[[], nn.Module], seed: int, pool: nn.Module | None = None) -> nn.Sequential:
    """Modules only, each used once, as Captum wants it."""
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), activation(), pool or nn.AvgPool2d(2)]
    layers += [nn.Conv2d(6, 6, 3, padding=1), activation(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(24, 12), activation(), nn.Linear(12, 4)).eval()


class Residual(nn.Module):
    """Modules, and a `+`."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stem, self.block, self.head = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 4)
        self.first, self.last = nn.ReLU(), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.stem(x))
        return self.head(self.last(self.block(x) + x).mean((2, 3)))


NETS: dict[str, Callable[[int], nn.Module]] = {
    "relu": lambda seed: plain(nn.ReLU, seed),
    "relu in place": lambda seed: plain(lambda: nn.ReLU(inplace=True), seed),
    "leaky": lambda seed: plain(nn.LeakyReLU, seed),
    "elu": lambda seed: plain(nn.ELU, seed),
    "sigmoid": lambda seed: plain(nn.Sigmoid, seed),
    "tanh": lambda seed: plain(nn.Tanh, seed),
    "softplus": lambda seed: plain(nn.Softplus, seed),
    "residual": Residual,
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", NETS)
def test_agrees_with_captum(kind: str, seed: int) -> None:
    """Equal to Captum where Captum is correct: supported modules, each used once, no max-pooling."""
    net = NETS[kind](seed).eval()
    expected, _ = theirs(net)

    np.testing.assert_allclose(explain(net).mask, expected, atol=1e-5 * np.abs(expected).max())


def test_several_baselines_are_deep_lift_shap() -> None:
    """The mean over baselines equals Captum's DeepLiftShap, from one model call."""
    net, baselines = plain(nn.ReLU, 0), [BASELINE, OTHER, np.zeros_like(X)]
    shap = attr.DeepLiftShap(net).attribute(first(X), torch.cat([first(each) for each in baselines]), target=1)
    expected = shap[0].permute(1, 2, 0).detach().numpy()
    exp = explain(net, baseline=baselines, batch_size=8)

    np.testing.assert_allclose(exp.mask, expected, atol=1e-5 * np.abs(expected).max())
    assert (exp.calls, exp.images) == (1, 3)
    assert abs(exp.gap) < 1e-6


class Reused(nn.Sequential):
    """One ReLU, called twice."""

    def forward(self, x: Tensor) -> Tensor:
        stem, relu, block, head = self
        return head(relu(block(relu(stem(x)))).mean((2, 3)))


WRONG: dict[str, Callable[[], nn.Module]] = {
    "functional": lambda: Net(lambda net, x: F.relu(x)),
    "GELU": lambda: plain(nn.GELU, 0),
    "max-pooling beside ReLU": lambda: plain(nn.ReLU, 0, nn.MaxPool2d(2)),
    "softmax inside": lambda: nn.Sequential(plain(nn.ReLU, 0), nn.Softmax(1), nn.Linear(4, 4)),
}


@pytest.mark.parametrize("kind", WRONG)
def test_is_complete_where_captum_is_not(kind: str) -> None:
    """Functional and unknown activations, max-pooling beside a ReLU, softmax: theirs has a gap, ours has none."""
    net = WRONG[kind]().eval()
    _, gap = theirs(net)
    exp = explain(net)

    assert abs(gap) > 1e-4
    assert abs(exp.gap) < 1e-2 * abs(gap)


def test_a_reused_module_is_followed_where_captum_refuses() -> None:
    """The same ReLU twice is as two of them."""
    torch.manual_seed(0)
    net = Reused(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.Linear(6, 4)).eval()
    with pytest.raises(RuntimeError):
        theirs(net)

    assert abs(explain(net).gap) < 1e-6


def test_a_maximum_by_hand() -> None:
    """A rise is owed to the image's winner, a fall to the baseline's, and ties owe nothing."""
    net = nn.Sequential(nn.Flatten(1), nn.Unflatten(1, (1, -1)), nn.MaxPool1d(2), nn.Flatten())
    image = np.array([[[3.0], [1.0], [0.0], [1.0], [2.0], [2.0]]], np.float32)
    baseline = np.array([[[0.0], [2.0], [3.0], [2.0], [2.0], [0.0]]], np.float32)
    masks = saliency.explain(net, image, "deep_lift", [0, 1, 2], baseline=baseline, progress=False)

    np.testing.assert_allclose(masks[0].mask.ravel(), [1, 0, 0, 0, 0, 0], atol=1e-6)  # 2 to 3
    np.testing.assert_allclose(masks[1].mask.ravel(), [0, 0, -2, 0, 0, 0], atol=1e-6)  # 3 to 1
    np.testing.assert_allclose(masks[2].mask.ravel(), np.zeros(6), atol=1e-6)  # 2 to 2


def test_a_softmax_by_hand() -> None:
    """Exponentials over their sum: each owes its own change, and its part in the change of the sum."""
    w = np.random.default_rng(3).normal(size=(4, 5))
    x, r = np.random.default_rng(4).normal(size=(2, 5))
    e, e0 = np.exp(x), np.exp(r)
    s, s0 = e.sum(), e0.sum()
    expected = np.zeros(5)
    for j in range(5):
        for i in range(5):
            direct = (i == j) * (1 / s + 1 / s0) / 2
            by_sum = (e[i] + e0[i]) / 2 * (1 / s - 1 / s0) / (s - s0)
            expected[j] += w[1, i] * (direct + by_sum) * (e[j] - e0[j])
    net = nn.Sequential(nn.Flatten(), nn.Softmax(1), nn.Linear(5, 4, bias=False)).double()
    with torch.no_grad():
        next(net.parameters()).copy_(torch.from_numpy(w))
    bound = saliency.adapt(net).at([1])
    *_, mask = run(
        saliency.DeepLift(baseline=r[None, :, None]), Session(bound), bound.ops.asarray(x[None, None, :, None])
    )

    np.testing.assert_allclose(mask.numpy().ravel(), expected, rtol=1e-9)


@pytest.mark.parametrize("kind", ["max-pooling beside ReLU", "softmax inside"])
def test_does_not_depend_on_batch_neighbours(kind: str) -> None:
    """Alone, beside others, in whatever batches: the same mask. (Captum's changes with the neighbours.)."""
    net = WRONG[kind]().eval()
    bound = saliency.adapt(net).at([0, 1])
    images = bound.ops.asarray(np.stack([X, OTHER, -X]))
    method = saliency.DeepLift(baseline=[BASELINE, 0.3])
    *_, together = run(method, Session(bound, batch_size=4), images)
    *_, apart = run(method, Session(bound, batch_size=1), images)
    *_, alone = run(method, Session(bound), images[1:2])

    np.testing.assert_allclose(together.numpy(), apart.numpy(), atol=1e-6)
    np.testing.assert_allclose(together[:, 1:2].numpy(), alone.numpy(), atol=1e-6)


def test_targets_share_one_forward_pass_of_each() -> None:
    """The model is called with image and baseline once for any number of targets."""
    net = small_net()
    seen: list[int] = []
    saliency.explain(net, X, "deep_lift", [0, 1], progress=False)  # calls about the model itself come first
    bound: Any = saliency.adapt(net).at([0, 1, 2])
    bound._working.module.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    images = bound.ops.asarray(X[None])
    *_, masks = run(saliency.DeepLift(), Session(bound), images)

    assert masks.shape == (3, 1, *X.shape)
    assert seen == [1, 1]


def test_a_model_that_works_otherwise_on_the_baseline_is_refused() -> None:
    """Control flow that depends on the values has no operators to compare."""
    net = Net(lambda net, x: F.relu(x) if x.mean() > 0.1 else F.relu(x.flatten(2)).unflatten(2, (6, 5))).eval()
    with torch.no_grad():
        net.stem.weight.abs_()  # bright pictures go the one way, dark ones the other

    with pytest.raises(saliency.Unsupported, match="runs other operators on the baseline"):
        saliency.explain(net, -np.abs(X), "deep_lift", 1, baseline=np.abs(X), preprocess=lambda x: x, progress=False)


@pytest.mark.parametrize("how", ["success", "error", "cancel"])
@pytest.mark.parametrize("method", ["deep_lift", "lrp", "guided_backprop", "deconvolution"])
def test_the_model_is_left_as_it_was(method: str, how: str) -> None:
    """Weights, modes, hooks, gradients, attributes, random state."""
    net = small_net().train()
    handle = None
    if how == "error":
        handle = net.head.register_forward_pre_hook(lambda *_: 1 / 0)
    before = everything(net)
    options: dict[str, Any] = {"cancelled": lambda: True} if how == "cancel" else {}
    wrong = {"error": ZeroDivisionError, "cancel": saliency.Cancelled}.get(how)
    if wrong is None:
        saliency.explain(net, X, method, 1, progress=False)
    else:
        with pytest.raises(wrong):
            saliency.explain(net, X, method, 1, progress=False, **options)

    assert same(everything(net), before)
    if handle is not None:
        handle.remove()
