"""Interception of a torch model's operators: their results, and the place where a gradient is lost.

Operators are intercepted, not modules, so functional, in-place and reused activations are included.
A layer is named by its module ("layer4.1"), or, for operators without a module of their own, by module, function and
number of the call inside that module: "layer4.1:add:0".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from saliency.model.head import Ending, Operator


class Watch(TorchFunctionMode):
    """Calls :meth:`see` with the name and result of every operator, in order.

    Args:
        module: its forward pass is recorded while the mode is active.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._module = module
        self._handles: list[Any] = []
        # modules being called, innermost last; empty before the model itself is called
        self._inside: list[tuple[str, Counter[str]]] = []

    def __enter__(self) -> Any:
        for name, part in self._module.named_modules():
            if isinstance(part, torch.jit.ScriptModule):
                continue  # supports no hooks
            self._handles.append(part.register_forward_pre_hook(self._on_enter(name)))
            self._handles.append(part.register_forward_hook(self._on_leave(name), always_call=True))
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not isinstance(result, Tensor) or not self._inside:
            return result
        path, count = self._inside[-1]
        function = getattr(func, "__name__", str(func))
        name = f"{path}:{function}:{count[function]}"
        count[function] += 1
        return self.see(name, result, args)

    def see(self, name: str, result: Tensor, args: Any) -> Tensor:
        """Handle an operator's result; the returned tensor replaces it."""
        return result

    def enter(self, path: str) -> None:
        """Handle the start of a module's call."""

    def leave(self, path: str, result: Any) -> Any:
        """Handle a module's result; a returned value other than None replaces it."""

    @contextmanager
    def inside(self, path: str) -> Iterator[None]:
        """Attribute operators to the module at `path`, for modules that call no hooks (Keras')."""
        self._inside.append((path, Counter()))
        try:
            yield
        finally:
            self._inside.pop()

    def _on_enter(self, path: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            self._inside.append((path, Counter()))
            self.enter(path)

        return hook

    def _on_leave(self, path: str) -> Callable[..., Any]:
        def hook(_module: nn.Module, _args: Any, result: Any) -> Any:
            self._inside.pop()
            return self.leave(path, result)

        return hook


ACTIVATIONS: Mapping[str, Operator] = {
    "softmax": "softmax",
    "special_softmax": "softmax",
    "log_softmax": "log_softmax",
    "special_log_softmax": "log_softmax",
    "sigmoid": "sigmoid",
    "sigmoid_": "sigmoid",
    "special_expit": "sigmoid",
}
"""Functions of torch whose result is probabilities, or their logarithms."""

LINEAR = frozenset(("linear", "addmm", "matmul", "__matmul__", "mm", "bmm", "baddbmm", "conv2d", "batch_norm"))
"""Functions whose result has no bounds."""

_MOVES = (
    "reshape view flatten unflatten squeeze unsqueeze permute transpose movedim contiguous clone __getitem__ select "
    "narrow to type float double half bfloat16"
)
MOVES = frozenset(_MOVES.split())
"""Functions that do not change values."""

WRITTEN_OUT = frozenset(("neg", "exp", "add", "reciprocal", "__rdiv__", "pow"))
"""Functions of a written-out sigmoid."""


class Made(NamedTuple):
    """A small tensor, and the call that returned it."""

    result: Tensor
    version: int
    name: str
    function: Any
    args: Any
    kwargs: Any

    @property
    def unchanged(self) -> bool:
        """Whether it has not been written to since."""
        return _version(self.result) == self.version


class LastActivation(TorchFunctionMode):
    """Records the origin of small tensors, such as scores, so that the last operator before an output is known.

    Args:
        active: if false, records nothing.
    """

    def __init__(self, active: bool = True) -> None:
        super().__init__()
        self._active = active
        self._made: dict[int, Made] = {}

    def __enter__(self) -> Any:
        return super().__enter__() if self._active else self  # type: ignore[no-untyped-call]

    def __exit__(self, *error: object) -> None:
        if self._active:
            super().__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        kept = args
        if name in ACTIVATIONS and name.endswith("_"):
            # the input is overwritten
            kept = (args[0].clone(), *args[1:])
        result = func(*args, **kwargs)
        same = name in MOVES and bool(args) and result is args[0]  # flattening a flat tensor returns it
        # operators called here do not belong to the model: hide them from other modes
        with torch._C.DisableTorchFunction():
            if isinstance(result, Tensor) and _is_small(result) and not same:
                followed = name in ACTIVATIONS or name in MOVES or name in WRITTEN_OUT
                call = (func, kept, kwargs) if followed else (None, (), {})
                self._made[id(result)] = Made(result, _version(result), name, *call)
        return result

    def ending(self, outputs: Tensor) -> Ending:
        """Return the operator that returned `outputs`, and whether its input is still available."""
        moves, made = self._behind(outputs)
        if made is None or ("softmax" in made.name and _picks(moves)):
            return Ending()
        if made.name in LINEAR:
            return Ending("linear")
        activation = ACTIVATIONS.get(made.name) or ("sigmoid" if self._sigmoid_of(made) is not None else None)
        return Ending(activation, self.logits(outputs) is not None)

    def logits(self, outputs: Tensor) -> Tensor | None:
        """Return the logits before the activation that returned `outputs`, moved like its result; None without one."""
        moves, made = self._behind(outputs)
        if made is None:
            return None
        if made.name not in ACTIVATIONS:
            logits = self._sigmoid_of(made)
        else:
            logits = made.args[0] if made.args else made.kwargs["input"]
            known = self._made.get(id(logits))
            if known is not None and not known.unchanged:
                return None
        for move in reversed(moves):
            logits = None if logits is None else move.function(logits, *move.args[1:], **move.kwargs)
        return logits

    def _behind(self, outputs: Tensor) -> tuple[list[Made], Made | None]:
        """Return the calls that only moved values, last first, and the call before them."""
        moves: list[Made] = []
        made = self._of(outputs)
        while made is not None and made.name in MOVES and made.args:
            moves.append(made)
            made = self._of(made.args[0])
        return moves, made

    def _of(self, tensor: Any) -> Made | None:
        made = self._made.get(id(tensor))
        return made if made is not None and made.result is tensor and made.unchanged else None

    def _sigmoid_of(self, made: Made) -> Tensor | None:
        """Return x if `made` is a written-out 1 / (1 + exp(-x))."""
        inverse = made.name == "reciprocal" or (made.name, made.args[1:]) in (("__rdiv__", (1,)), ("pow", (-1,)))
        total = self._of(made.args[0]) if inverse else None
        if total is None or total.name != "add" or total.args[1:] != (1,):
            return None
        power = self._of(total.args[0])
        negative = self._of(power.args[0]) if power is not None and power.name == "exp" else None
        return cast(Tensor, negative.args[0]) if negative is not None and negative.name == "neg" else None


def _is_small(result: Tensor) -> bool:
    """Return whether a tensor is (N, K), possibly with axes of length 1: never a map."""
    return result.ndim > 0 and result.numel() == result.shape[0] * max(result.shape[1:], default=1)


def _picks(moves: Sequence[Made]) -> bool:
    """Return whether some values were dropped by moves: then the result of a softmax no longer sums to one."""
    return any(move.result.numel() != move.args[0].numel() for move in moves)


def _version(tensor: Tensor) -> int:
    """Return how often a tensor was written to; -1 if it does not count writes."""
    with torch._C.DisableTorchFunction():  # not an operator of the model: hide it from other modes
        return -1 if tensor.is_inference() else tensor._version


class Break(Watch):
    """Records the last operator with a differentiable input and a result without gradient."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        self.found: tuple[str, Tensor, bool] | None = None

    def see(self, name: str, result: Tensor, args: Any) -> Tensor:
        came = any(isinstance(arg, Tensor) and arg.requires_grad for arg in args)
        function = name.split(":")[1]
        shape_only = function.endswith("_like") or function.startswith("new_")
        if came and not result.requires_grad and not shape_only:
            self.found = (name, result, torch.is_grad_enabled())
        return result

    def why(self) -> str:
        """Return the message that names the operator where the gradient is lost; call it after a forward pass."""
        cut = "The score cannot be differentiated by the image"
        if self.found is None:
            return f"{cut}: it does not depend on it, or the model computes outside torch (NumPy, .item(), .data)."
        name, result, enabled = self.found
        path, function, _ = name.split(":")
        where = f"at {function}() in {path!r}" if path else f"at {function}() in the model's own forward"
        if not enabled:
            return f"{cut}: {where} gradients are switched off (torch.no_grad or inference_mode). Remove it there."
        if not result.is_floating_point():
            return (
                f"{cut}: {where} it becomes {result.dtype}, and integers have no gradient. Explain an output before it."
            )
        return f"{cut}: {where} it is detached from the graph. Remove it, or use a method that needs only scores."


def why_no_gradient(module: nn.Module, forward: Callable[[], Tensor]) -> str:
    """Evaluate the model and return the message that names the operator where the gradient is lost."""
    with Break(module) as watch:
        forward()
    return watch.why()
