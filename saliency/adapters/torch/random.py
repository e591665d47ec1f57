"""Separate random streams for models that draw random numbers, so that the user's generators do not change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from saliency.adapters.host_random import HostStreams


class OwnRandomness:
    """Random streams of one model, which start as copies of the user's.

    Draws are intercepted in the first call after :meth:`renew`, and later only if the model drew any: it costs time.
    """

    def __init__(self) -> None:
        self.drew = False
        """Whether the model has drawn random numbers so far."""
        self._torch, self._host = _TorchStreams(), HostStreams()
        self._watching = True

    def renew(self) -> None:
        """Intercept the next call again: the model may have changed."""
        self._watching = True

    @property
    def intercepts(self) -> bool:
        """Whether draws are intercepted in the next call."""
        return self._watching or self.drew

    @contextmanager
    def used(self) -> Iterator[None]:
        """Draw random numbers from these streams for the length of the context."""
        if not self.intercepts:
            yield
            return
        with ExitStack() as stack:
            stack.enter_context(self._host.used())
            stack.enter_context(self._torch)
            yield
        self._watching = False
        self.drew = self._host.drew or self._torch.drew


class _TorchStreams(TorchDispatchMode):
    """Draws of torch's operators, from one generator per device. The mode is local to the thread."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.drew = False
        self._generators: dict[torch.device, torch.Generator] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Prevent torch from importing its compiler for this mode, which takes seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        # calls of scripted modules arrive here directly: function modes must not see them
        with torch._C.DisableTorchFunction():
            if torch.Tag.nondeterministic_seeded not in func.tags or given.get("generator") is not None:
                return func(*args, **given)
            if _drops_nothing(func, args, given):
                return func(*args, **given)
            return self._drawn(func, args, given)

    def _drawn(self, func: Any, args: Any, given: dict[str, Any]) -> Any:
        self.drew = True
        generator = self._generator(_device(args, given))
        if any(argument.name == "generator" for argument in func._schema.arguments):
            return func(*args, **{**given, "generator": generator})
        with _swapped(generator):
            return func(*args, **given)

    def _generator(self, device: torch.device) -> torch.Generator:
        if device not in self._generators:
            self._generators[device] = generator = torch.Generator(device)
            generator.set_state(_state(device))
        return self._generators[device]


def _drops_nothing(func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    """Return whether a random operator draws nothing because it is called without dropout, as attention mostly is."""
    names = [argument.name for argument in func._schema.arguments]
    if "dropout_p" not in names:
        return False
    place = names.index("dropout_p")
    return not (args[place] if place < len(args) else kwargs.get("dropout_p", 0.0))


def _device(args: Any, kwargs: Any) -> torch.device:
    if kwargs.get("device") is not None:
        return torch.device(kwargs["device"])
    return next((each.device for each in args if isinstance(each, Tensor)), torch.device("cpu"))


def _state(device: torch.device) -> Tensor:
    return torch.get_rng_state() if device.type == "cpu" else torch.get_device_module(device).get_rng_state(device)


def _set_state(device: torch.device, state: Tensor) -> None:
    if device.type == "cpu":
        torch.set_rng_state(state)
    else:
        torch.get_device_module(device).set_rng_state(state, device)


@contextmanager
def _swapped(generator: torch.Generator) -> Iterator[None]:
    """Give the device's default generator the state of another, for operators without a generator argument."""
    before = _state(generator.device)
    _set_state(generator.device, generator.get_state())
    try:
        yield
    finally:
        generator.set_state(_state(generator.device))
        _set_state(generator.device, before)
