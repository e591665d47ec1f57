"""The working copy of a torch module, on which all calls run, so that the user's module does not change.

The module tree is copied: new module objects around the user's parameters, with copies of everything that a forward
pass may write to (buffers, tensors, counters, containers, closures, random generators). No method of the user's modules
is called for it. Objects that cannot be copied (locks, files, loggers) are shared; so are modules that cannot be
copied (TorchScript, FSDP, distributed data parallel), which are switched to eval mode during each call.
"""

from __future__ import annotations

import copy
import copyreg
import types
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from saliency.adapters.torch.changes import Seen

LARGE = 64 * 2**20
"""Size in bytes above which a tensor or an array is shared, not copied."""

IN_PLACE = frozenset({"ScriptModule", "FSDPModule", "FullyShardedDataParallel", "DistributedDataParallel"})
"""Names of module classes that cannot be copied around the same weights."""

OUTSIDE = (
    "lightning",
    "logging",
    "pytorch_lightning",
    "torch._ops",
    "torch.fx",
    "torch.optim",
    "torch.utils._pytree",
    "torch.utils.data",
)
"""Packages whose objects belong to training, logging or a traced graph: they are shared."""

ATOMS = (
    bool | int | float | complex | str | bytes | type | range | slice | np.dtype | np.generic,
    types.BuiltinFunctionType | types.ModuleType | types.CodeType | types.NoneType | types.EllipsisType,
    torch.dtype | torch.device | torch.layout | torch.memory_format | torch.Size,
)
"""Types of values that never change."""

COMMON_ATOMS = frozenset({bool, int, float, str, type(None), torch.dtype, torch.device, torch.Size})
"""The most common of them, checked first."""

EMPTIED = frozenset({dict, OrderedDict, set})
"""Types of a module's registries, most of which are empty: an empty one is copied at once."""


class WorkingCopy:
    """A module tree around the user's parameters, for calls that must not change the user's module.

    If the user's root module is in eval mode, every part keeps its mode (Monte Carlo dropout stays on); if it is in
    training mode, the whole copy is in eval mode.

    Args:
        module: the user's own; it is only read.
        compiled: whether parts wrapped by ``torch.compile`` stay wrapped.
    """

    def __init__(self, module: nn.Module, *, compiled: bool = True) -> None:
        self._original, self._compiled = module, compiled
        self._make()

    def _make(self) -> None:
        seen, copier = Seen(self._original), Copier(self._compiled)
        with torch.inference_mode(False), torch.no_grad():
            module: nn.Module = copier.copy(self._original)
        if is_training(self._original):
            for part in copier.modules:
                _set_mode(part, False)
        self.edition = hash(seen.fingerprint)
        self._seen, self._refreshed, self._globals = seen, copier.refreshed, copier.globals
        self.module, self.shared = module, tuple(copier.shared)

    def notes(self) -> list[str]:
        """Return notes on parts shared with the user's module, and on its methods that are not called."""
        notes = []
        if is_training(self._original):
            notes.append("the model is in training mode: explained in eval mode; its own mode is unchanged")
            own = dict.fromkeys(kind.__name__ for kind in map(type, self._original.modules()) if _switches_itself(kind))
            if own:
                notes.append(f"train() and eval() of {', '.join(own)} are not called: only the flag `training` is set")
        if self.shared:
            kinds = ", ".join(dict.fromkeys(type(part).__name__ for part in self.shared))
            how = (
                "switched to eval mode during each call and back" if is_training(self._original) else "called as it is"
            )
            notes.append(f"{kinds} cannot be copied: {how}, so do not train the model meanwhile")
        if large := list(_large(self._original)):
            names = ", ".join(large[:3]) + (", …" if len(large) > 3 else "")
            notes.append(f"shared with your model, not copied, because each is above 64 MiB: {names}")
        return notes

    def renew(self) -> bool:
        """Update modules, weights, modes and attributes that the user has replaced; return whether there were any."""
        if self._seen.holds():
            return False
        now = Seen(self._original)
        changed = now.fingerprint != self._seen.fingerprint
        if changed:
            self._make()
        else:
            self._seen = now
        return changed

    @property
    def parts(self) -> list[nn.Module]:
        """The user's modules, as of the last :meth:`renew`."""
        return self._seen.parts

    @property
    def has_compiled_parts(self) -> bool:
        """Whether the user has wrapped a part by ``torch.compile``."""
        return self._seen.compiled

    @contextmanager
    def ready(self) -> Iterator[nn.Module]:
        """Yield the module to call, with the current values of the user's buffers."""
        pairs = [(theirs, ours) for theirs, ours in self._refreshed if theirs.shape == ours.shape]
        if pairs:
            theirs, ours = zip(*pairs, strict=True)
            with torch.no_grad():
                torch._foreach_copy_(ours, theirs)
        for around, own, names in self._globals:
            own.update((name, around[name]) for name in names if name in around)
        switched = [part for each in self.shared for part in each.modules()] if is_training(self._original) else []
        with in_eval_mode(switched):
            yield self.module


