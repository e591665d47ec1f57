from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import saliency
from saliency.adapters.tokens import Grid, map_grid, token_grids
from tests.nets import black_box, near, picture, small_net


class Block(nn.Module):
    """A transformer's block as timm writes it: attention fused, or written out."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.fused = fused
        self.norm1, self.norm2 = nn.LayerNorm(12), nn.LayerNorm(12)
        self.qkv, self.proj = nn.Linear(12, 36), nn.Linear(12, 12)
        self.mlp = nn.Sequential(nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 12))

    def forward(self, x: Tensor) -> Tensor:
        count, tokens, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(count, tokens, 3, 3, 4).permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused:
            mixed = functional.scaled_dot_product_attention(q, k, v)
        else:
            mixed = functional.dropout((q * 0.5 @ k.transpose(-2, -1)).softmax(-1), 0.0) @ v
        x = x + self.proj(mixed.transpose(1, 2).reshape(count, tokens, width))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """A vision transformer in timm's shape.

    Args:
        before: number of tokens before the patches, without a position.
        after: the same after the patches.
        head: "token" (the first), "mean" (of all).
        linear: patches cut by reshaping, without a convolution.
        fused: whether attention is one function.
    """

    def __init__(self, before: int = 1, after: int = 0, head: str = "token", linear: bool = False, fused: bool = True):
        super().__init__()
        self.head_of, self.linear = head, linear
        self.patch_embed = nn.Linear(3 * 64, 12) if linear else nn.Conv2d(3, 12, 8, 8)
        self.first, self.last = (nn.Parameter(torch.randn(1, n, 12)) for n in (before, after))
        self.blocks = nn.Sequential(*(Block(fused) for _ in range(2)))
        self.norm, self.head = nn.LayerNorm(12), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        if self.linear:
            patches = functional.unfold(x, 8, stride=8).transpose(1, 2)
            tokens = self.patch_embed(patches)
        else:
            tokens = self.patch_embed(x).flatten(2).transpose(1, 2)
        first, last = (each.expand(len(x), -1, -1) for each in (self.first, self.last))
        tokens = self.norm(self.blocks(torch.cat([first, tokens, last], 1)))
        return self.head(tokens.mean(1) if self.head_of == "mean" else tokens[:, 0])


class TokensFirst(Transformer):
    """The same with rows of tokens (T, N, K), as nn.MultiheadAttention has them by default and CLIP throughout."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        block: Any
        for i, block in enumerate(self.blocks):
            attention: Any = nn.MultiheadAttention(12, 3)
            attention.in_proj_weight, attention.in_proj_bias = block.qkv.weight, block.qkv.bias
            attention.out_proj = block.proj
            self.add_module(f"attention{i}", attention)

    def forward(self, x: Tensor) -> Tensor:
        tokens = torch.cat([self.first.expand(len(x), -1, -1), self.patch_embed(x).flatten(2).transpose(1, 2)], 1)
        tokens = tokens.permute(1, 0, 2)
        block: Any
        for i, block in enumerate(self.blocks):
            normed = block.norm1(tokens)
            tokens = tokens + self.get_submodule(f"attention{i}")(normed, normed, normed, need_weights=False)[0]
            tokens = tokens + block.mlp(block.norm2(tokens))
        return self.head(self.norm(tokens)[0])


class ChannelsLast(nn.Module):
    """Stages in (N, h, w, K), as Swin's and ConvNeXt's are in timm and torchvision."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, 4)
        self.norm, self.mlp = nn.LayerNorm(8), nn.Linear(8, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).permute(0, 2, 3, 1)
        x = x + functional.gelu(self.mlp(self.norm(x)))
        return self.head(x.mean((1, 2)))


def made(**options: Any) -> nn.Module:
    """A little transformer with random weights.

    Its scores are 0 for a black image, so that what hiding a part changes is no small difference of large scores.
    """
    torch.manual_seed(0)
    net = Transformer(**options).eval()
    with torch.no_grad():
        net.head.bias.sub_(net(torch.zeros(1, 3, 32, 48))[0])
    return net


def explained(model: nn.Module, size: tuple[int, int] = (32, 48)) -> Any:
    """Grad-CAM of a picture."""
    return saliency.explain(model, picture(*size), "grad_cam", 1, progress=False)


@pytest.mark.parametrize(
    ("options", "layer", "grid"),
    [
        ({}, "blocks.1.norm1", "4×6 patches, 1 leading token skipped"),
        ({"fused": False}, "blocks.1.norm1", "4×6 patches, 1 leading token skipped"),
        ({"before": 5}, "blocks.1.norm1", "4×6 patches, 5 leading tokens skipped"),
        ({"linear": True}, "blocks.1.norm1", "4×6 patches, 1 leading token skipped"),
        ({"before": 0, "head": "mean"}, "norm", "4×6 patches"),
        ({"before": 0, "after": 2, "head": "mean"}, "norm", "4×6 patches, 2 trailing tokens skipped"),
    ],
    ids=str,
)
def test_the_token_grid_is_found(options: dict[str, Any], layer: str, grid: str) -> None:
    """Extra tokens first or last, patches by convolution or by reshaping, attention fused or not, not square."""
    exp = explained(made(**options))

    assert exp.layer == layer
    assert f"{layer} read as a grid of {grid}" in exp.notes


def test_patches_lie_where_they_were_cut() -> None:
    """Each cell of the grid depends on its own patch: only there does the first norm's gradient live."""
    model: Any = saliency.adapt(made(before=2)).at([lambda _: torch.zeros(1)])
    image = np.zeros((1, 32, 48, 3), np.float32)
    changed = image.copy()
    changed[0, 16:24, 32:40] = 1
    bound = saliency.adapt(made(before=2)).at([1], ["blocks.0.norm1"])
    before, after = (bound.layers(model.ops.asarray(each))[0].activations[0] for each in (image, changed))  # type: ignore[attr-defined]
    moved = (before - after).abs().sum(-1)

    assert moved.shape == (4, 6)
    assert [tuple(at) for at in moved.nonzero().tolist()] == [(2, 4)]


