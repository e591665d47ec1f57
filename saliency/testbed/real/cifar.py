"""ResNets trained on CIFAR-10, with the file layout of github.com/akamaster/pytorch_resnet_cifar10."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""CIFAR-10's classes."""


class Block(nn.Module):
    """Two convolutions and a shortcut without weights (option A of arXiv:1512.03385, section 4.2)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.added = stride, (outputs - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        kept = x[:, :, :: self.stride, :: self.stride]
        return functional.relu(inner + functional.pad(kept, (0, 0, 0, 0, self.added, self.added)))


class ResNet(nn.Module):
    """Three stages of blocks: pictures (N, 3, 32, 32) -> logits (N, 10)."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1, self.layer2, self.layer3 = (
            nn.Sequential(Block(inputs, outputs, stride), *(Block(outputs, outputs, 1) for _ in range(blocks - 1)))
            for inputs, outputs, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2))
        )
        self.linear = nn.Linear(64, len(LABELS))

    def forward(self, images: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(images)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


def load(path: Path) -> nn.Module:
    """Load a network in eval mode; the number of its blocks follows from the weights."""
    stored: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    weights = {name.removeprefix("module."): value for name, value in stored["state_dict"].items()}
    blocks = len({name.split(".")[1] for name in weights if name.startswith("layer1.")})
    with torch.random.fork_rng(devices=[]):  # the initial weights are random, and replaced
        network = ResNet(blocks)
    network.load_state_dict(weights)
    return network.eval()
