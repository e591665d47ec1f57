"""PyTorch modules with several inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from saliency.adapters.answers import inputs_error
from saliency.adapters.per_model import shared_by
from saliency.adapters.torch.model import TorchModel
from saliency.adapters.torch.weights import weights_of
from saliency.adapters.torch.working_copy import is_training
from saliency.adapters.weights import Weight
from saliency.model.inputs import Packing
from saliency.model.names import name_of

INNER = "inner."
"""Prefix of the names inside the user's module."""


class _Unpacked(nn.Module):
    """A module of packed rows (N, D) that calls a module of several inputs."""

    def __init__(self, inner: nn.Module, packing: Packing) -> None:
        super().__init__()
        self.inner, self.packing = inner, packing

    def forward(self, rows: Tensor) -> Any:
        try:
            return self.inner(*self.packing.split(rows, torch.reshape))
        except Exception as error:
            raise inputs_error(error, self.packing, name_of(self.inner)) or error from error


class SeveralInputs(TorchModel):
    """An ``nn.Module`` of several inputs, each as the module itself takes it.

    Args:
        module: the user's own.
        packing: of the inputs.
        labels: names of the classes.
    """

    def __init__(self, module: nn.Module, packing: Packing, labels: Sequence[str] | None = None) -> None:
        unpacked = _Unpacked(module, packing)
        unpacked.training = is_training(module)
        super().__init__(unpacked, labels)
        self.name = name_of(module)
        # all adapters of the module share one lock
        self._share(shared_by(module))

    def _weights(self) -> list[Weight]:
        return weights_of(cast(_Unpacked, self.module).inner)

    def _last_uses(self, images: Tensor) -> dict[str, int]:
        return {name.removeprefix(INNER): step for name, step in super()._last_uses(images).items()}

    def _with_weights(self, values: Mapping[str, np.ndarray]) -> Self:
        return super()._with_weights({INNER + name: each for name, each in values.items()})
