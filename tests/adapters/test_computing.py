"""``adapt(precision=, compile=)``: the type of the passes, its deviation, and what runs without a compiler."""

from __future__ import annotations

import functools
import os
import re
import shutil
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

import saliency
from saliency.adapters.torch.compiled import Compilation, Compiled
from tests.nets import picture, small_net

IMAGE = picture()


def notes_of(model: Any, method: str = "gradient") -> str:
    """The notes of an explanation of class 1, in one text."""
    return " · ".join(saliency.explain(model, IMAGE, method, 1, progress=False).notes)


class Counted(nn.Sequential):
    """A network that counts its calls."""

    calls = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        Counted.calls += 1
        return functools.reduce(lambda x, part: part(x), self, images)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the compiler trace forward and backward passes, and write no code."""
    counters.clear()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_reduced_precision_is_autocast(precision: str, dtype: torch.dtype) -> None:
    """The gradient is that of the model in torch's autocast, and the model itself stays in float32."""
    net = small_net()

    found = saliency.explain(saliency.adapt(net, precision=precision), IMAGE, "gradient", 1)

    with torch.autocast("cpu", dtype):
        same = saliency.explain(net, IMAGE, "gradient", 1)
    np.testing.assert_array_equal(found.mask, same.mask)
    assert not np.array_equal(found.mask, saliency.explain(net, IMAGE, "gradient", 1).mask)
    assert {each.dtype for each in net.parameters()} == {torch.float32}


def test_deviation_is_that_of_scores_and_gradient() -> None:
    """The note holds the largest change of a score by their range, and the change of the gradient by its norm."""
    net = small_net()
    reduced = saliency.adapt(net, precision="bf16")

    found = re.search(r"differ from float32 by at most (\S+) % .* top score by (\S+) % of its norm", notes_of(reduced))

    assert found is not None
    fed = saliency.prepare(net, [IMAGE]).images
    exact, rounded = (np.asarray(each.outputs(fed)) for each in (saliency.adapt(net), reduced))
    change = np.abs(rounded - exact).max() / np.ptp(exact)
    top = int(exact.argmax())
    own, other = (saliency.explain(each, IMAGE, "gradient", top).mask for each in (net, reduced))
    assert float(found[1]) == pytest.approx(100 * change, rel=0.06)
    assert float(found[2]) == pytest.approx(100 * np.linalg.norm(other - own) / np.linalg.norm(own), rel=0.06)
    assert 0 < float(found[2]) < 50


def test_deviation_is_measured_once_for_these_weights() -> None:
    """The second explanation makes its own pass only; after a training step the deviation is measured again."""
    net = Counted(small_net())
    reduced = saliency.adapt(net, precision="bf16")
    first = notes_of(reduced)

    Counted.calls = 0
    assert notes_of(reduced) == first
    assert Counted.calls == 1

    with torch.no_grad():
        for each in net.parameters():
            each.mul_(-0.7)
    assert notes_of(reduced) != first


def test_masks_of_reduced_precision_keep_their_shape_and_rank() -> None:
    """In bfloat16 the Grad-CAM and Integrated Gradients of a small network correlate with those of float32."""
    net = small_net()
    reduced = saliency.adapt(net, precision="bf16")
    for method in ("grad_cam", "integrated_gradients", "lrp", "occlusion"):
        one, other = (saliency.explain(each, IMAGE, method, 1, progress=False).mask for each in (net, reduced))
        assert one.shape == other.shape
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.95, method


@pytest.mark.parametrize(
    ("model", "given", "match"),
    [
        (small_net, {"precision": "int8"}, "bf16, fp16"),
        (lambda: small_net().double(), {"precision": "bf16"}, "is for models in float32, and .* is in float64"),
        (lambda: small_net().bfloat16(), {"precision": "fp16"}, "is in bfloat16"),
        (lambda: lambda images: images.mean((1, 2)), {"precision": "bf16"}, "is for torch modules"),
        (lambda: lambda images: images.mean((1, 2)), {"compile": True}, "compile it yourself"),
        (small_net, {"compile": "yes"}, "compile must be"),
    ],
)
def test_what_a_model_cannot_compute_is_refused(model: Any, given: dict[str, Any], match: str) -> None:
    """The error names what applies, and what the model is."""
    with pytest.raises(saliency.SaliencyError, match=match):
        saliency.adapt(model(), **given)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("method", ["gradient", "smooth_grad", "occlusion", "grad_cam", "lrp", "deep_lift"])
