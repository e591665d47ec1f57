from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import saliency
from saliency.adapters.torch.attention import Attending
from saliency.core.catalogue import METHODS
from saliency.core.method import run
from saliency.session.samples import Originals
from saliency.session.session import Session
from tests.api.test_layers import Transformer, made
from tests.nets import bilinear, picture, small_net

IMAGES = np.stack([picture(32, 48, seed=seed) for seed in (0, 1)]).astype(np.float32) / 255
TARGETS = [1, 3]


class Read:
    """The transformer of test_layers, computed by hand: its maps A, its scores, and its tokens after each block.

    Args:
        model: with attention in its blocks.
        images: (N, H, W, C).
    """

    def __init__(self, model: Any, images: np.ndarray) -> None:
        self.model = model
        x = torch.tensor(images).permute(0, 3, 1, 2)
        patches = model.patch_embed(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([model.first.expand(len(x), -1, -1), patches, model.last.expand(len(x), -1, -1)], 1)
        self.maps: list[Tensor] = []
        self.after: list[Tensor] = []
        for block in model.blocks:
            count, length, width = tokens.shape
            q, k, v = block.qkv(block.norm1(tokens)).reshape(count, length, 3, 3, 4).permute(2, 0, 3, 1, 4).unbind(0)
            weights = torch.softmax(q @ k.transpose(-2, -1) / 2, -1)
            mixed = (weights @ v).transpose(1, 2).reshape(count, length, width)
            tokens = tokens + block.proj(mixed)
            tokens = tokens + block.mlp(block.norm2(tokens))
            self.maps.append(weights)
            self.after.append(tokens)

    def scores(self, tokens: Tensor) -> Tensor:
        """Return the head's output for some tokens."""
        tokens = self.model.norm(tokens)
        return self.model.head(tokens.mean(1) if self.model.head_of == "mean" else tokens[:, 0])

    def gradients(self, target: int) -> list[np.ndarray]:
        """Return the gradient of the final scores with respect to each map."""
        score = self.scores(self.after[-1])[:, target].sum()
        return [each.numpy() for each in torch.autograd.grad(score, self.maps, retain_graph=True)]

    def exits(self, target: int) -> list[np.ndarray]:
        """Return the gradient of the head's output after each block with respect to the block's map."""
        return [
            torch.autograd.grad(self.scores(tokens)[:, target].sum(), weights, retain_graph=True)[0].numpy()
            for tokens, weights in zip(self.after, self.maps, strict=True)
        ]


def rollout(maps: list[np.ndarray], _g: Any, _e: Any, read: list[int]) -> np.ndarray:
    """The whole product, then the rows that are read."""
    product = np.eye(maps[0].shape[-1])
    for weights in maps:
        product = (0.5 * weights.mean(0) + 0.5 * np.eye(len(product))) @ product
    np.testing.assert_allclose(product.sum(1), 1, atol=1e-5)
    return np.asarray(product[read].mean(0))


def relevance(maps: list[np.ndarray], gradients: list[np.ndarray], _e: Any, read: list[int]) -> np.ndarray:
    """R as the paper updates it, less I."""
    found = np.eye(maps[0].shape[-1])
    for weights, gradient in zip(maps, gradients, strict=True):
        share = np.mean([np.maximum(g * a, 0) for g, a in zip(gradient, weights, strict=True)], 0)
        found = found + share @ found
    return np.asarray((found - np.eye(len(found)))[read].mean(0))


def grad_sam(maps: list[np.ndarray], gradients: list[np.ndarray], _e: Any, _r: Any) -> np.ndarray:
    """By loops over layers, heads and rows."""
    rows = [
        a * max_g
        for weights, gradient in zip(maps, gradients, strict=True)
        for head, g in zip(weights, gradient, strict=True)
        for a, max_g in zip(head, g.clip(0), strict=True)
    ]
    return np.mean(rows, 0)


def le_grad(_m: Any, _g: Any, exits: list[np.ndarray], _r: Any) -> np.ndarray:
    """By layers, of what each block's own score has."""
    return np.mean([each.clip(0).mean((0, 1)) for each in exits], 0)


LITERAL: dict[str, Any] = {
    "attention_rollout": rollout,
    "attention_relevance": relevance,
    "grad_sam": grad_sam,
    "le_grad": le_grad,
}


def relevances(method: saliency.Method, model: Any) -> np.ndarray:
    """Return the method's relevance of each token, (k, N, T)."""
    images: Any = model.ops.asarray(IMAGES)
    own: Any = method
    ((_, attention),) = own.evaluated(Session(model, batch_size=8), Originals(model.ops, images))
    return np.asarray(own.relevance(attention, model.ops))


@pytest.mark.parametrize(
    ("options", "read"),
    [
        ({}, [0]),
        ({"fused": False}, [0]),
        ({"before": 3}, [0]),
        ({"before": 0, "head": "mean"}, list(range(24))),
        ({"before": 0, "after": 2, "head": "mean"}, list(range(26))),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", LITERAL)
def test_the_relevances_are_the_papers(name: str, options: dict[str, Any], read: list[int]) -> None:
    """Of two images and two targets at once, fused or written out, read from a class token or from the mean."""
    model = made(**options)
    byhand = Read(model, IMAGES)
    maps = [each.detach().numpy() for each in byhand.maps]
    expected = np.array(
        [
            [
                LITERAL[name]([each[n] for each in maps], [g[n] for g in gradients], [e[n] for e in exits], read)
                for n in range(len(IMAGES))
            ]
            for gradients, exits in ((byhand.gradients(target), byhand.exits(target)) for target in TARGETS)
        ]
    )
    found = relevances(METHODS[name](), saliency.adapt(model).at(TARGETS))

    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", LITERAL)
def test_patches_become_a_mask(name: str) -> None:
    """Tokens without a place are left out, the grid is resized to the image, and the notes say what was found."""
    model = made(before=2)
    one, other = saliency.explain(model, picture(32, 48), name, TARGETS, progress=False)
    adapted = saliency.adapt(model).at(TARGETS)
    tokens = relevances(METHODS[name](), adapted)[:, 0, 2:].reshape(2, 4, 6)

    assert one.images == 1
    assert "attention between 4×6 patches, 2 leading tokens skipped" in one.notes
    for exp, small in zip((one, other), tokens, strict=True):
        np.testing.assert_allclose(exp.mask, bilinear(small, (32, 48)), atol=1e-6 * small.max())
    assert np.array_equal(one.mask, other.mask) == (name == "attention_rollout")


@pytest.mark.parametrize("name", LITERAL)
def test_the_mask_does_not_depend_on_the_batch(name: str) -> None:
    """Two images at once or one by one."""
    model: Any = saliency.adapt(made()).at(TARGETS)
    images = model.ops.asarray(IMAGES)
    *_, together = run(METHODS[name](), Session(model, batch_size=2), images)
    *_, alone = run(METHODS[name](), Session(model, batch_size=1), images)

    assert together.shape == (2, 2, 32, 48)
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-8)


class WithModules(nn.Module):
    """torch's own layers of attention, the class token's output through a linear head."""

    def __init__(self, weights: bool) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 12, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 12))
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True)
        self.encoder = nn.TransformerEncoderLayer(12, 3, 24, batch_first=True, norm_first=True)
        self.head, self.weights = nn.Linear(12, 5), weights

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patch(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), patches], 1)
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=self.weights)[0]
        return self.head(self.encoder(tokens)[:, 0])


