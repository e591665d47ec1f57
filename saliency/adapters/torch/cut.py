"""The part of a torch model after a cut, and the paths by which scores depend on the image."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from saliency.adapters.tokens import Grid
from saliency.adapters.torch.gradients import backward, leaf_of
from saliency.adapters.torch.layers import Replaced, as_output, channels_last

ROUNDING = 1e-3
"""Largest relative difference of scores that is a rounding error."""


class Tail(NamedTuple):
    """The layer at which a model is cut.

    A module can only be called as a whole, so the part before the layer runs on a placeholder, and its result is
    replaced.
    """

    layer: str
    call: int
    """Number of the layer's last call, from 1."""
    grid: Grid | None
    """Its grid on the image."""
    example: Tensor
    """An image (1, H, W, C) that the model accepts."""

    def placeholder(self, count: int) -> Tensor:
        """Return `count` images with which to call the model."""
        return self.example.expand(count, *self.example.shape[1:])

    def replaced(self, module: nn.Module, values: Tensor) -> Replaced:
        """Return the mode in which the layer's output is `values` (N, …), channels last."""
        return Replaced(module, self.layer, self.call, lambda output: as_output(values, self.grid, output))


def paths_of(scores: Callable[[Tensor], Tensor], images: Tensor, values: Tensor) -> tuple[bool, bool]:
    """Return whether scores depend on the images, and whether on the values of a layer that are fixed meanwhile.

    The graph shows paths with a gradient; a call with other images shows the others.

    Args:
        scores: a function of the images that uses `values` as the layer's output.
        images: (1, H, W, C).
        values: a leaf that requires a gradient.
    """
    leaf = leaf_of(images)
    found = scores(leaf)
    by_images, by_values = backward(found, [leaf, values], keep=False) if found.requires_grad else (None, None)
    noise = np.random.default_rng(0).standard_normal(tuple(images.shape))
    other = scores(leaf_of(torch.as_tensor(noise).to(images)))
    near = ROUNDING * float(found.detach().abs().max())
    same = other.shape == found.shape and bool((other - found).abs().max() <= near)
    return by_images is not None or not same, by_values is not None


def gated(output: Tensor, grid: Grid | None, gate: np.ndarray) -> Tensor:
    """Return a layer's output with its gradient multiplied by a gate.

    Args:
        output: in the layer's own layout.
        grid: its grid on the image.
        gate: broadcasts against all of its values, channels last.
    """
    values = channels_last(output, grid)
    factor = torch.as_tensor(np.ascontiguousarray(gate)).to(values)
    return as_output(values * factor + values.detach() * (1 - factor), grid, output)
