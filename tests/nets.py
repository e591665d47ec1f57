"""Small networks for tests: a CNN in torch and the same in NumPy, and helpers to compare models and masks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import Field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from saliency.core.method import Method
from saliency.errors import BadField

CLASSES = 4
LABELS = ("ape", "bee", "cat", "dog")


def uneven(*shape: int) -> np.ndarray:
    """Return noise, float32: a baseline for Guided IG, which moves the values of smallest gradient first.

    At a flat baseline, and black is one, all gradients inside the picture are equal but for rounding. Rounding, which
    differs between frameworks and processors, would then choose the pixels.
    """
    return np.random.default_rng(3).uniform(size=shape).astype(np.float32)


class SmallNet(nn.Module):
    """A CNN: convolution, batch norm, in-place ReLU, residual `+=`, functional pooling, mean, linear layer."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.block = nn.Conv2d(6, 6, 3, padding=1)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.stem(x)))
        x = functional.max_pool2d(x, 2)
        y = self.block(x)
        y += x
        y = self.relu(y)
        return self.head(y.mean((2, 3)))


def small_net(channels: int = 3, seed: int = 0) -> SmallNet:
    """A :class:`SmallNet` with random weights and running statistics, in eval mode.

    Its scores are 0 for a black image, so that hiding a part does not give a small difference of large scores.
    """
    torch.manual_seed(seed)
    net = SmallNet(channels)
    net.norm.running_mean = torch.randn(6) * 0.1
    net.norm.running_var = torch.rand(6) + 0.5
    net.eval()
    with torch.no_grad():
        net.head.bias.sub_(net(torch.zeros(1, channels, 24, 20))[0])
    return net


def bilinear(small: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a map (h, w) resized by torch, with clamped borders."""
    resized: np.ndarray = functional.interpolate(torch.tensor(small)[None, None], size, mode="bilinear")[0, 0].numpy()
    return resized


class Wrapped(nn.Module):
    """A SmallNet whose scores are post-processed, or that is wrapped."""

    def __init__(self, after: Callable[[Tensor], Any], **kept: Any) -> None:
        super().__init__()
        self.net, self.after = small_net(), after
        for name, value in kept.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Any:
        return self.after(self.net(x))


def everything(net: nn.Module) -> dict[str, Any]:
    """Return all state of a module that an explanation must not change."""
    return {
        "state": {name: (t.clone(), t.data_ptr(), t.device, t.stride()) for name, t in net.state_dict().items()},
        "modes": [part.training for part in net.modules()],
        "hooks": [
            len(part._forward_hooks) + len(part._forward_pre_hooks) + len(part._backward_hooks)
            for part in net.modules()
        ],
        "grads": [(p.requires_grad, None if p.grad is None else p.grad.clone()) for p in net.parameters()],
        "attributes": [sorted(vars(part)) for part in net.modules()],
        "random": torch.get_rng_state(),
        "grad mode": torch.is_grad_enabled(),
    }


def same(one: Any, other: Any) -> bool:
    """Return whether two states are equal, tensor by tensor."""
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def called(net: nn.Module, layer: str, target: int) -> Any:
    """Return PAIR's `call_model_function` around a torch module: NumPy in, NumPy out."""

    def call_model_function(x: np.ndarray, call_model_args: Any = None, expected_keys: Any = None) -> dict[str, Any]:
        kept: list[Tensor] = []

        def keep(_module: nn.Module, _args: Any, out: Tensor) -> Tensor:
            kept.append(out)
            return out.clone()  # the caller may write into it

        handle = net.get_submodule(layer).register_forward_hook(keep)
        try:
            images = torch.tensor(x, requires_grad=True)
            scores = net(images.permute(0, 3, 1, 2))[:, target]
        finally:
            handle.remove()
        by_image, by_layer = torch.autograd.grad(scores.sum(), [images, kept[-1]])
        return {
            "INPUT_OUTPUT_GRADIENTS": by_image.numpy(),
            "OUTPUT_LAYER_VALUES": scores.detach().numpy(),
            "CONVOLUTION_LAYER_VALUES": kept[-1].detach().permute(0, 2, 3, 1).numpy(),
            "CONVOLUTION_OUTPUT_GRADIENTS": by_layer.permute(0, 2, 3, 1).numpy(),
        }

    return call_model_function


def black_box(net: nn.Module) -> Any:
    """Return the same network as a plain function on NumPy images (N, H, W, C)."""
    own = next((each.dtype for each in net.parameters()), torch.float32)

    def function(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            scores: np.ndarray = net(torch.from_numpy(images).permute(0, 3, 1, 2).to(own)).numpy()
        return scores

    return function


MOST = 12
"""Upper bound, nearly, of the images that a method with the fields of :func:`few` evaluates."""


def few(cls: type[Method], shape: tuple[int, ...] = (24, 20, 3)) -> dict[str, Any]:
    """Return fields with which a method evaluates few images, chosen by their kind and not by the method's name.

    Whole numbers on which the cost depends are lowered. Segments are six rectangles and baselines are noise, the same
    in every framework: the mask does not depend on how rounding orders equal values.

    Args:
        cls: the method's class.
        shape: (H, W, C) of the image.
    """
    method, own = cls(), {each.name: each for each in fields(cls)}
    found: dict[str, Any] = {}
    for name in own:
        if isinstance(inner := getattr(method, name), Method):
            found[name] = inner.but(**few(type(inner), shape))
        elif name == "segments":
            found[name] = rectangles(*shape[:2])
        elif name == "baseline":
            found[name] = uneven(*shape)
    method = method.but(**found)
    costly = [name for name, each in own.items() if _cost_with(method, each, 2, shape) < method.cost((1, *shape))]
    for count in (12, 8, 6, 4, 3, 2):
        counts = {name: max(count, own[name].metadata["low"] or 0) for name in costly}
        if method.but(**counts).cost((1, *shape)) <= MOST:
            break
    return {**found, **counts}


def rectangles(height: int, width: int) -> np.ndarray:
    """Return a label map (H, W) of three rows of two rectangles."""
    rows, columns = np.indices((height, width))
    return np.asarray(rows * 3 // height * 2 + columns * 2 // width)


def _cost_with(method: Method, each: Field[Any], count: int, shape: tuple[int, ...]) -> int:
    """Return the cost with a field set to a small number, or the method's default if that value is invalid."""
    value = getattr(method, each.name)
    if not isinstance(value, bool) and (isinstance(value, int) or (value is None and str(each.type).startswith("int"))):
        with suppress(BadField):  # incompatible numbers, such as a stride beyond the window
            return method.but(**{each.name: max(count, each.metadata["low"] or 0)}).cost((1, *shape))
    return method.cost((1, *shape))


def one_each() -> list[str]:
    """Return ids of methods, one for each capability that methods need."""
    from saliency.core.catalogue import METHODS

    return list({cls().needs: name for name, cls in reversed(METHODS.items())}.values())


def picture(height: int = 24, width: int = 20, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Return a smooth random picture, uint8 (H, W, C), with edges and colours."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).normal(size=(height, width, channels))
    smooth = gaussian_filter(noise, (2, 2, 0))
    scaled = (smooth - smooth.min()) / np.ptp(smooth)
    return np.asarray(np.rint(scaled * 255), np.uint8)


def near(found: np.ndarray, expected: np.ndarray, share: float = 1e-4) -> None:
    """Raise unless the arrays are equal up to that share of the maximum, and not zero everywhere."""
    assert expected.any()
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=share * np.abs(expected).max())
