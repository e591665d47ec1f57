"""LRP: each rule against slow loops, composites against Captum and by conservation, attention by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as everybody calls it

import saliency
from saliency.core.lrp import COMPOSITES
from saliency.core.method import run
from saliency.core.relevance import Epsilon, Gamma, layerwise
from saliency.session.session import Session
from tests.frameworks import lazy

pytestmark = pytest.mark.filterwarnings("ignore:Input Tensor")  # Captum's

attr, lrp_rules = lazy("captum.attr"), lazy("captum.attr._utils.lrp_rules")

EPS = 1e-9
RNG = np.random.default_rng(0)
X = RNG.uniform(size=(8, 7, 3)).astype(np.float32)

Loops = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def explain(net: Any, method: Any = "lrp", target: Any = 1, **options: Any) -> Any:
    """Explain the picture as it is."""
    return saliency.explain(net, X, method, target, **{"progress": False, "preprocess": lambda x: x, **options})


def masks(net: nn.Module, method: Any, image: np.ndarray, targets: list[int]) -> np.ndarray:
    """(k, ...) of one input of any shape, in float64."""
    bound = saliency.adapt(net.double()).at(targets)
    *_, found = run(method, Session(bound), bound.ops.asarray(image[None]))
    return np.asarray(found.numpy()[:, 0])


def sign(z: float) -> float:
    """Zero counts as positive."""
    return 1.0 if z >= 0 else -1.0


def by_epsilon(x: np.ndarray, w: np.ndarray, b: np.ndarray, r: np.ndarray) -> np.ndarray:
    """R_i = Σ_j x_i w_ij / (z_j + ε sign z_j) R_j."""
    out = np.zeros_like(x)
    for j, r_j in enumerate(r):
        z = sum(x[i] * w[j, i] for i in range(len(x))) + b[j]
        for i in range(len(x)):
            out[i] += x[i] * w[j, i] / (z + EPS * sign(z)) * r_j
    return out


def by_parts(alpha: float) -> Loops:
    """R_i = Σ_j (α (x_i w_ij)⁺ / z_j⁺ - β (x_i w_ij)⁻ / z_j⁻) R_j."""

    def rule(x: np.ndarray, w: np.ndarray, b: np.ndarray, r: np.ndarray) -> np.ndarray:
        out = np.zeros_like(x)
        for j, r_j in enumerate(r):
            parts = [x[i] * w[j, i] for i in range(len(x))]
            above = sum(p for p in parts if p > 0) + max(b[j], 0)
            below = sum(p for p in parts if p < 0) + min(b[j], 0)
            for i, part in enumerate(parts):
                share = alpha * part / above if part > 0 else (1 - alpha) * part / below if part < 0 else 0.0
                out[i] += share * r_j
        return out

    return rule


def by_gamma(gamma: float) -> Loops:
    """Contributions with the output's sign are weighted by 1 + γ."""

    def rule(x: np.ndarray, w: np.ndarray, b: np.ndarray, r: np.ndarray) -> np.ndarray:
        out = np.zeros_like(x)
        for j, r_j in enumerate(r):
            parts = np.array([*(x[i] * w[j, i] for i in range(len(x))), b[j]])
            weighed = np.where(parts * sign(parts.sum()) > 0, (1 + gamma) * parts, parts)
            out += weighed[:-1] / weighed.sum() * r_j
        return out

    return rule


def by_weights(power: int) -> Loops:
    """R_i = Σ_j w_ij² / Σ_i w_ij² R_j; evenly for power 0."""

    def rule(x: np.ndarray, w: np.ndarray, b: np.ndarray, r: np.ndarray) -> np.ndarray:
        return sum(w[j] ** power / (w[j] ** power).sum() * r_j for j, r_j in enumerate(r))

    return rule


def by_box(low: float, high: float) -> Loops:
    """(x_i w_ij - l w_ij⁺ - h w_ij⁻) / their sum."""

    def rule(x: np.ndarray, w: np.ndarray, b: np.ndarray, r: np.ndarray) -> np.ndarray:
        out = np.zeros_like(x)
        for j, r_j in enumerate(r):
            parts = x * w[j] - low * np.maximum(w[j], 0) - high * np.minimum(w[j], 0)
            out += parts / parts.sum() * r_j
        return out

    return rule


