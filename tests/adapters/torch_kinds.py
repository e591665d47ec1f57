"""Models of torch by what a call could change of them: modes, buffers, attributes, hooks, random numbers."""

from __future__ import annotations

import functools
import logging
import random
import sys
import threading
import types
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune

from tests.nets import CLASSES, SmallNet, small_net


class Lora(nn.Module):
    """A convolution with a low-rank addition that it merges into its weights in eval mode, as loralib does."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv, self.merged = conv, False
        self.down = nn.Parameter(torch.randn(2, conv.weight[0].numel()) * 0.1)
        self.up = nn.Parameter(torch.randn(conv.out_channels, 2) * 0.1)

    def train(self, mode: bool = True) -> Lora:
        super().train(mode)
        if mode == self.merged:
            sign = -1 if mode else 1
            self.conv.weight.data += sign * (self.up @ self.down).view_as(self.conv.weight)
            self.merged = not mode
        return self

    def forward(self, x: Tensor) -> Tensor:
        weight = self.conv.weight
        if not self.merged:
            weight = weight + (self.up @ self.down).view_as(weight)
        return functional.conv2d(x, weight, self.conv.bias, padding=1)


class Delegating(nn.Module):
    """A wrapper that hands everything it does not know to what it wraps, as peft's do."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.base_model = net

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.base_model, name)

    def forward(self, *args: Any) -> Any:
        return self.base_model(*args)


class Doing(SmallNet):
    """A net that does something to itself in each forward pass.

    Args:
        do: called with the net and its input; what it returns goes on.
        **kept: its attributes; tensors are buffers.
    """

    def __init__(self, do: Callable[[Any, Tensor], Tensor], **kept: Any) -> None:
        torch.manual_seed(0)
        super().__init__()
        self.do = do
        for name, value in kept.items():
            if isinstance(value, Tensor):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.do(self, x))


class NoCopy(SmallNet):
    """Refuses to be copied, and to be switched."""

    def __deepcopy__(self, memo: Any) -> NoCopy:
        raise TypeError("not to be copied")

    def train(self, mode: bool = True) -> NoCopy:
        raise RuntimeError("not to be switched")


class Recurrent(nn.Module):
    """Rows of the picture read by an LSTM, whose weights are also kept in a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.lstm = nn.LSTM(4, 5, batch_first=True)
        self.head = nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        rows = functional.relu(self.conv(x)).mean(3).transpose(1, 2)
        return self.head(self.lstm(rows)[0][:, -1])


class Parts(nn.Module):
    """Modules in a plain list and a plain dict, of which torch knows nothing, and a child that knows its parent."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small_net()
        self.plain = [nn.BatchNorm2d(3)]
        self.named = {"drop": nn.Dropout(0.5)}
        self.net.parent = weakref.ref(self)  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        assert self.net.parent() is self  # type: ignore[operator]
        return self.net(self.named["drop"](self.plain[0](x)))


def _observe(net: Any, x: Tensor) -> Tensor:
    net.low.copy_(torch.minimum(net.low, x.detach().min()))
    return x


def _average(net: Any, x: Tensor) -> Tensor:
    net.mean.mul_(0.9).add_(0.1 * x.detach().mean())
    return x - net.mean


def _replace(net: Any, x: Tensor) -> Tensor:
    net.mean = 0.9 * net.mean + 0.1 * x.detach().mean()
    return x


def _count(net: Any, x: Tensor) -> Tensor:
    net.calls += len(x)
    return x


def _log(net: Any, x: Tensor) -> Tensor:
    net.log.append(float(x.detach().mean()))
    net.cache.setdefault("last", {})["input"] = x.detach()
    return x


def _normalise(net: Any, x: Tensor) -> Tensor:
    return functional.batch_norm(x, net.mean, net.var, training=True)


def _torch_noise(net: Any, x: Tensor) -> Tensor:
    return x + 1e-3 * torch.randn_like(x) + 1e-3 * torch.rand(1) + functional.dropout(0 * x, 0.5, training=True)


def _numpy_noise(net: Any, x: Tensor) -> Tensor:
    return x + 1e-3 * float(np.random.rand())  # noqa: NPY002  # as users write it


def _python_noise(net: Any, x: Tensor) -> Tensor:
    return x + 1e-3 * random.random()


def _own_noise(net: Any, x: Tensor) -> Tensor:
    return x + 1e-3 * torch.rand(1, generator=net.generator)


def _lit(net: Any, x: Tensor) -> Tensor:
    with net.lock:
        net.written.write("")
        net.logger.debug("called")
    return x


