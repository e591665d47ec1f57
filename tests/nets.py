"""The little networks that tests explain: one small CNN in torch and the same in NumPy, and modules with habits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from saliency.core.method import Method

CLASSES = 4
LABELS = ("ape", "bee", "cat", "dog")


def uneven(*shape: int) -> np.ndarray:
    """Return noise, float32: a baseline for Guided IG, which moves the values of smallest gradient first.

    At a flat baseline, and black is one, all gradients inside the picture are equal but for rounding. Rounding, which
    differs between frameworks and processors, would then choose the pixels.
    """
    return np.random.default_rng(3).uniform(size=shape).astype(np.float32)


FEW: dict[str, dict[str, Any]] = {
    "smooth_grad": {"samples": 3},
    "smooth_grad_squared": {"samples": 3},
    "var_grad": {"samples": 3},
    "integrated_gradients": {"steps": 4},
    "expected_gradients": {"samples": 5},
    "idgi": {"steps": 4},
    "idg": {"steps": 4},
    "blur_ig": {"steps": 4},
    "guided_ig": {"steps": 4, "baseline": uneven(24, 20, 3)},
    "xrai": {"segments": np.arange(24 * 20).reshape(24, 20) // 60},
    "occlusion": {"size": 8, "stride": 5},
    "feature_ablation": {"features": 6},
    **{name: {"samples": 12, "seed": 1} for name in ("rise", "lime", "hsic")},
    **{name: {"samples": 16, "features": 6} for name in ("kernel_shap", "partition_shap")},
    "shapley_sampling": {"samples": 3, "features": 5},
    "shapley": {"features": 3},
    "sobol": {"samples": 3, "features": 4},
    "refine_cam": {"layer": ["norm", "block"]},
}
"""By method, fields by which it asks little of a picture of 24×20; of refine_cam the layers."""


class SmallNet(nn.Module):
    """conv, batch norm, ReLU in place, a residual `+=`, functional pooling, mean, linear."""

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

    Its scores are 0 for a black image, so that what hiding a part changes is no small difference of large scores.
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
    """A map (h, w) resized by torch, with its borders clamped."""
    resized: np.ndarray = functional.interpolate(torch.tensor(small)[None, None], size, mode="bilinear")[0, 0].numpy()
    return resized


class Wrapped(nn.Module):
    """SmallNet with something done to its scores, or around it."""

    def __init__(self, after: Callable[[Tensor], Any], **kept: Any) -> None:
        super().__init__()
        self.net, self.after = small_net(), after
        for name, value in kept.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Any:
        return self.after(self.net(x))


def everything(net: nn.Module) -> dict[str, Any]:
    """All that an explanation must not change."""
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
    """Whether two states are equal, tensor by tensor."""
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def called(net: nn.Module, layer: str, target: int) -> Any:
    """PAIR's `call_model_function` around a torch module: NumPy in, NumPy out."""

    def call_model_function(x: np.ndarray, call_model_args: Any = None, expected_keys: Any = None) -> dict[str, Any]:
        kept: list[Tensor] = []

        def keep(_module: nn.Module, _args: Any, out: Tensor) -> Tensor:
            kept.append(out)
            return out.clone()  # what follows may write into it

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
    """The same network as a plain function on NumPy images (N, H, W, C)."""

    def function(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            said: np.ndarray = net(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
        return said

    return function


def cheap(cls: type[Method], shape: tuple[int, ...], **given: Any) -> Method:
    """A method whose whole numbers are chosen so that it asks little, whatever they are called.

    Args:
        cls: of the method.
        shape: (H, W, C) of the image.
        **given: fields that are not chosen; those of a method inside are left to it.
    """
    method = cls(**{each.name: given[each.name] for each in fields(cls) if each.name in given})
    for each in fields(cls):
        value = getattr(method, each.name)
        if each.name in given or isinstance(value, bool) or not isinstance(value, int):
            continue
        low, high = (each.metadata.get(end) for end in ("low", "high"))
        few = [n for n in (2, 3, 4, 8) if (low is None or n >= low) and (high is None or n <= high)]
        method = min([method, *(method.but(**{each.name: n}) for n in few)], key=lambda one: one.cost((1, *shape)))
    return method


def every_method(kinds: Iterable[str], whole: str) -> list[Any]:
    """(kind of model, method) to be tested: every method on the kind `whole`, one for each capability on the others."""
    from saliency.core.catalogue import METHODS

    one_each = {cls().needs: name for name, cls in reversed(METHODS.items())}.values()
    return [
        pytest.param(kind, name, id=f"{kind}-{name}")
        for kind in kinds
        for name in METHODS
        if kind == whole or name in one_each
    ]


def picture(height: int = 24, width: int = 20, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Smooth random uint8 (H, W, C): something with edges and colours."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).normal(size=(height, width, channels))
    smooth = gaussian_filter(noise, (2, 2, 0))
    scaled = (smooth - smooth.min()) / np.ptp(smooth)
    return np.asarray(np.rint(scaled * 255), np.uint8)


def near(found: np.ndarray, expected: np.ndarray, share: float = 1e-4) -> None:
    """Equal up to that share of the maximum, and not empty."""
    assert expected.any()
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=share * np.abs(expected).max())
