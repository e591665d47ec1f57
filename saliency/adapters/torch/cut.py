"""The part of a torch model after a cut, and the paths by which scores depend on the image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from saliency.adapters.layers import WEIGHTS
from saliency.adapters.tokens import Grid
from saliency.adapters.torch.gradients import backward, leaf_of
from saliency.adapters.torch.layers import Replaced, as_output, channels_last
from saliency.adapters.torch.trace import Watch

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


PRODUCTS = WEIGHTS | {"__matmul__", "__rmatmul__", "mm"}
"""Functions that may multiply with weights."""


class Inputs(Watch):
    """Records what each operator with weights reads.

    Args:
        module: its forward pass is recorded while the mode is active.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        # by id, with the tensors, so that no id is used twice
        self._named: dict[int, tuple[str, Tensor]] = {}
        self._read: list[tuple[list[Tensor], Tensor]] = []

    def see(self, name: str, result: Tensor, args: Any) -> Tensor:
        if name.split(":")[1] in PRODUCTS:
            self._read.append(([each for each in args if id(each) in self._named], result))
        self._named[id(result)] = name, result
        return result

    def leave(self, path: str, result: Any) -> Any:
        if path and id(result) in self._named:
            self._named[id(result)] = path, result
        return None

    def last(self, scores: Tensor, leaf: Tensor) -> Tensor | None:
        """Return what the last operator reads that multiplies a value of the image with weights; None without one.

        Args:
            scores: of the recorded pass.
            leaf: the images.
        """
        for read, result in reversed(self._read):
            if not result.requires_grad or backward(scores, [result])[0] is None:
                continue
            values = [each for each in read if each.requires_grad and backward(each, [leaf])[0] is not None]
            if len(values) == 1:
                return values[0]
        return None

    def name(self, tensor: Tensor) -> str:
        """Return the name of a recorded result."""
        return self._named[id(tensor)][0]


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
