"""torch's implementation of :class:`saliency.model.protocols.Ops`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saliency.adapters.torch.precision import wide, without_autocast
from saliency.model.protocols import Axis


class TorchOps:
    """Array functions of torch, on one device."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype

    def asarray(self, host: Any) -> Tensor:
        host = np.asarray(host)
        # torch warns about read-only arrays, such as pictures read by Pillow
        return torch.from_numpy(np.require(host, requirements=("C", "W"))).to(self.device, self.dtype)

    def tohost(self, array: Tensor) -> np.ndarray:
        return wide(array.detach().to("cpu", copy=True)).numpy()

    def wait(self, array: Tensor) -> None:
        if array.is_cuda:
            torch.cuda.synchronize(array.device)
        elif array.device.type == "mps":
            torch.mps.synchronize()

    def sum(self, array: Tensor, axis: Axis = None) -> Tensor:
        return array.sum() if axis is None else array.sum(axis)

    def max(self, array: Tensor, axis: Axis = None) -> Tensor:
        return array.max() if axis is None else array.amax(axis)

    def abs(self, array: Tensor) -> Tensor:
        return array.abs()

    def maximum(self, array: Tensor, other: Tensor | float) -> Tensor:
        return torch.maximum(array, other) if isinstance(other, Tensor) else array.clamp(min=other)

    def where(self, condition: Tensor, array: Tensor, other: Tensor | float) -> Tensor:
        return torch.where(condition, array, other)

    def concat(self, arrays: Sequence[Tensor], axis: int = 0) -> Tensor:
        return torch.cat(list(arrays), axis)

    def repeat(self, array: Tensor, times: int) -> Tensor:
        return array.repeat_interleave(times, 0)

    def reshape(self, array: Tensor, shape: tuple[int, ...]) -> Tensor:
        return array.reshape(shape)

    def transpose(self, array: Tensor, axes: tuple[int, ...]) -> Tensor:
        return array.permute(axes)

    def flip(self, array: Tensor, axis: int) -> Tensor:
        return array.flip(axis)

    def take(self, array: Tensor, indices: np.ndarray) -> Tensor:
        return array[..., torch.from_numpy(indices).to(array.device)]

    def matmul(self, array: Tensor, other: Tensor) -> Tensor:
        with without_autocast(self.device):
            return array @ other

    def logsumexp(self, array: Tensor) -> Tensor:
        return array.logsumexp(-1)

    def finite(self, array: Tensor) -> bool:
        # summands of a finite sum are finite; a sum may overflow, and takes a thirtieth of the time of looking at each
        return math.isfinite(array.sum().item()) or bool(torch.isfinite(array).all())
