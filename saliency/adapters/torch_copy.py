"""Asking a torch module without touching it: a copy around the same memory, or eval mode for as long as it takes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from torch import Tensor, nn

from saliency.adapters.torch_rules import scripted


def tensors_of(module: nn.Module) -> Iterator[Tensor]:
    """Its parameters and buffers."""
    return chain(module.parameters(), module.buffers())


def aliased(module: nn.Module) -> nn.Module | None:
    """A copy of the modules around the very same memory, in eval mode; None if it cannot be made.

    ``.data`` gives the shared memory a version counter of its own, so that an optimiser's step beside us does not
    break a backward pass of ours.
    """
    if scripted(module):
        return None  # its copy would have memory of its own
    memo: dict[int, Any] = {}
    for tensor in tensors_of(module):
        alias = nn.Parameter(tensor.data, requires_grad=False) if isinstance(tensor, nn.Parameter) else tensor.data
        memo[id(tensor)] = alias
    try:
        return copy.deepcopy(module, memo).eval()
    except Exception:  # noqa: BLE001  # whatever a user's __deepcopy__ or attribute may raise, there is another way
        return None


@contextmanager
def switched(module: nn.Module) -> Iterator[None]:
    """`module` in eval mode, each part put back as it was."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
