"""PyTorch modules that are called with several inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from saliency.adapters.answers import inputs_error
from saliency.adapters.per_model import shared_by
from saliency.adapters.torch.model import TorchModel
from saliency.model.inputs import Packing


class _Taken(nn.Module):
    """A module of several inputs as one of rows (N, D)."""

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
        taken = _Taken(module, packing)
        taken.training = module.training
        super().__init__(taken, labels)
        # whoever asks the module, there is one lock
        self._shared = shared_by(module)
        self.lock, self.batch_sizes = self._shared.lock, self._shared.batch_sizes
