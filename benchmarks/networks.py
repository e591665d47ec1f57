"""Networks of the usual families at 224², with random weights: time and memory do not depend on the weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.engine import resnet18


class Bottleneck(nn.Module):
    """Three convolutions beside a shortcut (arXiv:1512.03385, figure 5)."""

    def __init__(self, inside: int, width: int, stride: int) -> None:
        super().__init__()
        outside = 4 * width
        self.layers = nn.Sequential(
            *_normed(inside, width, 1), *_normed(width, width, 3, stride), *_normed(width, outside, 1)[:2]
        )
        change = stride != 1 or inside != outside
        self.short = nn.Sequential(*_normed(inside, outside, 1, stride)[:2]) if change else nn.Identity()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.relu(self.layers(x) + self.short(x))
        return found


class Inverted(nn.Module):
    """A depthwise convolution between two of 1×1 (arXiv:1801.04381, table 1)."""

    def __init__(self, inside: int, outside: int, stride: int, factor: int) -> None:
        super().__init__()
        width = factor * inside
        first = _normed(inside, width, 1) if factor > 1 else []
        self.layers = nn.Sequential(
            *first, *_normed(width, width, 3, stride, groups=width), *_normed(width, outside, 1)[:2]
        )
        self.residual = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x)
        return found + x if self.residual else found


class Block(nn.Module):
    """Attention and a perceptron, each after a layer norm (arXiv:2010.11929, equations 2 and 3)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        count, tokens, width = x.shape
        query, key, value = self.qkv(self.norm1(x)).reshape(count, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.out(mixed.transpose(1, 2).reshape(count, tokens, width))
        found: Tensor = x + self.mlp(self.norm2(x))
        return found


class Transformer(nn.Module):
    """ViT-S/16 (arXiv:2106.10270): 12 blocks of width 384 with 6 heads."""

    def __init__(self, width: int = 384, depth: int = 12, heads: int = 6) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.places = nn.Parameter(torch.randn(1, 197, width) * 0.02)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 1000)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], 1) + self.places
        found: Tensor = self.head(self.norm(self.blocks(tokens))[:, 0])
        return found


def _normed(inside: int, outside: int, size: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Return a convolution, a batch norm and a ReLU."""
    convolution = nn.Conv2d(inside, outside, size, stride, size // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outside), nn.ReLU()]


def _head(width: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 1000)]


def resnet50() -> nn.Module:
    """Return a network with the layers of ResNet-50."""
    blocks, inside = [], 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(count):
            blocks.append(Bottleneck(inside, width, stride if i == 0 else 1))
            inside = 4 * width
    return nn.Sequential(*_normed(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1), *blocks, *_head(inside))


def mobilenet() -> nn.Module:
    """Return a network with the layers of MobileNetV2, with ReLU."""
    blocks, inside = [], 32
    stages = (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)
    for factor, outside, count, stride in stages:
        for i in range(count):
            blocks.append(Inverted(inside, outside, stride if i == 0 else 1, factor))
            inside = outside
    return nn.Sequential(*_normed(3, 32, 3, 2), *blocks, *_normed(inside, 1280, 1), *_head(1280))


def tiny() -> nn.Module:
    """Return a network of one layer, whose passes cost next to nothing."""
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), *_head(8))


def lite0() -> nn.Module:
    """Return EfficientNet-Lite0 with its trained weights."""
    from saliency.demo.imagenet import load

    return load()


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "ResNet-18": resnet18,
    "ResNet-50": resnet50,
    "MobileNetV2": mobilenet,
    "ViT-S": Transformer,
    "EfficientNet-Lite0 (trained)": lite0,
}
"""Functions that build each network, by its name."""


def built(name: str) -> nn.Module:
    """Return a network in evaluation mode, without gradients by its weights."""
    torch.manual_seed(0)
    return {**NETWORKS, "tiny": tiny}[name]().eval().requires_grad_(False)