RULES: dict[str, tuple[Loops, dict[str, Any]]] = {
    "epsilon": (by_epsilon, {}),
    "z_plus": (by_parts(1.0), {}),
    "alpha_beta": (by_parts(3.0), {"alpha": 3.0}),
    "gamma": (by_gamma(0.5), {"gamma": 0.5}),
    "w_square": (by_weights(2), {}),
    "flat": (by_weights(0), {}),
    "box": (by_box(0.0, 1.0), {"composite": "epsilon", "first": "box"}),
}


# zᴮ is for pixels, which lie between their bounds
CASES = [(rule, signed) for rule in RULES for signed in (False, True) if not (signed and rule == "box")]


@pytest.mark.parametrize(("rule", "signed"), CASES)
def test_a_rule_is_its_formula(rule: str, signed: bool) -> None:
    """Two dense layers with biases, inputs of either sign: loops over each weight."""
    loops, fields = RULES[rule]
    torch.manual_seed(3)
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    w1, b1, w2, b2 = (each.detach().numpy() for each in net.parameters())
    x = np.random.default_rng(5).uniform(size=6)
    x = x - 0.5 if signed else x
    hidden = np.maximum(w1 @ x + b1, 0)
    scores = w2 @ hidden + b2
    second = by_epsilon if rule == "box" else loops
    expected = [loops(x, w1, b1, second(hidden, w2[j : j + 1], b2[j : j + 1], scores[j : j + 1])) for j in range(3)]
    method = saliency.LRP(**{"composite": rule, "epsilon": EPS, **fields})

    np.testing.assert_allclose(
        masks(net, method, x.reshape(2, 3, 1), [0, 1, 2]).reshape(3, 6), expected, rtol=1e-6, atol=1e-8
    )