def test_compiled_model_has_the_same_mask(method: str) -> None:
    """A compiled model gives the mask of the model itself, whether or not the method goes through the compiler."""
    net = small_net()
    compiled = saliency.adapt(net, compile=True)

    for _ in range(2):  # draws are looked for in the first call, without the compiler
        found = saliency.explain(compiled, IMAGE, method, 1, progress=False)

    np.testing.assert_allclose(
        found.mask, saliency.explain(net, IMAGE, method, 1, progress=False).mask, rtol=1e-4, atol=1e-6
    )
    traced = counters["stats"]["unique_graphs"]
    assert traced > 0 if method in ("gradient", "smooth_grad", "occlusion") else traced == 0
    assert "torch.compile" not in " ".join(found.notes)


@pytest.mark.usefixtures("quick")
def test_many_models_are_compiled() -> None:
    """Each of a dozen models is compiled, although torch keeps at most 8 graphs of one function."""
    for _ in range(12):
        compiled = saliency.adapt(small_net(), compile=True)
        for _ in range(2):
            saliency.explain(compiled, IMAGE, "gradient", 1)
    assert counters["stats"]["unique_graphs"] == 12


@pytest.mark.usefixtures("quick")
def test_compiled_model_follows_the_weights() -> None:
    """A training step, and a replaced module, show in the next explanation of a compiled model."""
    net = small_net()
    compiled = saliency.adapt(net, compile=True)
    for _ in range(2):
        before = saliency.explain(compiled, IMAGE, "gradient", 1).mask

    with torch.no_grad():
        for each in net.parameters():
            each.mul_(1.3)
    stepped = saliency.explain(compiled, IMAGE, "gradient", 1).mask
    assert not np.allclose(stepped, before)
    np.testing.assert_allclose(stepped, saliency.explain(net, IMAGE, "gradient", 1).mask, rtol=1e-4, atol=1e-6)

    name, part = next((name, each) for name, each in net.named_children() if isinstance(each, nn.ReLU))
    setattr(net, name, nn.Softplus())
    replaced = saliency.explain(compiled, IMAGE, "gradient", 1).mask
    np.testing.assert_allclose(replaced, saliency.explain(net, IMAGE, "gradient", 1).mask, rtol=1e-4, atol=1e-6)
    assert not np.allclose(replaced, stepped), part


def test_failed_compiler_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the compiler fails, the model runs without it, at once and in all later calls, and a note says so."""

    def broken(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no C++ compiler <b>here</b>")

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=broken))
    net = small_net()
    compiled = saliency.adapt(net, compile=True)

    for _ in range(3):
        found = saliency.explain(compiled, IMAGE, "gradient", 1)

    np.testing.assert_array_equal(found.mask, saliency.explain(net, IMAGE, "gradient", 1).mask)
    said = [each for each in found.notes if "torch.compile failed, so the model runs without it" in each]
    assert len(said) == 1
    assert "no C++ compiler" in said[0]


@pytest.mark.usefixtures("quick")
def test_error_of_the_model_is_its_own() -> None:
    """An error that is raised without the compiler too is the model's: later calls are compiled."""
    compilation = Compilation(lambda module, images: module(images))

    def run() -> None:
        raise RuntimeError("not today")

    with pytest.raises(RuntimeError, match="not today"):
        compilation.tried(run)
    assert isinstance(compilation.of(nn.Identity()), Compiled)


@pytest.mark.filterwarnings("ignore")  # torch imports its compiler with warnings about itself
def test_real_compiler() -> None:
    """The compiler that torch has by default gives the same gradient; only without a C++ compiler does it fail."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    compiled = saliency.adapt(net, compile=True)
    for _ in range(2):
        found = saliency.explain(compiled, IMAGE, "gradient", 1)
    np.testing.assert_allclose(found.mask, saliency.explain(net, IMAGE, "gradient", 1).mask, rtol=1e-4, atol=1e-6)
    failed = any("torch.compile failed" in each for each in found.notes)
    header = Path(sysconfig.get_path("include")) / "Python.h"
    assert not failed or shutil.which(os.environ.get("CXX", "g++")) is None or not header.exists()
