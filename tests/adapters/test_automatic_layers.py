"""Which layer is read where none is named: never padding, a crop, a resize, a permutation or the output itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import saliency
from saliency.adapters.layers import Laid, Surveyed, made_by, nameable
from saliency.adapters.tokens import Grid
from tests.nets import picture
from tests.segmenters import CLASSES, TORCH, Pyramid, keras_unet, regions, segmenter

IMAGE = picture(64, 64)

SIGNED = saliency.GradCam(relu=False)


def apart(one: saliency.Explanation, other: saliency.Explanation) -> float:
    """Return the difference of two maps, each scaled to its largest magnitude; after the last activation it is zero."""
    scaled = [each.mask / np.abs(each.mask).max() for each in (one, other)]
    return float(np.abs(scaled[0] - scaled[1]).max())


def names(model: Any, image: np.ndarray = IMAGE) -> list[str]:
    """Of the layers that are listed."""
    return [each.name for each in saliency.layers(model, image)]


class Last(nn.Module):
    """Two convolutions, and something that makes no layer after each."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.one, self.two, self.moved = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 6, 3, 2, 1), module
        self.head = nn.LazyLinear(CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.one(x))
        x = self.moved(torch.tanh(self.two(self.moved(x) if isinstance(self.moved, nn.ZeroPad2d) else x)))
        return self.head(x.flatten(2).mean(2) if x.shape[1] == 6 else x.flatten(1))


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.function(x)
        return out


@pytest.mark.parametrize(
    "module",
    [
        nn.ZeroPad2d(1),
        nn.ReflectionPad2d((0, 1, 0, 1)),
        nn.Upsample(scale_factor=2),
        nn.PixelShuffle(1),
        nn.Identity(),
        Function(lambda x: functional.pad(x, (1, 1, 1, 1))),
        Function(lambda x: x[:, :, 1:-1, 1:-1]),
        Function(lambda x: x.permute(0, 2, 3, 1)),
        Function(lambda x: x.roll(1, 2)),
    ],
    ids=["zero_pad", "reflection_pad", "upsample", "pixel_shuffle", "identity", "pad", "crop", "permute", "roll"],
)
def test_what_only_moves_values_is_no_layer(module: nn.Module) -> None:
    """The layer is the activation before it, and the list has neither the module nor its function."""
    torch.manual_seed(0)
    net = Last(module)
    net(torch.zeros(1, 3, 64, 64))
    exp = saliency.explain(net.eval(), IMAGE, "grad_cam", 1, progress=False)

    assert exp.layer == ":tanh:0"
    assert names(net) == ["one", ":relu:0", "two", ":tanh:0"]


def test_a_norm_with_its_channels_elsewhere_inside_is_a_layer() -> None:
    """A layer norm that permutes there and back has its module's name; a module that only permutes has none."""

    class Norm2d(nn.LayerNorm):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 4, 4), Norm2d(6), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))

    assert names(net.eval())[-1] == "1"


def test_the_image_scaled_is_no_layer() -> None:
    """Nothing before the first convolution is listed, however it is written."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3, 2), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.relu(self.conv((x - 0.5) / 0.25)).mean((2, 3)))

    assert names(Scaled().eval()) == ["conv", ":relu:0"]


class SamePadding(nn.Module):
    """Three stages, each padded by a module of its own before a convolution, as in EfficientNet-Lite."""

    def __init__(self) -> None:
        super().__init__()
        for i, (into, out) in enumerate([(3, 4), (4, 5), (5, 6)], 1):
            self.add_module(f"pad{i}", nn.ZeroPad2d((0, 1, 0, 1)))
            self.add_module(f"conv{i}", nn.Conv2d(into, out, 3, 2))
        self.pad4, self.head = nn.ZeroPad2d(1), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        for i in (1, 2, 3):
            x = torch.relu(self.get_submodule(f"conv{i}")(self.get_submodule(f"pad{i}")(x)))
        return self.head(self.pad4(x).mean((2, 3)))


def test_the_last_three_grid_sizes_are_never_those_of_padding() -> None:
    """RefineCAM reads the activation of each stage, and its map reaches the border."""
    torch.manual_seed(1)
    exp = saliency.explain(SamePadding().eval(), IMAGE, "refine_cam", 1, progress=False)

    assert exp.layer == ":relu:0, :relu:1, :relu:2"
    assert not any("pad" in name for name in names(SamePadding().eval()))


def test_the_encoders_last_layer_is_read_of_dense_outputs() -> None:
    """Never the logits or their upsampling; two regions give different maps, and a note names the layer and why."""
    for name, (_, layer, grid) in TORCH.items():
        net = segmenter(name)
        one, other = (
            saliency.explain(net, IMAGE, SIGNED, saliency.targets.mean_logit(region, 1), progress=False)
            for region in regions()
        )
        listed = {each.name: each.grid for each in saliency.layers(net, IMAGE)}

        assert one.layer == other.layer == layer, name
        assert listed[layer] == grid
        assert f"layer: {layer}, the encoder's last: the output is a map" in one.notes
        assert apart(one, other) > 0.03, name
        finest = saliency.explain(net, IMAGE, "refine_cam", saliency.targets.mean_logit(regions()[0], 1))
        assert (finest.layer or "").split(", ")[-1] == layer


def test_the_coarsest_level_of_a_pyramid_is_read() -> None:
    """Of one level's scores, whichever it is, the layer is that of the coarsest grid on the way to it."""
    for level in range(3):
        exp = saliency.explain(
            Pyramid().eval(), IMAGE, SIGNED, lambda found, at=level: found[at][:, 1].mean((1, 2)), progress=False
        )
        assert exp.layer == "lateral.2"