@pytest.mark.parametrize("weights", [True, False])
def test_torch_s_own_attention_is_opened_up(weights: bool) -> None:
    """nn.MultiheadAttention's maps equal those it returns itself, and recording them does not change the scores."""
    torch.manual_seed(0)
    net = WithModules(weights).eval()
    inputs: list[Tensor] = []
    handle = net.attention.register_forward_pre_hook(lambda _, args: inputs.append(args[0].detach()))
    model: Any = saliency.adapt(net).at(TARGETS)
    plain = net(torch.tensor(IMAGES).permute(0, 3, 1, 2)).detach().numpy()
    handle.remove()
    expected = net.attention(inputs[0], inputs[0], inputs[0], average_attn_weights=False)[1].detach()
    found = model.attentions(model.ops.asarray(IMAGES))

    assert len(found.layers) == 2
    assert (found.height, found.width, found.before) == (4, 6, 1)
    np.testing.assert_allclose(found.layers[0].activations, expected, atol=1e-6)
    assert found.layers[0].gradients.any()
    np.testing.assert_allclose(model.scores(model.ops.asarray(IMAGES)), plain[:, TARGETS].T, atol=1e-6)
    assert saliency.explain(net, picture(32, 48), "attention_relevance", 1, progress=False).mask.any()


@pytest.mark.parametrize(
    ("options", "mask"),
    [({}, None), ({"is_causal": True}, None), ({}, "boolean"), ({"scale": 0.3}, "added"), ({"enable_gqa": True}, None)],
    ids=str,
)
def test_fused_attention_is_computed_as_torch_does(options: dict[str, Any], mask: str | None) -> None:
    """Masks, causality, scales and grouped heads give what the fused operator gives."""
    from torch.nn.functional import scaled_dot_product_attention

    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 4, 6, 5) for _ in range(3))
    if options.get("enable_gqa"):
        k, v = k[:, :2], v[:, :2]
    masks = {None: None, "boolean": torch.rand(6, 6) < 0.7, "added": torch.randn(2, 1, 6, 6)}
    if mask == "boolean":
        masks["boolean"] = torch.eye(6, dtype=torch.bool) | (torch.rand(6, 6) < 0.7)
    watch = Attending(nn.Identity(), torch.zeros(2, 8, 8, 3), "your Identity")

    expected = scaled_dot_product_attention(q, k, v, masks[mask], **options)
    np.testing.assert_allclose(watch.scaled_dot_product_attention(q, k, v, masks[mask], **options), expected, atol=1e-5)


