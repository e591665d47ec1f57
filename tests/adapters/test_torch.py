from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import saliency
from saliency.adapters.torch.model import KERNELS_PER_PIXEL, TorchModel, as_fed
from tests.nets import LABELS, Wrapped, bilinear, picture, small_net

IMAGE = picture()


def explain(net: Any, method: Any = "gradient", target: Any = 1, **options: Any) -> Any:
    """Explain class 1 of the picture, without a bar."""
    return saliency.explain(net, IMAGE, method, target, **{"progress": False, **options})


def test_only_the_mask_crosses_to_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Integrated Gradients with 50 steps one image-sized array leaves the device: the mask."""
    model = saliency.adapt(small_net())
    moved: list[tuple[int, ...]] = []
    tohost = model.ops.tohost

    def counted(array: Tensor) -> np.ndarray:
        moved.append(tuple(array.shape))
        return tohost(array)

    monkeypatch.setattr(model.ops, "tohost", counted)
    explain(model, "integrated_gradients", steps=50, baseline=0.0)

    assert [shape for shape in moved if len(shape) > 2] == [(1, 1, *IMAGE.shape)]


class TestLayers:
    """Which layer is read, and what is read there."""

    @pytest.mark.parametrize("layer", ["stem", "norm", "relu", "block"])
    def test_a_layer_is_named_by_its_module(self, layer: str) -> None:
        """Grad-CAM at a named module is that of PAIR's formula on a plain hook, in-place operators after it or not."""
        net = small_net()
        exp = explain(net, "grad_cam", layer=layer)
        kept: list[Tensor] = []

        def keep(_module: nn.Module, _args: Any, out: Tensor) -> Tensor:
            kept.append(out)
            return out.clone()  # what follows may write into it

        handle = net.get_submodule(layer).register_forward_hook(keep)
        images = torch.tensor(IMAGE / 255, dtype=torch.float32).permute(2, 0, 1)[None]
        score = net(images)[0, 1]
        handle.remove()
        (gradient,) = torch.autograd.grad(score, kept[-1])
        cam = functional.relu((gradient.mean((2, 3), keepdim=True) * kept[-1]).sum(1))[0].detach().numpy()

        assert exp.layer == layer
        np.testing.assert_allclose(exp.mask, bilinear(cam, IMAGE.shape[:2]), atol=1e-6)

    def test_the_automatic_layer_is_the_last_grid_after_its_activation(self) -> None:
        """In a residual net with a reused ReLU it is that ReLU's last output, half the image's size."""
        model = saliency.adapt(small_net())
        exp = explain(model, "grad_cam")

        assert exp.layer == "relu"
        assert "layer: relu, the last with a spatial grid" in exp.notes
        (layer,) = model.at([1], ["relu"]).layers(model.ops.asarray(IMAGE[None]))  # type: ignore[attr-defined]
        assert layer.activations.shape == (1, 12, 10, 6)
        assert layer.gradients.shape == (1, 1, 12, 10, 6)
        assert (layer.activations >= 0).all()

    def test_functional_operators_are_layers_too(self) -> None:
        """Where no module stands for the last grid, the operator itself is read, by a name that can be given back."""

        class Functional(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.body = nn.ModuleList([nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)])
                self.head = nn.Linear(5, 3)

            def forward(self, x: Tensor) -> Tensor:
                for conv in self.body:
                    x = functional.relu(conv(x))
                return self.head(x.flatten(2).mean(2))

        net = Functional()
        exp = explain(net, "grad_cam")

        assert exp.layer == ":relu:1"
        np.testing.assert_allclose(explain(net, "grad_cam", layer=":relu:1").mask, exp.mask)

    def test_a_net_without_a_grid_is_refused(self) -> None:
        """The error says what was looked for, and to name a layer."""
        net = nn.Sequential(nn.Flatten(), nn.Linear(IMAGE.size, 3))
        with pytest.raises(saliency.UnknownName, match=r"No layer with a spatial grid.*layer="):
            explain(net, "grad_cam")

    def test_a_layer_without_a_grid_is_refused(self) -> None:
        """Grad-CAM at a vector says what shape came."""
        with pytest.raises(saliency.BadOutput, match=r"spatial grid.*\(1, 4\) from 'head'"):
            explain(small_net(), "grad_cam", layer="head")

    def test_a_layer_that_was_not_called_is_refused(self) -> None:
        """A module that exists but takes no part is no layer of this image."""
        net = small_net()
        net.spare = nn.Conv2d(3, 3, 1)
        with pytest.raises(saliency.UnknownName, match="'spare' was not called"):
            explain(net, "grad_cam", layer="spare")


@contextmanager
def nothing() -> Iterator[None]:
    """No surroundings at all."""
    yield


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, nothing])
def test_the_caller_s_surroundings_do_not_matter(around: Any) -> None:
    """Inside the user's no_grad or inference_mode the mask is the same."""
    expected = explain(small_net()).mask
    net = small_net()
    with around():
        masks = [explain(net).mask, saliency.explain(net, torch.tensor(IMAGE), "gradient", 1, progress=False).mask]

    for mask in masks:
        np.testing.assert_array_equal(mask, expected)


def test_frozen_parameters_do_not_matter() -> None:
    """A model whose parameters need no gradients has the same mask."""
    net = small_net()
    for parameter in net.parameters():
        parameter.requires_grad_(False)

    np.testing.assert_array_equal(explain(net).mask, explain(small_net()).mask)


