"""Watching a torch model at work: which operator said what, and where a gradient got lost.

Operators are watched, not modules, so that functional, in-place and reused activations are seen as they happen.
A layer is named by its module ("layer4.1"), or, where no module stands for it, by module, function and number of the
call inside that module: "layer4.1:add:0".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class Watch(TorchFunctionMode):
    """Calls :meth:`see` with the name of every operator's result, in the order they happen.

    Args:
        module: its forward pass is watched while the mode is on.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._module = module
        self._handles: list[Any] = []
        # which modules are being called, innermost last; empty while the image is still on its way to the model
        self._inside: list[tuple[str, Counter[str]]] = []

    def __enter__(self) -> Any:
        for name, part in self._module.named_modules():
            if isinstance(part, torch.jit.ScriptModule):
                continue  # takes no hooks
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
        """An operator's result; what is returned goes on in its place."""
        return result

    def leave(self, path: str, result: Any) -> Any:
        """A module's result; what is returned, if anything, goes on in its place."""

    @contextmanager
    def inside(self, path: str) -> Iterator[None]:
        """Within, operators are those of the module at `path`, for modules that call no hooks (Keras')."""
        self._inside.append((path, Counter()))
        try:
            yield
        finally:
            self._inside.pop()

    def _on_enter(self, path: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            self._inside.append((path, Counter()))

        return hook

    def _on_leave(self, path: str) -> Callable[..., Any]:
        def hook(_module: nn.Module, _args: Any, result: Any) -> Any:
            self._inside.pop()
            return self.leave(path, result)

        return hook


class LastSoftmax(TorchFunctionMode):
    """Remembers what went into the last softmax.

    Args:
        active: when false, watches nothing.
    """

    def __init__(self, active: bool = True) -> None:
        super().__init__()
        self._active = active
        self._last: tuple[Tensor, Tensor] | None = None

    def __enter__(self) -> Any:
        return super().__enter__() if self._active else self  # type: ignore[no-untyped-call]

    def __exit__(self, *error: object) -> None:
        if self._active:
            super().__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") in ("softmax", "log_softmax"):
            self._last = (result, args[0] if args else (kwargs or {})["input"])
        return result

    def logits(self, outputs: Tensor) -> Tensor | None:
        """What went in, if `outputs` is what came out."""
        return self._last[1] if self._last is not None and self._last[0] is outputs else None


class Break(Watch):
    """Notes the last operator at which something differentiable became something that is not."""

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
        """A sentence saying where, after the model was asked, the way from the image to the score is cut."""
        cut = "The score cannot be differentiated by the image"
        if self.found is None:
            return f"{cut}: it does not depend on it, or the model works outside torch (NumPy, .item(), .data)."
        name, result, enabled = self.found
        path, function, _ = name.split(":")
        where = f"at {function}() in {path!r}" if path else f"at {function}() in the model's own forward"
        if not enabled:
            return f"{cut}: {where} gradients are switched off (torch.no_grad or inference_mode). Remove it there."
        if not result.is_floating_point():
            return (
                f"{cut}: {where} it becomes {result.dtype}, whole numbers that have no gradient. "
                "Explain what comes before."
            )
        return (
            f"{cut}: {where} it is cut off from the graph (detach). Remove it, or use a method that needs only scores."
        )


def why_no_gradient(module: nn.Module, ask: Callable[[], Tensor]) -> str:
    """A sentence saying where, in the model, the way from the image to the score is cut."""
    with Break(module) as watch:
        ask()
    return watch.why()
