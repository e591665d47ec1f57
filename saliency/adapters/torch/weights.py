"""Weights of torch modules: their names, their use in a forward pass, and copies of a module with other values."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from saliency.adapters.torch.working_copy import Copier, works_in_place
from saliency.adapters.weights import NO_WEIGHTS, QUANTISED, Step, Weight, by_tensor, last_uses

COMPILED = "_orig_mod."
"""The prefix that ``torch.compile`` adds to the names inside a part."""


def weights_of(module: nn.Module) -> list[Weight]:
    """Return the weight tensors of a module: its parameters, trained or frozen."""
    return by_tensor((name, _identity(each), partial(on_host, each)) for name, each in parameters_of(module))


def parameters_of(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield every name and parameter of a floating type; a tied one has several names."""
    for name, each in module.named_parameters(remove_duplicate=False):
        if each.is_floating_point():
            yield name.replace(COMPILED, ""), each


def _identity(tensor: Tensor) -> Hashable:
    """Return a value that is equal for parameters that are the same numbers in memory."""
    return (tensor.data_ptr(), tensor.shape, tensor.stride()) if tensor.numel() else id(tensor)


def on_host(tensor: Tensor) -> np.ndarray:
    """Return a copy of a tensor's values, in float32 or float64."""
    wide = tensor.detach().to("cpu", torch.float64 if tensor.dtype == torch.float64 else torch.float32)
    return np.array(wide.numpy())


def unchangeable(module: nn.Module) -> str | None:
    """Return how the reason ends why a module's weights cannot be changed; None if they can."""
    for part in module.modules():
        if works_in_place(part) and not isinstance(part, torch.jit.ScriptModule):
            return f"contains a {type(part).__name__}, which cannot be copied: pass the module inside"
    parameters = list(module.parameters())
    plain = all(type(each.data) is Tensor and each.layout == torch.strided for each in parameters)
    if not plain or not all(each.is_floating_point() or each.is_complex() for each in parameters):
        return QUANTISED
    return None if any(each.is_floating_point() for each in parameters) else NO_WEIGHTS


def copy_with(module: nn.Module, values: Mapping[str, np.ndarray]) -> nn.Module:
    """Return a copy of a module that shares no memory with it.

    Args:
        module: it is only read; parts wrapped by ``torch.compile`` are copied without the wrapper.
        values: by name, new values of parameters.
    """
    with torch.inference_mode(False), torch.no_grad():
        copied: nn.Module = Copier(compiled=False, weights=True).copy(module)
        for name, each in parameters_of(copied):
            if name in values:
                each.copy_(torch.from_numpy(values[name]))
    return copied


class Uses(TorchDispatchMode):
    """Records which memory each operator reads and writes, and keeps it alive, so that no address is used twice."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._steps: list[Step] = []
        self._kept: list[Any] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Prevent torch from importing its compiler for this mode, which takes seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunction():
            result = func(*args, **(kwargs or {}))
        takes = _storages((args, kwargs))
        gives = _storages(result)
        if func._schema.is_mutable:
            gives = {**gives, **takes}
        self._steps.append((takes.keys(), gives.keys()))
        self._kept += [*takes.values(), *gives.values()]
        return result

    def last(self, named: Iterable[tuple[str, Tensor]], images: Tensor, scores: Tensor) -> dict[str, int]:
        """Return, by name of each weight tensor that the scores depend on, the last step that uses it.

        Args:
            named: every name and tensor.
            images: what the model was called with.
            scores: what it returned.
        """
        names: dict[Hashable, list[str]] = {}
        for name, each in named:
            names.setdefault(_storage(each), []).append(name)
        return last_uses(self._steps, names, _storage(images), [_storage(scores)])


def _storages(values: Any) -> dict[int, Any]:
    """Return the storages of all tensors among values, by their addresses."""
    tensors = (each for each in tree_leaves(values) if isinstance(each, Tensor))
    return {_storage(each): each for each in tensors}


def _storage(tensor: Tensor) -> int:
    try:
        return int(tensor.untyped_storage()._cdata)
    except (RuntimeError, NotImplementedError):  # a subclass without its own memory
        return id(tensor)