def test_channels_may_come_last() -> None:
    """A map (N, h, w, K) is read as such, and the notes say so."""
    torch.manual_seed(0)
    exp = explained(ChannelsLast().eval())

    assert any("8×12, channels last" in note for note in exp.notes)
    assert exp.mask.shape == (32, 48)


def test_layers_lists_what_may_be_named() -> None:
    """Names, shapes and grids in the order of the calls, as a table; each name is taken by layer=."""
    model, image = made(), picture(32, 48)
    table = saliency.layers(model, image)

    assert table[-1].name == "blocks.1.norm1"
    assert table[-1].shape == (1, 25, 12)
    assert repr(table).splitlines()[0].split() == ["layer", "output", "grid"]
    for each in table:
        exp = saliency.explain(model, image, "grad_cam", 1, layer=each.name, progress=False)
        assert np.isfinite(exp.mask).all()


def test_layers_needs_no_image() -> None:
    """Without an image, the model is called with a grey picture."""
    found = {each.name: each.grid for each in saliency.layers(small_net())}

    assert found["relu"] == "112×112"


def test_layers_of_a_black_box_are_refused() -> None:
    """The sentence is the model's own."""
    with pytest.raises(saliency.Unsupported, match="only scores"):
        saliency.layers(black_box(small_net()))


@pytest.mark.parametrize(
    ("shape", "image", "layout"),
    [
        ((768, 7, 7), (224, 224), "first"),
        ((7, 7, 768), (224, 224), "last"),
        ((64, 56, 56), (224, 224), "first"),
        ((56, 56, 64), (224, 224), "last"),
        ((8, 8, 8), (64, 64), "first"),
        ((12, 20, 3), (24, 40), "last"),
    ],
)
def test_the_order_of_channels_is_that_which_fits_the_image(
    shape: tuple[int, int, int], image: tuple[int, int], layout: str
) -> None:
    """The reading whose grid has the image's proportions; channels first where both have."""
    grid = map_grid(shape, image)

    assert grid is not None
    assert grid.layout == layout


def test_vectors_have_no_grid() -> None:
    """1×1 maps are none."""
    assert map_grid((5, 1, 1), (32, 32)) is None


@pytest.mark.parametrize(
    ("tokens", "image", "maps", "first"),
    [
        (197, (224, 224), [], Grid("tokens", 14, 14, 1)),
        (198, (224, 224), [(14, 14)], Grid("tokens", 14, 14, 2)),
        (201, (224, 224), [(14, 14)], Grid("tokens", 14, 14, 5)),
        (49, (224, 224), [(56, 56)], Grid("tokens", 7, 7, 0)),
        (25, (32, 48), [], Grid("tokens", 4, 6, 1)),
        (577, (384, 384), [], Grid("tokens", 24, 24, 1)),
    ],
)
def test_the_likeliest_grid_comes_first(
    tokens: int, image: tuple[int, int], maps: list[tuple[int, int]], first: Grid
) -> None:
    """ViT, DeiT, registers, Swin's last stage, and images that are not square."""
    assert token_grids(tokens, image, maps)[0] == first


@pytest.mark.parametrize("method", ["attention_rollout", "attention_relevance", "grad_sam", "le_grad"])
def test_tokens_before_images_are_attention_s_too(method: str) -> None:
    """Of a transformer of (T, N, K) the maps are those of the same weights in (N, T, K)."""
    torch.manual_seed(0)
    turned = TokensFirst().eval()
    plain = made()
    plain.load_state_dict(turned.state_dict(), strict=False)
    found, expected = (
        [exp.mask for exp in saliency.explain(net, picture(32, 48), method, [1, 3], progress=False)]
        for net in (turned, plain)
    )

    near(np.stack(found), np.stack(expected))


@pytest.mark.parametrize("count", [1, 3, 25])
def test_a_layer_of_tokens_before_images_is_a_grid(count: int) -> None:
    """Activations, gradients and scores with others in their place, also of as many images as there are tokens."""
    torch.manual_seed(0)
    turned = TokensFirst().eval()
    plain = made()
    plain.load_state_dict(turned.state_dict(), strict=False)
    images = np.stack([picture(32, 48, seed=seed) / 255 for seed in range(count)]).astype(np.float32)
    bound = [saliency.adapt(net).at([1, 3], ["blocks.0.norm2"]) for net in (turned, plain)]
    (found,), (expected,) = (model.layers(torch.from_numpy(images)) for model in bound)  # type: ignore[attr-defined]

    assert found.activations.shape == (count, 4, 6, 12)
    near(found.activations.numpy(), expected.activations.numpy())
    near(found.gradients.numpy(), expected.gradients.numpy())
    swapped = found.activations.flip(1)
    scores, expected_scores = (model.scores_with(torch.from_numpy(images), swapped) for model in bound)  # type: ignore[attr-defined]
    near(scores.numpy(), expected_scores.numpy())


def test_the_automatic_layer_is_found_among_tokens_before_images() -> None:
    """The last norm that the patches still count at, as where images come first; the notes say how it was read."""
    torch.manual_seed(0)
    exp = explained(TokensFirst().eval())

    assert exp.layer == "blocks.1.norm1"
    assert "blocks.1.norm1 read as a grid of 4×6 patches, 1 leading token skipped" in exp.notes