def test_class_scores_beside_a_map_are_no_dense_output() -> None:
    """Where the scores explained are a vector, the last layer is read, even if a map is returned too."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.up = nn.Conv2d(3, 4, 3, 4, 1), nn.Conv2d(4, 4, 3, padding=1)
            self.head = nn.Linear(4, CLASSES)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            fine = torch.relu(self.up(functional.interpolate(torch.relu(self.conv(x)), scale_factor=2.0)))
            return {"logits": self.head(fine.mean((2, 3))), "map": fine * 2}

    exp = saliency.explain(Both().eval(), IMAGE, "grad_cam", 1, progress=False)

    assert exp.layer == ":relu:1"
    assert f"layer: {exp.layer}, the last with a spatial grid" in exp.notes


def test_at_the_logits_two_regions_would_have_one_map() -> None:
    """The automatic layer is not one where the score is linear and Grad-CAM repeats the logits of the class."""
    net = segmenter("fcn")
    one, other = (
        saliency.explain(net, IMAGE, SIGNED, saliency.targets.mean_logit(each, 1), layer="classifier", progress=False)
        for each in regions()
    )

    assert apart(one, other) < 1e-4


def region_of(framework: str) -> list[Any]:
    """The mean of class 1 over each half of a map (N, h, w, K), in a framework's own arrays."""
    import tensorflow as tf

    mean = tf.reduce_mean if framework == "tensorflow" else lambda x, axis: x.mean(axis)
    return [lambda out: mean(out[:, :16, :, 1], (1, 2)), lambda out: mean(out[:, 16:, :, 1], (1, 2))]


def test_keras_padding_and_upsampling_are_no_layers() -> None:
    """A functional U-Net on TensorFlow: the encoder's activation is read, and padding is not listed."""
    pytest.importorskip("keras")
    net, image = keras_unet(), picture(32, 32)
    one, other = (saliency.explain(net, image, SIGNED, target, progress=False) for target in region_of("tensorflow"))

    assert one.layer == "middle_relu"
    assert not {"padding", "up1", "up2", "head"} & set(names(net, image))
    assert apart(one, other) > 0.03


@pytest.mark.parametrize("framework", ["jax", "tensorflow"])
def test_functions_padded_and_resized_have_their_encoders_layer(framework: str) -> None:
    """A dense function in JAX and TensorFlow: neither pad, slice, resize nor the logits, but the coarse activation."""
    draw = np.random.default_rng(0)
    kernels = [
        (draw.normal(size=shape) * 0.3).astype(np.float32) for shape in ((3, 3, 3, 5), (3, 3, 5, 6), (3, 3, 6, 4))
    ]
    if framework == "jax":
        import jax
        import jax.numpy as jnp

        def convolved(x: Any, kernel: Any, stride: int) -> Any:
            x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
            return jax.lax.conv_general_dilated(
                x, kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )

        relu, enlarged = jax.nn.relu, lambda x: jax.image.resize(x, (x.shape[0], 32, 32, x.shape[-1]), "bilinear")
    else:
        import tensorflow as tf

        def convolved(x: Any, kernel: Any, stride: int) -> Any:
            return tf.nn.conv2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), kernel, stride, "VALID")

        relu, enlarged = tf.nn.relu, lambda x: tf.image.resize(x, (32, 32))

    resize: Any = enlarged

    def dense(images: Any) -> Any:
        x = relu(convolved(images, kernels[0], 4))
        x = relu(convolved(resize(x), kernels[1], 1))
        return convolved(x, kernels[2], 1)[:, :32, :32]

    image = picture(32, 32)
    one, other = (
        saliency.explain(dense, image, SIGNED, target, framework=framework, progress=False)
        for target in region_of(framework)
    )
    assert one.layer in (":relu:0", "Relu")
    assert "layer: " + one.layer + ", the encoder's last: the output is a map" in one.notes
    assert apart(one, other) > 0.03


