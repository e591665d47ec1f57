"""Plain functions of torch's tensors."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, cast

from torch import Tensor, nn

from saliency.adapters.answers import by_batch
from saliency.adapters.callables.closure import held
from saliency.adapters.callables.stateless import stateless
from saliency.adapters.torch.changes import version_of
from saliency.adapters.torch.model import TorchModel
from saliency.adapters.torch.ops import TorchOps
from saliency.adapters.torch.random import OwnRandomness
from saliency.adapters.torch.working_copy import AsItIs, WorkingCopy, is_training
from saliency.adapters.torch.wrapped import unsupported
from saliency.model.protocols import Attentive, Inspectable, Reweightable
from saliency.threads import uninterrupted


class _Function(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        modules = [each for each in held(function) if isinstance(each, nn.Module)]
        # a function that refers to no modules is called as it is
        self._kept = function if modules else AsItIs(function)
        # the modules that it calls have their own modes
        self.training = any(map(is_training, modules))

    @property
    def function(self) -> Callable[..., Any]:
        """The function itself, or its copy."""
        return self._kept.value if isinstance(self._kept, AsItIs) else self._kept

    def forward(self, x: Tensor) -> Any:
        with stateless():
            return by_batch(self.function, x, "torch")


def on_a_copy(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, called on copies of the modules that it refers to and with its own random numbers.

    Args:
        function: of arrays of any framework.
    """
    working, randomness = WorkingCopy(_Function(function)), OwnRandomness()

    def call(images: Any) -> Any:
        with uninterrupted(), working.ready() as copied, randomness.used():
            return cast(_Function, copied).function(images)

    return call


class TorchFunction(TorchModel):
    """A function from images (N, C, H, W) to scores, with targets bound.

    Args:
        function: of torch.
        labels: names of the classes.
    """

    def __init__(self, function: Callable[[Tensor], Any], labels: Sequence[str] | None = None) -> None:
        super().__init__(_Function(function), labels)
        self._held = [each for each in held(function) if isinstance(each, nn.Module)]
        why = "a plain function exposes no layers: pass the module itself"
        lacks = {name: reason for module in self._held for name, reason in unsupported(module).items()}
        weightless = "a plain function exposes no weights: pass the module itself"
        self.lacks = {**lacks, Inspectable: why, Attentive: why, Reweightable: weightless}
        self._fed_as(*self._held)
        self.ops = TorchOps(self._device, self._wide)

    @property
    def structure(self) -> Hashable:
        """See :class:`Adapter`: the parts of a function are not visible, so it may change with its weights."""
        return self.version

    def _renew(self) -> None:
        super()._renew()
        self._randomness.renew()

    @property
    def version(self) -> Hashable:
        """A number that changes whenever a weight of the function's modules does."""
        return hash((id(cast(_Function, self.module).function), version_of(*self._held)))
