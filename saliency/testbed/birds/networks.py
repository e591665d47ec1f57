"""A small convolutional network and a small vision transformer that classify the birds."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from saliency.testbed.birds.pictures import CLASSES, SIZE
from saliency.testbed.networks import WEIGHTS, SmallCNN, restored, stored

GRID = 12
"""Height and width of the last feature map, and of the grid of patches."""


class BirdCNN(SmallCNN):
    """Convolutions with batch norm, a global average, and a linear layer."""

    width = 96

    def __init__(self) -> None:
        super().__init__(len(CLASSES), (24, 40, 56, 80, self.width))


class Attention(nn.Module):
    """Self-attention with several heads, written out: its softmax is an operator like any other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix tokens (N, T, width)."""
        count, tokens, width = x.shape
        query, key, value = self.qkv(x).reshape(count, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = (query @ key.transpose(2, 3) * (width // self.heads) ** -0.5).softmax(3)
        mixed: Tensor = self.out((weights @ value).transpose(1, 2).reshape(count, tokens, width))
        return mixed


class Block(nn.Module):
    """A block of a transformer, with the norms before attention and the two linear layers."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Change tokens (N, T, width)."""
        x = x + self.attention(self.norm1(x))
        mixed: Tensor = x + self.mlp(self.norm2(x))
        return mixed


class BirdViT(nn.Module):
    """A vision transformer: patches of 8 × 8 pixels, a class token, four blocks."""

    width = 96

    def __init__(self) -> None:
        super().__init__()
        patch = SIZE // GRID
        self.patches = nn.Conv2d(3, self.width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, self.width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, GRID**2 + 1, self.width))
        self.blocks = nn.Sequential(*(Block(self.width, 4) for _ in range(4)))
        self.norm = nn.LayerNorm(self.width)
        self.head = nn.Linear(self.width, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores (N, classes) of pictures (N, 3, 96, 96) in 0–1."""
        scores: Tensor = self.head(self.tokens(x)[:, 0])
        return scores

    def tokens(self, x: Tensor) -> Tensor:
        """Return the class token and those of the patches, (N, 145, width)."""
        patches = self.patches(2 * x - 1).flatten(2).transpose(1, 2)
        rows = torch.cat([self.token.expand(len(x), -1, -1), patches], 1) + self.positions
        tokens: Tensor = self.norm(self.blocks(rows))
        return tokens


NETWORKS: dict[str, Callable[[], nn.Module]] = {"cnn": BirdCNN, "vit": BirdViT}
"""By kind."""


def load(kind: str) -> nn.Module:
    """Return a trained network, one of :data:`NETWORKS`, in evaluation mode on the CPU."""
    return restored(NETWORKS[kind](), stored(WEIGHTS / f"birds_{kind}.npz"))