class AsItIs:
    """Holds a value that is never copied."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Copier:
    """Copies a value and the objects that it refers to, each once.

    It also collects `refreshed`, pairs of the user's tensors and their copies; `modules`, the module objects created;
    `shared`, modules that were not copied; `globals`, for each function with modules among its globals, the user's
    globals, the copy's, and the names of the others that it reads.

    Args:
        compiled: whether parts wrapped by ``torch.compile`` are copied with the wrapper.
        weights: whether parameters and large tensors are copied too, and scripted modules with them.
    """

    def __init__(self, compiled: bool = True, weights: bool = False) -> None:
        self._compiled, self._weights = compiled, weights
        self.refreshed: list[tuple[Tensor, Tensor]] = []
        self.modules: list[nn.Module] = []
        self.shared: list[nn.Module] = []
        self.globals: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = []
        self._made: dict[int, tuple[Any, Any]] = {}  # with the original, so that its id is not reused

    def copy(self, value: Any) -> Any:
        """Return a copy of `value`, or `value` itself if it never changes or cannot be copied."""
        kind = type(value)
        if kind in COMMON_ATOMS or isinstance(value, ATOMS):
            return value
        if (made := self._made.get(id(value))) is not None:
            return made[1]
        if kind in EMPTIED and not value:
            return self._is(value, kind())
        try:
            return self._copied(value)
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001  # locks, files and sockets raise various errors when copied
            return self._is(value, value)

    def _is(self, value: Any, copied: Any) -> Any:
        self._made[id(value)] = value, copied
        return copied

    def _copied(self, value: Any) -> Any:
        match value:
            case dict() if type(value) in (dict, OrderedDict):
                same: Any = self._is(value, type(value)())
                if value:
                    same.update((self.copy(key), self.copy(each)) for key, each in value.items())
            case nn.Module():
                return self._module(value)
            case Tensor():
                return self._is(value, self._tensor(value))
            case AsItIs():
                return self._is(value, value)
            case list() if type(value) is list:
                same = self._is(value, [])
                same.extend(map(self.copy, value))
            case tuple() if type(value) is tuple:
                same = self._is(value, tuple(map(self.copy, value)))
            case np.ndarray() if _is_large(value) and not self._weights:
                same = self._is(value, value)
            case types.FunctionType():
                same = self._function(value)
            case types.CellType():
                same = self._is(value, types.CellType())
                if _is_filled(value):
                    same.cell_contents = self.copy(value.cell_contents)
            case types.MethodType():
                same = self._is(value, types.MethodType(self.copy(value.__func__), self.copy(value.__self__)))
            case weakref.ref():
                held = value()
                known = isinstance(held, nn.Module | Tensor)
                same = self._is(value, weakref.ref(self.copy(held)) if known else value)
            case torch.Generator():
                same = self._is(value, torch.Generator(value.device))
                same.set_state(value.get_state())
            case _:
                same = self._object(value)
        return same

    def _module(self, module: nn.Module) -> nn.Module:
        if self._weights and isinstance(module, torch.jit.ScriptModule):
            return self._is(module, copy.deepcopy(module))
        if works_in_place(module):
            self.shared.append(module)
            return self._is(module, module)
        inner = vars(module).get("_modules", {}).get("_orig_mod")
        if inner is not None and not self._compiled:
            return self._is(module, self.copy(inner))
        same = self._is(module, object.__new__(type(module)))  # fx creates a new class in __new__
        self.modules.append(same)
        if inner is not None:
            # compiled around the copy, as after unpickling
            same.__setstate__({name: self.copy(each) for name, each in module.__getstate__().items()})
            return same
        # not by assignment, which nn.Module and its subclasses intercept
        vars(same).update((name, self.copy(each)) for name, each in vars(module).items())
        return same

    def _tensor(self, tensor: Tensor) -> Tensor:
        """Share the memory of parameters and large tensors, unless they are copied too; copy other tensors."""
        is_parameter = isinstance(tensor, nn.Parameter)
        if not self._weights and not tensor.is_inference() and (is_parameter or _is_large(tensor)):
            # `.data` has its own version counter, so an optimiser may step between the passes
            own = tensor.data
        else:
            own = tensor.detach().clone()
            self.refreshed.append((tensor, own))
        return nn.Parameter(own, requires_grad=False) if is_parameter else own

    def _function(self, function: types.FunctionType) -> types.FunctionType:
        """Copy a function with its closure and the modules among its globals."""
        named = [name for name in _names(function.__code__) if name in function.__globals__]
        modules = [name for name in named if isinstance(function.__globals__[name], nn.Module)]
        if not (function.__closure__ or modules):
            return self._is(function, function)
        around = function.__globals__
        if modules:
            around = {**around, **{name: self.copy(around[name]) for name in modules}}
            self.globals.append((function.__globals__, around, [name for name in named if name not in modules]))
        cells = function.__closure__ or ()
        # cells are created before the function and filled after it: a closure may contain the function itself
        mine = tuple(self._made[id(each)][1] if id(each) in self._made else types.CellType() for each in cells)
        same = types.FunctionType(function.__code__, around, function.__name__, function.__defaults__, mine)
        self._is(function, same)
        for cell, own in zip(cells, mine, strict=True):
            if id(cell) not in self._made:
                self._is(cell, own)
                if _is_filled(cell):
                    own.cell_contents = self.copy(cell.cell_contents)
        for name in ("__kwdefaults__", "__qualname__", "__module__"):
            setattr(same, name, getattr(function, name))
        vars(same).update(vars(function))
        return same

    def _object(self, value: Any) -> Any:
        """Copy any other object by its pickle protocol."""
        if _is_outside(value):
            return self._is(value, value)
        by = copyreg.dispatch_table.get(type(value))
        reduced = by(value) if by is not None else value.__reduce_ex__(4)
        if isinstance(reduced, str):
            return self._is(value, value)
        make, arguments, state, items, pairs, put = (*reduced, None, None, None, None)[:6]
        same = self._is(value, make(*map(self.copy, arguments)))
        if state is not None:
            state = self.copy(state)
            if put is not None:
                put(same, state)
            elif hasattr(same, "__setstate__"):
                same.__setstate__(state)
            else:
                attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
                vars(same).update(attributes or {})
                for name, each in (slots or {}).items():
                    setattr(same, name, each)
        for each in items or ():
            same.append(self.copy(each))
        for key, each in pairs or ():
            same[self.copy(key)] = self.copy(each)
        return same


def works_in_place(module: nn.Module) -> bool:
    """Return whether a module cannot be copied around the same weights."""
    return any(kind.__name__ in IN_PLACE for kind in type(module).__mro__)


def is_training(part: nn.Module) -> bool:
    """Return a module's flag; a frozen scripted module has none, and is in eval mode."""
    return bool(getattr(part, "training", False))