def _train(net: nn.Module) -> nn.Module:
    return net.train()


def _partly(net: nn.Module, *names: str) -> nn.Module:
    """In training mode, but for some parts."""
    net.train()
    for name in names:
        net.get_submodule(name).eval()
    return net


def _monte_carlo() -> nn.Module:
    net = nn.Sequential(nn.Dropout(0.3), small_net()).eval()
    net[0].train()
    return net


def _lora(training: bool) -> nn.Module:
    net = small_net()
    net.block = Lora(net.block)  # type: ignore[assignment]
    return net.train(training)


def _fake_quantised() -> nn.Module:
    from torch.ao.quantization import FakeQuantize, MovingAverageMinMaxObserver

    return nn.Sequential(FakeQuantize(MovingAverageMinMaxObserver), small_net()).eval()


def _norm_in_training() -> nn.Module:
    net = small_net()
    net.norm.train()
    return net


def _old(norm: Callable[[Any], Any]) -> nn.Module:
    """One of torch's older ways to make a weight of others, by a hook before each call."""
    net = small_net()
    norm(net.block)
    return net.train()


def _hooked() -> nn.Module:
    net, kept, seen = small_net(), list[float](), {"calls": 0}

    def keep(module: nn.Module, _args: Any, out: Tensor) -> None:
        kept.append(float(out.detach().mean()))
        seen["calls"] += 1
        module.seen = seen["calls"]  # type: ignore[assignment]

    net.head.register_forward_hook(keep)
    net.head.register_full_backward_hook(lambda *_: kept.append(0.0))
    net.kept, net.counted = kept, seen  # type: ignore[assignment]
    return net


def _patched() -> nn.Module:
    net = small_net()

    def forward(self: Any, x: Tensor) -> Tensor:
        self.calls = getattr(self, "calls", 0) + 1
        return SmallNet.forward(self, x)

    net.forward = types.MethodType(forward, net)  # type: ignore[method-assign]
    return net.train()


def _partially_patched() -> nn.Module:
    net = small_net()

    def forward(module: Any, x: Tensor) -> Tensor:
        module.calls = getattr(module, "calls", 0) + 1
        return type(module).forward(module, x)

    net.forward = functools.partial(forward, net)  # type: ignore[method-assign]
    return net.train()


def _closing() -> Any:
    net, log = small_net().train(), list[int]()

    def function(x: Tensor) -> Tensor:
        log.append(len(x))
        return net(x)

    return function


GLOBAL = small_net().train()


def _global(x: Tensor) -> Tensor:
    return GLOBAL(x)


def _in_inference_mode() -> nn.Module:
    with torch.inference_mode():
        return small_net()


def _tied() -> nn.Module:
    net = small_net()
    net.again = net.block
    net.weight_too = net.block.weight
    net.register_buffer("one", torch.ones(1))
    net.register_buffer("one_too", net.one)  # type: ignore[arg-type]
    return net.train()


def _with_gradients() -> nn.Module:
    net = small_net().train()
    net.stem.weight.requires_grad_(False)
    net.block.weight.grad = torch.ones_like(net.block.weight)
    net.block.weight.data = net.block.weight.data.to(memory_format=torch.channels_last)
    return net


def _with_outside() -> nn.Module:
    return Doing(_lit, lock=threading.RLock(), logger=logging.getLogger("net"), written=sys.__stdout__).train()


def _compiled(net: nn.Module) -> nn.Module:
    compiled: Any = torch.compile(net, backend="eager")
    return compiled


def _scripted(net: nn.Module, make: Callable[..., Any] = torch.jit.script, *example: Tensor) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # on its way out, and still what people hold
        scripted: nn.Module = make(net, *example)
    return scripted.train()


def _scripted_part() -> nn.Module:
    return nn.Sequential(_scripted(nn.BatchNorm2d(3)), small_net()).train()


