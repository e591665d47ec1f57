"""The networks of the test-beds, in torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from saliency.testbed.scene import Scene

N = TypeVar("N", bound=nn.Module)

WEIGHTS = Path(__file__).with_name("weights")

BATCH = 32

Place = tuple[slice, slice]
"""Rows and columns of a rectangle."""


class Wired(nn.Module):
    """Logits of three classes: of the first, a function of how clear a pattern is in some places.

    Args:
        places: the places that are read.
        combine: from the evidence (N, places) in 0–1 to one value (N,) in 0–1.
        pattern: (H, W) of -1 and 1, by which brightness is multiplied; None where brightness itself is read.
    """

    def __init__(
        self, places: Sequence[Place], combine: Callable[[Any], Any], pattern: NDArray[np.float64] | None = None
    ) -> None:
        super().__init__()
        self.places, self.combine, self.pattern = tuple(places), combine, pattern

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in 0–1 to logits (N, 3)."""
        grey = images.mean(1)
        if self.pattern is not None:
            grey = torch.as_tensor(self.pattern, dtype=grey.dtype) * (grey - 0.5) + 0.5
        evidence = torch.stack([grey[:, rows, columns].mean((1, 2)) for rows, columns in self.places], 1)
        logit = 8 * self.combine(torch.sigmoid(20 * (evidence - 0.68))) - 3
        return torch.stack([logit, torch.zeros_like(logit), torch.full_like(logit, -1.0)], 1)


class SmallCNN(nn.Module):
    """Convolutions with batch norm, a global average, and a linear layer.

    Kernels are 4×4 where the map is halved, so that every pixel has the same number of weights on it.

    Args:
        classes: number of classes.
        widths: channels of the five convolutions, of which the first, second and fourth halve the map.
    """

    def __init__(self, classes: int, widths: Sequence[int] = (16, 24, 32, 48, 48)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs, (kernel, stride) in zip(widths, ((4, 2), (4, 2), (3, 1), (4, 2), (3, 1)), strict=True):
            layers += [nn.Conv2d(inputs, outputs, kernel, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(inputs, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in 0–1 to logits (N, classes)."""
        scores: Tensor = self.head(self.flatten(self.pool(self.features(2 * images - 1))))
        return scores


def stored(path: Path) -> dict[str, Tensor]:
    """Return the weights of a file as float32, by name."""
    with np.load(path, allow_pickle=False) as arrays:
        return {key: torch.from_numpy(arrays[key].astype(np.float32)) for key in arrays.files}


def restored(network: N, weights: Mapping[str, Tensor]) -> N:
    """Return the network with these weights, in evaluation mode."""
    # batch norm counts its batches, which is not stored
    network.load_state_dict({**network.state_dict(), **weights})
    return network.eval()


def load(path: Path) -> SmallCNN:
    """Return a network with the weights of a file, in evaluation mode on the CPU."""
    weights = stored(path)
    return restored(SmallCNN(len(weights["head.bias"])), weights)


def save(network: nn.Module, path: Path) -> None:
    """Write the weights to an npz file: kernels as float16, everything one-dimensional as float32."""
    arrays = {
        key: value.numpy().astype(np.float16 if value.ndim > 1 else np.float32)
        for key, value in network.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    np.savez_compressed(path, **arrays)


def logits(network: nn.Module, images: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the logits (N, classes) of pictures (H, W, 3) of one size."""
    found = []
    with torch.no_grad():
        for start in range(0, len(images), BATCH):
            batch = torch.from_numpy(np.stack(images[start : start + BATCH])).permute(0, 3, 1, 2)
            found.append(network(batch.contiguous()).numpy())
    return np.concatenate(found)


class Removals(NamedTuple):
    """The logits of one scene, and of the scene without each of its parts."""

    full: NDArray[np.float32]
    """(classes,)."""
    without: Mapping[str, NDArray[np.float32]]
    """By the name of the part, (classes,)."""

    def drop(self, part: str, target: int) -> float:
        """Return how much the logit of a class falls without a part."""
        return float(self.full[target] - self.without[part][target])

    def decides(self, target: int, part: str = "") -> bool:
        """Return whether the network decides for a class, of the scene itself or without a part."""
        return int((self.without[part] if part else self.full).argmax()) == target


def removals(network: nn.Module, scenes: Sequence[Scene]) -> list[Removals]:
    """Return the logits of scenes without each of their parts."""
    sets = [[(), *((name,) for name in scene.parts)] for scene in scenes]
    images = [scene.without(each) for scene, of_scene in zip(scenes, sets, strict=True) for each in of_scene]
    values = iter(logits(network, images))
    found = []
    for scene in scenes:
        full = next(values)
        found.append(Removals(full, {name: next(values) for name in scene.parts}))
    return found