@contextmanager
def in_eval_mode(parts: Sequence[nn.Module]) -> Iterator[None]:
    """Set the modules to eval mode, and restore each flag at the end of the context."""
    modes = [(part, is_training(part)) for part in parts]
    try:
        for part in parts:
            _set_mode(part, False)
        yield
    finally:
        for part, mode in modes:
            _set_mode(part, mode)


def _set_mode(part: nn.Module, training: bool) -> None:
    """Set only the flag: train() and eval() may do more, such as merging weights."""
    if "training" in vars(part):
        vars(part)["training"] = training
    elif hasattr(part, "training"):
        part.training = training


def _switches_itself(kind: type[nn.Module]) -> bool:
    theirs = not kind.__module__.startswith("torch.")
    return theirs and (kind.train is not nn.Module.train or kind.eval is not nn.Module.eval)


def _names(code: types.CodeType) -> Iterator[str]:
    """Yield every global that a function's code, or that of an inner function, reads."""
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from _names(each)


def _large(module: nn.Module) -> Iterator[str]:
    """Yield the names of large buffers and attributes of every part."""
    for path, part in module.named_modules():
        for name, value in chain(part._buffers.items(), vars(part).items()):
            if type(value) not in COMMON_ATOMS and _is_large(value):
                yield f"{path}.{name}".lstrip(".")


def _is_large(value: Any) -> bool:
    return isinstance(value, Tensor | np.ndarray) and value.nbytes > LARGE


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _is_outside(value: Any) -> bool:
    """Return whether an object's class or a base class belongs to one of the packages `OUTSIDE`."""
    modules = (str(kind.__module__) for kind in type(value).__mro__)
    return any(module == root or module.startswith(f"{root}.") for module in modules for root in OUTSIDE)
