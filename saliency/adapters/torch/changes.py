"""Notice what the user has changed in a tree of torch modules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn

REGISTRIES = (
    "_modules",
    "_parameters",
    "_buffers",
    "_forward_pre_hooks",
    "_forward_hooks",
    "_backward_pre_hooks",
    "_backward_hooks",
)
"""Attributes of a module with the parts of a call, by name."""

PLAIN = frozenset({bool, int, float, str})
"""Types of attributes that are compared by value."""


class Seen:
    """A tree of modules as it is now, for noticing later that a copy of it is out of date.

    It keeps the objects that it has seen, so that no other object can have the id of one of them.

    Args:
        module: the root.
    """

    def __init__(self, module: nn.Module) -> None:
        self.parts = parts = parts_of(module)
        named = [each for part in parts for each in (vars(part), *_registries(part))]
        self._named, self._empty = [each for each in named if each], [each for each in named if not each]
        self._objects = list(chain.from_iterable([each.values() for each in self._named]))
        self._tensors = tensors_of(parts)
        self._laid = _laid(self._tensors)
        self.compiled = any("_orig_mod" in part._modules for part in parts)
        """Whether a part was wrapped by ``torch.compile``."""

    @property
    def fingerprint(self) -> tuple[Any, ...]:
        """A value that changes with modules, tensors, hooks and attributes, apart from the tensors' values."""
        objects = (each if type(each) in PLAIN else id(each) for each in self._objects)
        addresses, types, shapes = self._laid
        return tuple(objects), tuple(addresses), tuple(types), tuple(shapes)

    def holds(self) -> bool:
        """Return whether the tree has the same objects, with tensors that have the same memory, type and shape.

        A plain attribute that was set to an equal value counts as another object here: compare the fingerprints.
        """
        objects = chain.from_iterable([each.values() for each in self._named])
        as_many = not any(self._empty) and sum(map(len, self._named)) == len(self._objects)
        return as_many and all(map(is_, objects, self._objects)) and _laid(self._tensors) == self._laid


def parts_of(module: nn.Module) -> list[nn.Module]:
    """Return a module and its parts, each once, in any order: a faster ``module.modules()``."""
    found, stack, seen = list[nn.Module](), [module], {id(module)}
    while stack:
        part = stack.pop()
        found.append(part)
        for each in part._modules.values():
            if each is not None and id(each) not in seen:
                seen.add(id(each))
                stack.append(each)
    return found


def tensors_of(parts: Iterable[nn.Module]) -> list[Tensor]:
    """Return the parameters and buffers of modules, without those of their parts."""
    return [
        each
        for part in parts
        for registry in (part._parameters, part._buffers)
        for each in registry.values()
        if each is not None
    ]


def version_of(*modules: nn.Module) -> int:
    """Return a number that changes when a parameter or buffer is written to or replaced."""
    tensors = tensors_of(chain.from_iterable(map(parts_of, modules)))
    # tensors created in inference mode do not count writes
    writes = tuple(0 if each.is_inference() else each._version for each in tensors)
    return hash((writes, tuple(_addresses(tensors))))


def _registries(part: nn.Module) -> list[Any]:
    # a module that was unpickled or scripted may lack some
    return [getattr(part, name) for name in REGISTRIES if hasattr(part, name)]


def _laid(tensors: Sequence[Tensor]) -> tuple[list[int], list[torch.dtype], list[torch.Size]]:
    """Return the memory, the types and the shapes of tensors."""
    return _addresses(tensors), [each.dtype for each in tensors], [each.shape for each in tensors]


def _addresses(tensors: Sequence[Tensor]) -> list[int]:
    try:
        return [each.data_ptr() for each in tensors]
    except RuntimeError:  # some are of a subclass without its own memory
        return [_address(each) for each in tensors]


def _address(tensor: Tensor) -> int:
    try:
        return tensor.data_ptr()
    except RuntimeError:
        return id(tensor)