def test_le_grad_reads_the_last_blocks() -> None:
    """`last` leaves out the others."""
    model = made()
    byhand = Read(model, IMAGES)
    expected = byhand.exits(1)[-1].clip(0).mean((1, 2))
    found = relevances(saliency.LeGrad(last=1), saliency.adapt(model).at([1]))[0]

    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_models_without_attention_refuse() -> None:
    """A CNN before any work, a bare function too, and windows once they are seen; each with a sentence."""
    for name in LITERAL:
        with pytest.raises(
            saliency.Unsupported, match=r"your \w+ exposes no attention weights: .*qkv. This model can be"
        ):
            saliency.explain(small_net(), picture(), name, 1, progress=False)
        with pytest.raises(saliency.Unsupported, match=r"gradient, (\w+, ){4}\w+ and \d\d more \(saliency.methods\(\)"):
            saliency.explain(small_net(), picture(), name, 1, progress=False)
        with pytest.raises(saliency.Unsupported, match="a plain function exposes no layers"):
            saliency.explain(saliency.adapt(made().forward, framework="torch"), picture(), name, 1, progress=False)

    class Pretends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.Conv2d(3, 5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(x).mean((2, 3))

    with pytest.raises(saliency.Unsupported, match="No attention maps were found"):
        saliency.explain(Pretends(), picture(), "attention_rollout", 1, progress=False)


def test_the_model_is_left_as_it_was() -> None:
    """Weights, hooks and mode, after success, error and cancel."""
    model = Transformer()
    before = {name: each.clone() for name, each in model.state_dict().items()}
    several: list[dict[str, Any]] = [{}, {"target": lambda out: out}, {"cancelled": lambda: True}]
    for options in several:
        for name in LITERAL:
            try:
                saliency.explain(model, picture(32, 48), name, **{"target": 1, "progress": False, **options})
            except saliency.SaliencyError:
                assert options

    assert model.training
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    assert not torch.overrides._get_current_function_mode_stack()