KINDS: dict[str, Callable[[], Any]] = {
    "eval": small_net,
    "training": lambda: _train(small_net()),
    "partly in training": lambda: _partly(small_net(), "head", "norm"),
    "dropout": lambda: _train(nn.Sequential(nn.Dropout(0.3), small_net())),
    "Monte Carlo dropout": _monte_carlo,
    "batch norm in training": _norm_in_training,
    "F.batch_norm in training": lambda: Doing(_normalise, mean=torch.zeros(3), var=torch.ones(3)).eval(),
    "with gradients": _with_gradients,
    "float64": lambda: small_net().double().train(),
    "LoRA in training": lambda: _lora(True),
    "LoRA merged": lambda: _lora(False),
    "LoRA under a wrapper": lambda: Delegating(_lora(True)).train(),
    "observer": lambda: Doing(_observe, low=torch.zeros(())).eval(),
    "fake quantised": _fake_quantised,
    "moving average": lambda: Doing(_average, mean=torch.zeros(())).eval(),
    "buffer replaced": lambda: Doing(_replace, mean=torch.zeros(())).train(),
    "counter": lambda: Doing(_count, calls=0).train(),
    "log and cache": lambda: Doing(_log, log=[], cache={}).eval(),
    "NumPy array": lambda: Doing(_count, calls=np.zeros(1)).eval(),
    "spectral_norm by hook": lambda: _old(torch.nn.utils.spectral_norm),
    "weight_norm": lambda: _old(parametrizations.weight_norm),
    "spectral_norm": lambda: _old(parametrizations.spectral_norm),
    "orthogonal": lambda: _old(lambda part: parametrizations.orthogonal(part, "weight")),
    "pruned": lambda: _old(lambda part: prune.l1_unstructured(part, "weight", 0.5)),
    "tied": _tied,
    "LSTM": lambda: Recurrent().train(),
    "hooks": _hooked,
    "forward patched": _patched,
    "forward patched by partial": _partially_patched,
    "parts in a list": lambda: Parts().train(),
    "lock, file, logger": _with_outside,
    "own generator": lambda: Doing(_own_noise, generator=torch.Generator().manual_seed(1)).train(),
    "draws of torch": lambda: Doing(_torch_noise).eval(),
    "draws of NumPy": lambda: Doing(_numpy_noise).eval(),
    "draws of Python": lambda: Doing(_python_noise).eval(),
    "refuses copies": NoCopy,
    "made in inference mode": _in_inference_mode,
    "traced by fx": lambda: fx.symbolic_trace(small_net()).train(),
    "compiled": lambda: _compiled(small_net()).train(),
    "compiled part": lambda: nn.Sequential(_compiled(nn.BatchNorm2d(3)), small_net()).train(),
    "data parallel": lambda: nn.DataParallel(small_net()).train(),
    "scripted part": _scripted_part,
    "scripted": lambda: _scripted(small_net()),
    "jit trace": lambda: _scripted(small_net(), torch.jit.trace, torch.zeros(1, 3, 24, 20)),
    "function with a global": lambda: _global,
    "function that closes over it": _closing,
    "bound method": lambda: small_net().train().forward,
    "partial": lambda: functools.partial(SmallNet.forward, small_net().train()),
}
"""Functions that create each module, by its property."""


def held_by(model: Any) -> list[nn.Module]:
    """The modules that belong to a model of one of these kinds."""
    if isinstance(model, nn.Module):
        return [model]
    cells = [cell.cell_contents for cell in getattr(model, "__closure__", None) or ()]
    around = [getattr(model, "__self__", None), *getattr(model, "args", ()), *cells]
    return [each for each in around if isinstance(each, nn.Module)] or [GLOBAL]


def state_of(model: Any) -> list[Any]:
    """Everything that an explanation must leave as it was: of the modules, and of the process."""
    cells = [cell.cell_contents for cell in getattr(model, "__closure__", None) or ()]
    of_numpy: Any = np.random.get_state()  # noqa: NPY002
    random_states = torch.get_rng_state(), of_numpy[1].tolist(), of_numpy[2:], random.getstate()
    surroundings = torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), torch.get_default_dtype()
    modules = [_of_module(part) for root in held_by(model) for part in root.modules()]
    return [modules, [_plain(each) for each in cells], random_states, surroundings]


def _of_module(part: nn.Module) -> list[Any]:
    hooks = part._forward_hooks, part._forward_pre_hooks, part._backward_hooks
    tensors = [
        None if t is None else (_plain(t), id(t), _version(t), t.stride(), t.requires_grad, _plain(t.grad))
        for t in (*part._parameters.values(), *part._buffers.values())
    ]
    attributes = {name: _plain(value) for name, value in vars(part).items()}
    return [part.training, [list(each.items()) for each in hooks], tensors, attributes]


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _plain(value: Any) -> Any:
    """A value that can be compared later: a copy of what may change, the identity of everything else."""
    if isinstance(value, Tensor):
        return value.detach().clone() if value.is_leaf or not value.requires_grad else id(value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, torch.Generator):
        return value.get_state()
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, bool | int | float | str | None) else id(value)