@pytest.mark.parametrize("method", ["gradient", "occlusion", "grad_cam"])
def test_a_model_that_writes_into_its_input_is_explained(method: str) -> None:
    """In-place normalising inside forward changes neither our images nor the mask."""

    class Normalising(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small_net()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x.sub_(0.5).div_(0.25))

    class Clean(Normalising):
        def forward(self, x: Tensor) -> Tensor:
            return self.net((x - 0.5) / 0.25)

    options = {"layer": "net.relu"} if method == "grad_cam" else {}
    np.testing.assert_allclose(
        explain(Normalising(), method, **options).mask, explain(Clean(), method, **options).mask, rtol=1e-4, atol=1e-7
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_precisions_are_fed_their_own(dtype: torch.dtype) -> None:
    """Models in float64, bfloat16 and float16 are explained; masks are float32 and near the float32 model's."""
    exp, expected = explain(small_net().to(dtype)), explain(small_net())

    assert exp.mask.dtype == np.float32
    # on average: where two pixels of a pool are nearly equal, rounding picks the other
    assert np.abs(exp.mask - expected.mask).mean() < 0.03 * np.abs(expected.mask).mean()


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch.compile's own imports
def test_wrappers_are_looked_through() -> None:
    """DataParallel and torch.compile's wrapper give the mask of the module inside."""
    net = small_net()
    expected = explain(net, "grad_cam").mask

    for wrapped in (nn.DataParallel(net), torch.compile(net)):
        np.testing.assert_allclose(explain(wrapped, "grad_cam").mask, expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_outputs_that_are_not_finite_are_refused(value: float) -> None:
    """NaN or infinite logits raise before any mask is made."""
    with pytest.raises(saliency.BadOutput, match="NaN or infinite"):
        explain(Wrapped(lambda s: s * value))


def test_gradients_that_are_not_finite_are_refused() -> None:
    """A finite score with a NaN gradient raises."""
    with pytest.raises(saliency.BadOutput, match=r"gradients of your \w+ contain NaN"):
        explain(Wrapped(lambda s: s + (s * 0).sqrt()))


def test_the_error_for_wrong_channels_quotes_the_model() -> None:
    """For a picture of four channels the error gives what was fed, the fix, and the model's own message."""
    with pytest.raises(saliency.BadImage, match=r"\(1, 4, 24, 20\).*4 channels at 24×20.*preprocess=.*expected input"):
        saliency.explain(small_net(), np.dstack([IMAGE, IMAGE[..., 0]]), "gradient")


def test_a_grey_picture_is_repeated_for_a_colour_model() -> None:
    """(H, W) is fed to a model of three channels as three equal ones, and the notes say so."""
    grey = np.repeat(IMAGE[..., :1], 3, -1)
    exp = saliency.explain(small_net(), IMAGE[..., 0], "gradient", 1, progress=False)

    np.testing.assert_allclose(exp.mask, saliency.explain(small_net(), grey, "gradient", 1, progress=False).mask)
    assert "grey repeated to the model's 3 channels" in exp.notes


def test_the_error_for_a_wrong_size_quotes_the_model() -> None:
    """A fixed-size head names the size that it was fed."""
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(8, 3))
    with pytest.raises(saliency.BadImage, match=r"24×20 pixels.*cannot be multiplied"):
        explain(net)


def test_other_errors_of_the_model_are_its_own() -> None:
    """Errors that the model raises for its own reasons are not changed."""

    def fails(_: Tensor) -> Tensor:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        explain(Wrapped(fails))


def test_labels_come_along() -> None:
    """Labels given to adapt() name targets of every later explanation."""
    model = saliency.adapt(small_net(), labels=LABELS)

    assert isinstance(model, TorchModel)
    assert explain(model, target="bee").target == 1
    assert saliency.adapt(model) is model


def test_one_lock_serves_all_adaptations_of_a_model() -> None:
    """Two adaptations of one module share its lock and its batch sizes; two modules do not."""
    net = small_net()
    one, two, other = saliency.adapt(net), saliency.adapt(net), saliency.adapt(small_net())

    assert one.lock is two.lock
    assert one.batch_sizes is two.batch_sizes
    assert other.lock is not one.lock


def test_the_mask_of_a_module_is_that_of_its_gradient() -> None:
    """The whole way, image to mask, is torch's own gradient in (H, W, C)."""
    net = small_net()
    images = torch.tensor(IMAGE / 255, dtype=torch.float32, requires_grad=True)
    (expected,) = torch.autograd.grad(net(images.permute(2, 0, 1)[None])[0, 1], images)

    np.testing.assert_allclose(explain(net).mask, expected, atol=1e-6)


@pytest.mark.parametrize(("count", "last"), [(1, False), (4, True)])
def test_the_layout_follows_from_weights_and_pixels(count: int, last: bool) -> None:
    """Few pixels beside many weights of convolutions are passed as (N, C, H, W), others in channels_last."""
    fed = as_fed(torch.rand(count, 8, 8, 3), torch.float32, kernels=2 * 64 * KERNELS_PER_PIXEL)
    assert fed.shape == (count, 3, 8, 8)
    assert fed.is_contiguous(memory_format=torch.channels_last) is last
    assert fed.is_contiguous() is not last
