"""Torch modules that were turned into something else: scripted, traced, compiled, quantised, wrapped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import saliency
from tests.nets import black_box, picture, small_net

IMAGE = picture()
SCORES_ONLY = "is quantised, and its integers have no gradients: pass the model before quantisation"

# torch announces the end of each of these
pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*reduce_range will be deprecated:UserWarning"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:torch.ao.nn.quantized.modules.utils"),
]


def explain(net: Any, method: str, **options: Any) -> Any:
    """Explain class 1 of the picture, without a bar."""
    fields: dict[str, Any] = {"size": 8, "stride": 8} if method == "occlusion" else {}
    return saliency.explain(net, IMAGE, method, 1, progress=False, **fields, **options)


TURNED: dict[str, Callable[[nn.Module], Any]] = {
    "scripted": torch.jit.script,
    "traced": lambda net: torch.jit.trace(net, torch.zeros(1, 3, 24, 20)),
    "compiled": torch.compile,
    "DataParallel": nn.DataParallel,
    "compiled DataParallel": lambda net: nn.DataParallel(torch.compile(net)),
}


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "occlusion"])
@pytest.mark.parametrize("how", TURNED)
def test_the_masks_are_those_of_the_module_itself(how: str, method: str) -> None:
    """Scores and gradients do not care for the wrapping."""
    fields = {"steps": 3} if method == "integrated_gradients" else {}
    net = small_net()

    np.testing.assert_allclose(
        explain(TURNED[how](net), method, **fields).mask, explain(net, method, **fields).mask, atol=1e-6
    )


@pytest.mark.parametrize("how", ["compiled", "DataParallel", "compiled DataParallel"])
def test_wrappers_show_the_layers_inside(how: str) -> None:
    """By the names that the module itself gives them."""
    net = small_net()

    np.testing.assert_allclose(
        explain(TURNED[how](net), "grad_cam", layer="block").mask, explain(net, "grad_cam", layer="block").mask
    )


@pytest.mark.parametrize("how", ["scripted", "traced"])
def test_a_scripted_module_exposes_no_layers(how: str) -> None:
    """It is refused before any forward pass, with the model to pass instead."""
    with pytest.raises(
        saliency.Unsupported, match=r"your \w+ contains scripted code \(torch.jit\).*pass the module before scripting"
    ):
        explain(TURNED[how](small_net()), "grad_cam")


def test_beside_a_scripted_part_the_others_are_layers() -> None:
    """Only what is scripted is out of sight."""

    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Conv2d(3, 3, 3, padding=1), torch.jit.script(small_net())

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.stem(x))

    torch.manual_seed(0)
    exp = explain(Half().eval(), "grad_cam")

    assert exp.layer == "stem"
    assert np.isfinite(exp.mask).all()


def test_weights_written_later_are_seen_in_a_scripted_module() -> None:
    """A copy would have its own memory, so the module itself is called."""
    net = torch.jit.script(small_net())
    model = saliency.adapt(net)
    before = explain(model, "gradient").mask
    with torch.no_grad():
        net.head.weight.mul_(2)

    np.testing.assert_allclose(explain(model, "gradient").mask, 2 * before, rtol=1e-5)


class Plain(nn.Module):
    """A module for torch's static quantisation: one convolution and a head, between stubs."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = torch.ao.quantization.QuantStub(), torch.ao.quantization.DeQuantStub()
        self.conv, self.relu, self.head = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.dequant(self.head(self.relu(self.conv(self.quant(x))).mean((2, 3))))


def quantised(static: bool) -> nn.Module:
    """A model in int8."""
    torch.manual_seed(0)
    if not static:
        return torch.ao.quantization.quantize_dynamic(small_net(), {nn.Linear}, dtype=torch.qint8)
    plain = Plain().eval()
    plain.qconfig = torch.ao.quantization.get_default_qconfig("x86")
    prepared = torch.ao.quantization.prepare(plain)
    prepared(torch.tensor(IMAGE / 255, dtype=torch.float32).permute(2, 0, 1)[None])
    return torch.ao.quantization.convert(prepared)


@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
def test_a_quantised_model_gives_scores_only(static: bool) -> None:
    """Occlusion is that of its black box; methods that need gradients refuse with the reason; "auto" avoids them."""
    net = quantised(static)
    expected = explain(black_box(net), "occlusion", framework="numpy")

    np.testing.assert_allclose(explain(net, "occlusion").mask, expected.mask, atol=1e-6)
    assert expected.mask.any()
    for method in ("gradient", "grad_cam", "guided_backprop"):
        with pytest.raises(saliency.Unsupported, match=SCORES_ONLY):
            explain(net, method)
    assert saliency.explain(net, IMAGE, progress=False).method != "xrai"
