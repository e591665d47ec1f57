"""Plain functions of torch's tensors."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, cast

from torch import Tensor, nn

from saliency.adapters.answers import by_batch
from saliency.adapters.function import held
from saliency.adapters.torch import TorchModel
from saliency.adapters.torch_copy import tensors_of
from saliency.adapters.torch_ops import TorchOps
from saliency.adapters.torch_wrapped import lost
from saliency.model import Attentive, Inspectable


class _Function(nn.Module):
    """A function in a module's clothes."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def __deepcopy__(self, memo: dict[int, Any]) -> _Function:
        # what a function holds is its own: a bound method's model, say, is not to be copied
        return _Function(self.function)

    def forward(self, x: Tensor) -> Any:
        return by_batch(self.function, x, "torch")


class TorchFunction(TorchModel):
    """A function from images (N, C, H, W) to scores, with targets bound.

    Args:
        function: of torch.
        labels: names of the classes.
    """

    def __init__(self, function: Callable[[Tensor], Any], labels: Sequence[str] | None = None) -> None:
        super().__init__(_Function(function), labels)
        self._held = [each for each in held(function) if isinstance(each, nn.Module)]
        why = "a plain function shows no layers: pass the module itself"
        lacks = {name: told for module in self._held for name, told in lost(module).items()}
        self.lacks = {**lacks, Inspectable: why, Attentive: why}
        self._fed_as(*self._held)
        self.ops = TorchOps(self._device, self._wide)
        if any(module.training for module in self._held):
            self.notes.append("the function's model is in training mode, and is asked as it is: call eval() on it")

    @property
    def version(self) -> Hashable:
        """Changes whenever a weight of the function's modules does."""
        weights = tuple((t.data_ptr(), t._version) for module in self._held for t in tensors_of(module))
        return hash((id(cast(_Function, self.module).function), weights))
