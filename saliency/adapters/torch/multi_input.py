"""PyTorch modules with several inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from saliency.adapters.answers import inputs_error
from saliency.adapters.per_model import shared_by
from saliency.adapters.torch.model import TorchModel
from saliency.model.inputs import Packing


class _Unpacked(nn.Module):
    """A module of packed rows (N, D) that calls a module of several inputs."""

    def __init__(self, inner: nn.Module, packing: Packing) -> None:
        super().__init__()
        self.inner, self.packing = inner, packing

    def forward(self, rows: Tensor) -> Any:
        try:
            return self.inner(*self.packing.split(rows, torch.reshape))
        except Exception as error:
            raise inputs_error(error, self.packing, self.inner) or error from error


class SeveralInputs(TorchModel):
    """An ``nn.Module`` of several inputs, each as the module itself takes it.

    Args:
        module: the user's own.
        packing: of the inputs.
        labels: names of the classes.
    """

    def __init__(self, module: nn.Module, packing: Packing, labels: Sequence[str] | None = None) -> None:
        unpacked = _Unpacked(module, packing)
        unpacked.training = module.training
        super().__init__(unpacked, labels)
        # all adapters of the module share one lock
        self._shared = shared_by(module)
        self.lock, self.batch_sizes = self._shared.lock, self._shared.batch_sizes
