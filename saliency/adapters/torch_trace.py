"""Watching a torch model at work: which operator said what, and where a gradient got lost.

Operators are watched, not modules, so that functional, in-place and reused activations are seen as they happen.
A layer is named by its module ("layer4.1"), or, where no module stands for it, by module, function and number of the
call inside that module: "layer4.1:add:0".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from saliency.errors import UnknownName

NOT_A_MAP = frozenset({"matmul", "bmm", "baddbmm", "softmax", "scaled_dot_product_attention", "einsum", "__matmul__"})
"""Functions whose 4-D results are attention maps, not feature maps."""


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

    def _on_enter(self, path: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            self._inside.append((path, Counter()))

        return hook

    def _on_leave(self, path: str) -> Callable[..., Any]:
        def hook(_module: nn.Module, _args: Any, result: Any) -> Any:
            self._inside.pop()
            return self.leave(path, result)

        return hook


class Captured(Watch):
    """Keeps the results of the named layers (the last one where a layer is called more than once)."""

    def __init__(self, module: nn.Module, names: Sequence[str]) -> None:
        super().__init__(module)
        self._names = frozenset(names)
        self._kept: dict[str, Tensor] = {}

    def output(self, name: str) -> Tensor:
        """What the layer said, with its place in the graph."""
        if name not in self._kept:
            raise UnknownName(f"The layer {name!r} was not called, or gave no tensor, while the model saw the image.")
        return self._kept[name]

    def see(self, name: str, result: Tensor, args: Any) -> Tensor:
        return self._keep(name, result) if name in self._names else result

    def leave(self, path: str, result: Any) -> Any:
        if path not in self._names:
            return None
        if isinstance(result, tuple) and result and isinstance(result[0], Tensor):
            return (self._keep(path, result[0]), *result[1:])
        return self._keep(path, result) if isinstance(result, Tensor) else None

    def _keep(self, name: str, result: Tensor) -> Tensor:
        self._kept[name] = result
        # what goes on is a copy, lest a later in-place operator change what was kept
        return result.clone()


class _Maps(Watch):
    """Notes every feature map, (N, K, h, w) with a grid."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        self.maps: list[tuple[str, Tensor]] = []

    def see(self, name: str, result: Tensor, args: Any) -> Tensor:
        if _is_map(result) and name.split(":")[1] not in NOT_A_MAP:
            self.maps.append((name, result))
        return result

    def leave(self, path: str, result: Any) -> None:
        # a module's name is easier to say than an operator's
        if self.maps and result is self.maps[-1][1] and path:
            self.maps[-1] = (path, result)


def automatic_layer(module: nn.Module, ask: Callable[[], Tensor]) -> str:
    """Name of the last operator output with a spatial grid that the scores depend on.

    Args:
        module: being asked.
        ask: runs the module and gives its (N, classes) scores.

    Raises:
        UnknownName: there is none.
    """
    with _Maps(module) as watch:
        scores = ask()
    maps = [(name, each) for name, each in watch.maps if each.requires_grad and each is not scores]
    used: Sequence[Tensor | None] = ()
    if maps and scores.requires_grad:
        used = torch.autograd.grad(scores.sum(), [each for _, each in maps], allow_unused=True)
    for (name, _), gradient in zip(reversed(maps), reversed(used), strict=False):
        if gradient is not None:
            return name
    raise UnknownName(
        "No layer with a spatial grid was found in the model (an output of shape (N, K, h, w) with h, w > 1, "
        "on the way to the scores). Name one with layer=…"
    )


def _is_map(result: Tensor) -> bool:
    return result.ndim == 4 and result.is_floating_point() and min(result.shape[2:]) > 1


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


class _Break(Watch):
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


def why_no_gradient(module: nn.Module, ask: Callable[[], Tensor]) -> str:
    """A sentence saying where, in the model, the way from the image to the score is cut."""
    with _Break(module) as watch:
        ask()
    cut = "The score cannot be differentiated by the image"
    if watch.found is None:
        return f"{cut}: it does not depend on it, or the model works outside torch (NumPy, .item(), .data)."
    name, result, enabled = watch.found
    path, function, _ = name.split(":")
    where = f"at {function}() in {path!r}" if path else f"at {function}() in the model's own forward"
    if not enabled:
        return f"{cut}: {where} the model switches gradients off (torch.no_grad or inference_mode). Remove it there."
    if not result.is_floating_point():
        return (
            f"{cut}: {where} it becomes {result.dtype}, whole numbers that have no gradient. Explain what comes before."
        )
    return f"{cut}: {where} it is cut off from the graph (detach). Remove it, or use a method that needs only scores."
