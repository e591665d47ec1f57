"""PyTorch modules with several inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from saliency.errors import unknown
from saliency.model.inputs import Packing
from saliency.model.names import name_of
from saliency.model.protocols import Target
from saliency.targets import Unit, units

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

    def at(self, targets: Sequence[int | Target], layers: Sequence[str] = ()) -> Self:
        """See :meth:`saliency.model.protocols.Adapted.at`; layers have their names in the user's module."""
        names = {name for name, _ in cast(_Unpacked, self.module).inner.named_modules()}
        for each in (*layers, *units(targets)):
            if _in_module(each).removeprefix(INNER) not in names:
                raise unknown("layer", each, sorted(names - {""}))
        own = [replace(each, layer=_inside(each.layer)) if isinstance(each, Unit) else each for each in targets]
        return super().at(own, [_inside(each) for each in layers])

    def _weights(self) -> list[Weight]:
        return weights_of(cast(_Unpacked, self.module).inner)

    def _last_uses(self, images: Tensor) -> dict[str, int]:
        return {name.removeprefix(INNER): step for name, step in super()._last_uses(images).items()}

    def _with_weights(self, values: Mapping[str, np.ndarray]) -> Self:
        return super()._with_weights({INNER + name: each for name, each in values.items()})


def _inside(layer: str) -> str:
    """Return the name of a layer inside the packed module, from its name in the user's module."""
    if layer.startswith((INNER, INNER[:-1] + ":")):
        return layer
    return INNER[:-1] + layer if layer.startswith(":") else INNER + layer


def _in_module(layer: str) -> str:
    """Return the name of the module of a layer; empty for the user's module itself."""
    path = _inside(layer).partition(":")[0]
    return "" if path == INNER[:-1] else path
