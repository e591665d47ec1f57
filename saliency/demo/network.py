"""The small residual network of the demo: plain torch modules, fully convolutional up to the global average."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

_WIDTHS = (24, 32, 64, 112)


class Normalise(nn.Module):
    """Shift and scale RGB values from 0-1 to about zero mean and unit spread; shape is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.45))
        self.register_buffer("std", torch.full((1, 3, 1, 1), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) in 0-1 to (N, 3, H, W)."""
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        return (x - mean) / std


class ResidualBlock(nn.Module):
    """Two convolutions with a shortcut; with ``stride`` 2 the map is halved.

    Halving uses a 4 x 4 kernel and a pooled shortcut: every input pixel then has the same number of weights on it,
    which keeps gradients free of a checkerboard.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        kernel = 4 if stride == 2 else 3
        self.conv1 = nn.Conv2d(inputs, outputs, kernel, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride == 2 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        inner = self.relu1(self.norm1(self.conv1(x)))
        out: Tensor = self.relu2(self.norm2(self.conv2(inner)) + self.shortcut(x))
        return out


class DemoNet(nn.Module):
    """Image classifier of the demo.

    ``features`` ends in a (N, 112, H / 16, W / 16) map, 14 x 14 for the demo picture; its last block is the layer
    for Grad-CAM. The heights and widths of pictures are multiples of 16.

    Args:
        classes: Number of classes.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        stem, low, middle, high = _WIDTHS
        self.normalise = Normalise()
        self.features = nn.Sequential(
            nn.Conv2d(3, stem, 4, 2, 1, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(),
            ResidualBlock(stem, low, 2),
            ResidualBlock(low, middle, 2),
            ResidualBlock(middle, middle, 1),
            ResidualBlock(middle, high, 2),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(high, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, (N, classes), of RGB pictures, (N, 3, H, W) in 0-1."""
        logits: Tensor = self.head(self.flatten(self.pool(self.features(self.normalise(x)))))
        return logits


def save(network: DemoNet, path: Path) -> None:
    """Write the weights to an npz file: kernels as float16, everything one-dimensional as float32."""
    arrays = {
        name: value.detach().numpy().astype(np.float16 if value.ndim > 1 else np.float32)
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    np.savez(path, **arrays)


def load(path: Path, classes: int) -> DemoNet:
    """Build the network in eval mode, on the CPU, with the weights of an npz file written by :func:`save`."""
    network = DemoNet(classes)
    with np.load(path, allow_pickle=False) as arrays:
        state = {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays.files}
    kept = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    network.load_state_dict(state | kept)
    return network.eval()