class Net(nn.Module):
    """A network that Captum supports: modules, each used once."""

    def __init__(self, bias: bool, seed: int, in_place: bool = False) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.c1, self.r1 = nn.Conv2d(3, 6, 3, padding=1, bias=bias), nn.ReLU(in_place)
        self.pool, self.mean = nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(2)
        self.c2, self.r2 = nn.Conv2d(6, 6, 3, padding=1, bias=bias), nn.ReLU(in_place)
        self.l1, self.r3, self.l2 = nn.Linear(24, 12, bias=bias), nn.ReLU(in_place), nn.Linear(12, 4, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mean(self.r2(self.c2(self.pool(self.r1(self.c1(x))))))
        return self.l2(self.r3(self.l1(x.flatten(1))))


THEIRS: dict[str, tuple[str, bool]] = {
    "epsilon": ("EpsilonRule", True),
    # theirs leaves the bias out of γ, and of the splitting by sign
    "gamma": ("GammaRule", False),
    "z_plus": ("Alpha1_Beta0_Rule", False),
}


@pytest.mark.agreement
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rule", THEIRS)
def test_agrees_with_captum(rule: str, seed: int) -> None:
    """Equal to Captum for the rules it has: ε with biases, γ and z⁺ without."""
    name, bias = THEIRS[rule]
    net = Net(bias, seed, in_place=seed == 1).eval()
    fed = torch.from_numpy(X).permute(2, 0, 1)[None]
    top = int(net(fed).argmax())
    expected_by = saliency.LRP(rule, epsilon=EPS)
    found = explain(net, expected_by, top).mask
    for part in net.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.rule = getattr(lrp_rules, name)()
    expected = attr.LRP(net).attribute(fed, target=top)[0].permute(1, 2, 0).detach().numpy()

    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    # theirs forgets its rules by then
    np.testing.assert_allclose(explain(net, expected_by, top).mask, found, rtol=1e-5, atol=1e-6 * np.abs(found).max())


class Everything(nn.Module):
    """Without biases: a batch norm, a residual, a reused ReLU in place, max, mean, concatenation."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stem, self.block = nn.Conv2d(3, 6, 3, bias=False), nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.norm, self.relu = nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        self.head = nn.Linear(12, 4, bias=False)
        nn.init.uniform_(self.norm.weight, 0.5, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.stem(x)))
        y = self.block(F.max_pool2d(x, 2))
        y += F.avg_pool2d(x, 2)
        y = self.relu(y)
        return self.head(torch.cat([y.mean((2, 3)), y.amax((2, 3))], 1))


@pytest.mark.parametrize("composite", [name for name in COMPOSITES if name != "auto"])
def test_relevance_is_conserved(composite: str) -> None:
    """Without biases, and with ε → 0, the relevance of every composite sums to the score."""
    net = Everything(0).double().eval()
    for exp in explain(net, saliency.LRP(composite, epsilon=1e-12), [0, 1, 2, 3]):
        assert abs(exp.mask.sum(dtype=float) - exp.score) < 1e-5 * max(abs(exp.score), np.abs(exp.mask).max())


class Scalars(nn.Module):
    """f = 2 relu(3x) + relu(x) by a functional `+` around a branch."""

    def __init__(self) -> None:
        super().__init__()
        self.branch, self.relu = nn.Linear(1, 1, bias=False), nn.ReLU()
        self.head = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.branch.weight, 3.0)
        nn.init.constant_(self.head.weight, 2.0)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return self.head(self.relu(self.branch(x)) + x)


def test_a_residual_sum_is_shared_by_hand() -> None:
    """f(1) = 2 (3 + 1) = 8: six by the branch, two past it. Captum counts the eight twice."""
    net = Scalars()
    assert masks(net, saliency.LRP("epsilon", epsilon=EPS), np.ones((1, 1, 1)), [0]).item() == pytest.approx(8)
    assert attr.LRP(net).attribute(torch.ones(1, 1, dtype=torch.double), target=0).item() == pytest.approx(16)


def test_a_batch_norm_is_one_layer_with_the_weights_before_it() -> None:
    """As if it had been merged by torch's own tool, for convolutions and dense layers."""
    torch.manual_seed(0)
    conv, norm, dense, last = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Linear(180, 9), nn.BatchNorm1d(9)
    for each in (norm, last):
        nn.init.uniform_(each.weight, -1.5, 1.5)
        nn.init.uniform_(each.bias, -1, 1)
        each.running_mean = torch.linspace(-1, 1, each.num_features)
    apart = nn.Sequential(conv, norm, nn.ReLU(), nn.Flatten(), dense, last, nn.ReLU(), nn.Linear(9, 4)).eval()
    merged = nn.Sequential(
        nn.utils.fusion.fuse_conv_bn_eval(conv, norm),
        nn.ReLU(),
        nn.Flatten(),
        nn.utils.fusion.fuse_linear_bn_eval(dense, last),
        nn.ReLU(),
        apart[7],
    ).eval()

    for composite in ("epsilon", "epsilon_plus", "gamma", "epsilon_alpha2_beta1_flat"):
        expected = explain(merged, saliency.LRP(composite)).mask
        found = explain(apart, saliency.LRP(composite)).mask
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


class Attention(nn.Module):
    """One head of attention between tokens of a picture, in one of its spellings."""

    def __init__(self, spelling: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.spelling = spelling
        self.mixed, self.head = nn.MultiheadAttention(4, 1, bias=False, batch_first=True), nn.Linear(4, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(2).transpose(1, 2)
        if self.spelling == "module":
            return self.head(self.mixed(x, x, x, need_weights=False)[0].mean(1))
        if self.spelling == "module with weights":
            return self.head(self.mixed(x, x, x)[0].mean(1))
        query, key, value = (F.linear(x, w) for w in self.mixed.in_proj_weight.chunk(3))
        if self.spelling == "fused":
            mixed = F.scaled_dot_product_attention(query, key, value)
        elif self.spelling == "einsum":
            weights = (torch.einsum("nqd,nkd->nqk", query, key) / 2).softmax(-1)
            mixed = torch.einsum("nqk,nkd->nqd", weights, value)
        else:
            mixed = torch.bmm(torch.softmax(query @ key.mT * 0.5, -1), value)
        return self.head(F.linear(mixed, self.mixed.out_proj.weight).mean(1))


def attention_by_hand(net: Attention, x: np.ndarray, target: int) -> np.ndarray:
    """AttnLRP (arXiv:2402.05602), one equation after the other, with ε for every weight; (T, 4) -> (T, 4)."""
    wq, wk, wv = np.split(net.mixed.in_proj_weight.detach().numpy(), 3)
    wo, wh = net.mixed.out_proj.weight.detach().numpy(), net.head.weight.detach().numpy()
    q, k, v = x @ wq.T, x @ wk.T, x @ wv.T
    logits = q @ k.T / 2
    s = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    o = s @ v
    y = o @ wo.T
    mean, nothing = y.mean(0), np.zeros(4)
    r_mean = by_epsilon(mean, wh[target : target + 1], nothing[:1], wh[target : target + 1] @ mean)
    r_y = y / len(x) / mean * r_mean
    r_o = np.stack([by_epsilon(o[t], wo, nothing, r_y[t]) for t in range(len(x))])
    r_s, r_v = s * ((r_o / (2 * o)) @ v.T), v * (s.T @ (r_o / (2 * o)))  # equation 15
    r_logits = logits * (r_s - s * r_s.sum(1, keepdims=True))  # equation 13
    ratio = r_logits / (2 * logits) / 2
    r_q, r_k = q * (ratio @ k), k * (ratio.T @ q)
    rows = [(q, wq, r_q), (k, wk, r_k), (v, wv, r_v)]
    return np.asarray(sum(np.stack([by_epsilon(x[t], w, nothing, r[t]) for t in range(len(x))]) for _, w, r in rows))


@pytest.mark.parametrize("spelling", ["module", "module with weights", "fused", "einsum", "written out"])
def test_attention_is_its_equations(spelling: str) -> None:
    """Attention as a module, fused, or written out: the same relevance, that of the paper's equations."""
    net = Attention(spelling).double().eval()
    image = np.random.default_rng(1).normal(size=(2, 3, 4))
    expected = attention_by_hand(net, image.reshape(6, 4), 1)
    method = saliency.LRP(layerwise(Epsilon(EPS), Epsilon(EPS), epsilon=EPS))

    np.testing.assert_allclose(masks(net, method, image, [1])[0].reshape(6, 4), expected, rtol=1e-5, atol=1e-8)


def test_attention_is_found() -> None:
    """The composite is chosen by what the model is made of, and the notes say so."""
    found = explain(nn.Sequential(nn.Conv2d(3, 4, 3), Attention("fused")).eval())
    dense = explain(Net(True, 0).eval())

    assert "composite: attention, as the model has attention" in found.notes
    assert "composite: epsilon_plus, as the model has no attention" in dense.notes
    np.testing.assert_array_equal(dense.mask, explain(Net(True, 0).eval(), saliency.LRP("epsilon_plus")).mask)


def test_a_transformer_is_explained_without_a_gap_in_the_rules() -> None:
    """Patch embedding, class token, layer norms, GELU, residuals: all have a rule, and most relevance arrives."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.ViTConfig(**small, patch_size=8, image_size=16, num_labels=3)
    net = transformers.ViTForImageClassification(config).eval()
    image = np.random.default_rng(0).normal(size=(16, 16, 3)).astype(np.float32)
    exp = saliency.explain(net, image, "lrp", 1, progress=False, preprocess=lambda x: x)

    assert np.isfinite(exp.mask).all()
    assert exp.mask.any()
    assert not any("no rule" in note for note in exp.notes)


def test_pixels_lie_between_black_and_white_in_the_model_s_own_units() -> None:
    """zᴮ knows the bounds of a normalised image, and those of a normalisation inside the model."""
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 3, bias=False)

    class Normalising(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = conv, nn.Linear(4, 3, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.conv((x - 0.5) / 0.25).relu().mean((2, 3)))

    net = Normalising().eval()
    plain = nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), net.head)
    method = saliency.LRP("epsilon_gamma_box")
    inside = saliency.explain(net, X, method, 1, progress=False).mask
    outside = saliency.explain(plain, X, method, 1, progress=False, preprocess=lambda x: (x - 0.5) / 0.25).mask

    np.testing.assert_allclose(inside, outside, atol=1e-5 * np.abs(outside).max())


def test_a_composite_of_one_s_own() -> None:
    """Any rules may be put together; a single γ rule everywhere is the composite of that name."""
    net = Net(True, 0).eval()
    own = saliency.LRP(layerwise(Gamma(0.25), Gamma(0.25)))

    np.testing.assert_array_equal(explain(net, own).mask, explain(net, saliency.LRP("gamma")).mask)
    assert own.key() == saliency.LRP(layerwise(Gamma(0.25), Gamma(0.25))).key() != saliency.LRP("gamma").key()


def test_all_targets_share_one_forward_pass() -> None:
    """Four targets are one call; each is what it is alone."""
    net = Net(True, 0).eval()
    seen: list[int] = []
    bound: Any = saliency.adapt(net).at([0, 1, 2, 3])
    bound._working.module.c1.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    *_, together = run(saliency.LRP("epsilon_plus"), Session(bound), bound.ops.asarray(X[None]))

    assert seen == [1]
    for i in range(4):
        np.testing.assert_allclose(
            together[i, 0].numpy(), explain(net, saliency.LRP("epsilon_plus"), i).mask, atol=1e-7
        )


def test_what_is_written_over_is_kept_for_its_rule() -> None:
    """Changing an input in place after an operator does not change what the operator read."""

    class Overwriting(nn.Module):
        def __init__(self, over: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.over, self.stem, self.head = over, nn.Conv2d(3, 6, 3), nn.Linear(6, 4)
            self.block = nn.Conv2d(6, 6, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            y = self.block(x)
            x = x.mul_(0.5).relu_() if self.over else (x * 0.5).relu()
            return self.head((x + y).mean((2, 3)))

    for composite in ("epsilon", "gamma"):
        plain, over = (explain(Overwriting(over).eval(), saliency.LRP(composite)).mask for over in (False, True))
        np.testing.assert_allclose(over, plain, atol=1e-7)


class Written(nn.Module):
    """A convolution and a dense layer whose bias, norm and layout are written in some other way."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.how, self.conv, self.norm, self.head = how, nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Linear(6, 4)
        nn.init.uniform_(self.norm.weight, -1.5, 1.5)
        nn.init.uniform_(self.norm.bias, -1, 1)
        self.norm.running_mean = torch.linspace(-1, 1, 6)
        self.norm.running_var = torch.linspace(0.5, 2, 6)

    def forward(self, x: Tensor) -> Tensor:
        conv, norm, head = self.conv, self.norm, self.head
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert conv.bias is not None
        if self.how == "modules":
            return head(norm(conv(x)).relu().mean((2, 3)))
        factor = norm.weight * (norm.running_var + norm.eps).rsqrt()
        apart = F.conv2d(x, conv.weight)
        if self.how == "channels last":
            turned = apart.permute(0, 2, 3, 1) + conv.bias
            turned = ((turned - norm.running_mean) * factor + norm.bias).relu()
            return torch.matmul(turned.mean((1, 2)), head.weight.T) + head.bias
        down = (1, -1, 1, 1)
        shifted = apart + conv.bias.reshape(down) - norm.running_mean.reshape(down)
        normed = shifted / (norm.running_var + norm.eps).sqrt().reshape(down) * norm.weight.reshape(down)
        pooled = (normed + norm.bias.reshape(down)).relu().mean((2, 3))
        return torch.addmm(head.bias, pooled, head.weight.T)


@pytest.mark.parametrize("function", [False, True], ids=["module", "function"])
@pytest.mark.parametrize("how", ["channels last", "frozen norm"])
def test_biases_and_norms_belong_to_their_layer_however_written(how: str, function: bool) -> None:
    """Sums, scales and flips after the convolution give the relevance of the plain modules, for every rule."""
    modules, written = Written("modules").eval(), Written(how).eval()
    model = saliency.adapt(written.forward, framework="torch") if function else written
    for composite in ("epsilon", "alpha_beta", "epsilon_gamma_box"):
        expected = explain(modules, saliency.LRP(composite)).mask
        found = explain(model, saliency.LRP(composite)).mask
        np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


def test_few_digits_are_enough_for_the_model_but_not_for_its_rules() -> None:
    """In half precision the rules are computed in float32: the mask is that of the same weights, nearly."""
    for kind in (torch.float16, torch.bfloat16):
        few, many = Net(True, 0).to(kind).eval(), Net(True, 0).to(kind).float().eval()
        expected = explain(many, saliency.LRP("gamma")).mask
        found = explain(few, saliency.LRP("gamma")).mask
        np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())