@pytest.mark.parametrize(
    ("operators", "made"),
    [
        (["conv2d", "relu"], "relu"),
        (["conv2d", "permute", "contiguous"], "conv2d"),
        (["conv2d", "pad"], None),
        (["relu", "interpolate", "permute"], None),
        (["resizebilinear"], None),
        (["permute"], None),
        ([], None),
    ],
)
def test_the_operator_that_made_a_result_is_found(operators: list[str], made: str | None) -> None:
    """Rearranging keeps what was made; padding, cropping and resizing make none."""
    assert made_by(operators) == made


def test_a_name_stands_for_the_last_call() -> None:
    """Of a layer called twice only the last call is listed, and what was called between stays known."""

    def laid(name: str, side: int, *operators: str) -> Laid:
        return Laid(name, (1, 4, side, side), Grid("first", side, side), operators)

    found = nameable([laid(":div:0", 8, "div"), laid("a", 8, "conv2d"), laid("act", 8, "relu"), laid("b", 4, "conv2d")])
    twice = nameable([laid("a", 8, "conv2d"), laid("act", 8, "relu"), laid("b", 4, "conv2d"), laid("act", 4, "relu")])

    assert [each.name for each in found] == ["a", "act", "b"]
    assert [(each.name, each.operators) for each in twice] == [
        ("a", ("conv2d",)),
        ("b", ("relu", "conv2d")),
        ("act", ("relu",)),
    ]
    assert Surveyed(twice, dense=False).automatic() == ["act", "a"]


def test_a_stage_ends_with_a_block_not_inside_the_next() -> None:
    """A block that begins at the size of the stage before it has no layer there, nor a name for its earlier call."""

    class Block(nn.Module):
        def __init__(self, into: int, out: int, stride: int) -> None:
            super().__init__()
            self.one, self.norm, self.act = nn.Conv2d(into, out, 1), nn.BatchNorm2d(out), nn.ReLU()
            self.two = nn.Conv2d(out, out, 3, stride, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.act(self.two(self.act(self.norm(self.one(x)))))

    torch.manual_seed(0)
    stages = [Block(3, 4, 2), Block(4, 5, 2), Block(5, 6, 2)]
    net = nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)).eval()
    exp = saliency.explain(net, IMAGE, "refine_cam", 1, progress=False)

    assert exp.layer == "0, 1, 2"


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch.compile's own imports
@pytest.mark.parametrize(
    "wrap", [lambda net: net, nn.DataParallel, torch.compile], ids=["bare", "parallel", "compiled"]
)
def test_a_layer_may_be_given_as_the_module_itself(wrap: Any) -> None:
    """By identity, through wrappers, in a list, in a method's own field; the explanation has its name."""
    net = segmenter("fcn")
    stage = net.get_submodule("backbone.layer3")
    target = saliency.targets.mean_logit(regions()[0], 1)
    given = [
        saliency.explain(wrap(net), IMAGE, SIGNED, target, layer=stage, progress=False),
        saliency.explain(wrap(net), IMAGE, saliency.GradCam(relu=False, layer=stage), target, progress=False),
        saliency.explain(wrap(net), IMAGE, SIGNED, target, layer="module._orig_mod.backbone.layer3", progress=False),
    ]
    both = saliency.explain(wrap(net), IMAGE, "refine_cam", target, layer=[stage, "backbone.layer4"], progress=False)
    named = saliency.explain(net, IMAGE, SIGNED, target, layer="backbone.layer3", progress=False)

    assert both.layer == "backbone.layer3, backbone.layer4"
    for exp in given:
        assert exp.layer == "backbone.layer3"
        assert exp.caption == "GradCam(layer='backbone.layer3', relu=False)"
        np.testing.assert_array_equal(exp.mask, named.mask)


def test_a_module_of_another_model_is_refused() -> None:
    """The sentence names the module, the model and the way out."""
    with pytest.raises(saliency.UnknownName, match=r"Conv2d given as layer= is not part of your UNet\. Pass one"):
        saliency.explain(segmenter("unet"), IMAGE, SIGNED, lambda out: out.mean((1, 2, 3)), layer=nn.Conv2d(3, 3, 1))


def test_a_keras_layer_may_be_given_itself() -> None:
    """By identity; one of another model is refused."""
    net, image = keras_unet(), picture(32, 32)
    target = region_of("tensorflow")[0]
    exp = saliency.explain(net, image, SIGNED, target, layer=net.get_layer("two"), progress=False)

    assert exp.layer == "two"
    with pytest.raises(saliency.UnknownName, match="not part of your Functional"):
        saliency.explain(net, image, SIGNED, target, layer=keras_unet().get_layer("two"), progress=False)
