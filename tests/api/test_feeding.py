"""Preprocessing: presets, what models declare, and the note where it seems to be missing."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import saliency
from saliency.pictures.presets import PRESETS, chosen_preprocess, from_timm
from tests.adapters.test_containers import onnx_proto, small_vit
from tests.nets import LABELS, picture, small_net

RGB = picture(24, 20)
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
FORMULAS: dict[str, Any] = {
    "imagenet": lambda x: (x - MEAN) / STD,
    "0..1": lambda x: x,
    "0..255": lambda x: 255 * x,
    "-1..1": lambda x: 2 * x - 1,
}
"""By preset, what it makes of 0–1."""


def fed(model: Any, image: Any, preprocess: Any = None) -> np.ndarray:
    """The model's input, (h, w, C)."""
    return np.asarray(saliency.picture_for(image, preprocess, saliency.adapt(model)).fed[0])


@pytest.mark.parametrize("kind", ["PIL", "uint8", "16 bits", "float 0–1", "float 0–255", "tensor"])
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_its_formula(name: str, kind: str) -> None:
    """Each preset is its formula of 0–1, of every kind of picture that is in a known range."""
    image: Any = {
        "PIL": Image.fromarray(RGB),
        "uint8": RGB,
        "16 bits": RGB.astype(np.uint16) * 257,
        "float 0–1": (RGB / 255).astype(np.float32),
        "float 0–255": RGB.astype(np.float32),
        "tensor": torch.from_numpy(RGB).permute(2, 0, 1),
    }[kind]

    read = saliency.read(image, name)

    np.testing.assert_allclose(read.fed[0], FORMULAS[name](RGB / 255), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(read.placement, [[1, 0, 0], [0, 1, 0]])
    np.testing.assert_allclose(read.without("white")[0, 0, 0], FORMULAS[name](np.ones(3)), rtol=1e-5, atol=1e-5)


def test_a_preset_with_a_size_keeps_the_whole_picture() -> None:
    """The preset "imagenet 16" resizes to 16×16; what is fed covers the picture from edge to edge."""
    big = picture(64, 48)

    read = saliency.read(big, "imagenet 16")

    assert read.fed.shape == (1, 16, 16, 3)
    corner = read.placement @ [-0.5, -0.5, 1], read.placement @ [15.5, 15.5, 1]
    np.testing.assert_allclose(corner, [[-0.5, -0.5], [63.5, 47.5]], atol=1.0)


@pytest.mark.parametrize("name", ["Imagenet", "imagenet 0", "imagenet x", "0-1", ""])
def test_an_unknown_preset_is_refused_with_those_there_are(name: str) -> None:
    """The error lists the presets."""
    with pytest.raises(saliency.UnknownName, match=r"imagenet, 0\.\.1, 0\.\.255, -1\.\.1"):
        saliency.explain(small_net(), RGB, "gradient", 0, preprocess=name)


def test_a_preset_of_a_normalised_picture_is_refused() -> None:
    """A picture that is normalised already is not normalised again."""
    with pytest.raises(saliency.BadImage, match="as if already normalized"):
        saliency.read(RGB / 64.0 - 2, "imagenet")


def test_presets_are_taken_everywhere() -> None:
    """explain, predict, what_if, perturbation_curves and layers feed the model the same."""
    net = small_net()
    small: dict[str, Any] = {"preprocess": "-1..1"}
    by_hand: dict[str, Any] = {"preprocess": lambda x: x / 127.5 - 1}

    exp = saliency.explain(net, RGB, "gradient", 1, progress=False, **small)
    np.testing.assert_allclose(
        exp.mask, saliency.explain(net, RGB, "gradient", 1, progress=False, **by_hand).mask, rtol=1e-3, atol=1e-6
    )
    for call in (
        lambda options: [each.score for each in saliency.predict(net, RGB, **options)],
        lambda options: [each.score for each in saliency.what_if(net, RGB, exp.top(30), **options).only],
        lambda options: saliency.perturbation_curves(net, RGB, exp, points=4, **options).insertion,
    ):
        np.testing.assert_allclose(call(small), call(by_hand), rtol=1e-4, atol=1e-5)
    assert saliency.layers(net, RGB, **small) == saliency.layers(net, RGB, **by_hand)


class Timm(nn.Module):
    """Shaped as timm's: a network with its configuration."""

    def __init__(self, name: str, config: Any) -> None:
        super().__init__()
        self.net = small_net()
        setattr(self, name, config)

    def forward(self, x: Tensor) -> Any:
        return self.net(x)


CONFIG: dict[str, Any] = {
    "input_size": (3, 16, 16),
    "crop_pct": 0.8,
    "interpolation": "bilinear",
    "mean": (0.5, 0.4, 0.3),
    "std": (0.2, 0.3, 0.4),
}


@pytest.mark.parametrize("name", ["pretrained_cfg", "default_cfg"])
@pytest.mark.parametrize("kind", [dict, SimpleNamespace])
def test_timm_s_configuration_is_used(name: str, kind: Any) -> None:
    """Shorter side to 16 / 0.8 = 20, central 16×16, normalised; by hand with Pillow."""
    model, image = Timm(name, kind(**CONFIG)), Image.fromarray(picture(60, 40))
    resized = image.resize((20, 30), Image.Resampling.BILINEAR).crop((2, 7, 18, 23))
    wanted = (np.asarray(resized) / 255 - CONFIG["mean"]) / CONFIG["std"]

    exp = saliency.explain(model, image, "gradient", 1, progress=False)

    np.testing.assert_allclose(fed(model, image), wanted, rtol=1e-4, atol=1e-5)
    assert exp.notes[0].startswith(f"preprocessing of the model's {name}: shorter side to 20 (bilinear), central 16×16")
    np.testing.assert_allclose(exp.placement @ [8, 8, 1], [30.5, 20.5], atol=1.0)


def test_the_crops_of_timm_s_configurations() -> None:
    """A crop "squash" keeps no proportions, "border" pads with the mean, which is fed as 0."""
    wide = np.full((20, 60, 3), 255, np.uint8)
    squashed = from_timm({**CONFIG, "crop_pct": 1.0, "crop_mode": "squash"})(wide)
    bordered = from_timm({**CONFIG, "crop_pct": 1.0, "crop_mode": "border"})(wide)

    white = (1 - np.array(CONFIG["mean"])) / CONFIG["std"]
    np.testing.assert_allclose(squashed, np.broadcast_to(white, (16, 16, 3)), rtol=1e-5)
    assert np.abs(bordered[:5]).max() < 0.02
    np.testing.assert_allclose(bordered[8, 8], white, rtol=1e-5)


@pytest.mark.parametrize("image", [(RGB / 255).astype(np.float32), RGB.astype(np.float32)], ids=["0–1", "0–255"])
def test_floats_are_fed_as_they_are(image: np.ndarray) -> None:
    """A declared preprocessing is not applied to floats, which may be in the model's own range."""
    np.testing.assert_array_equal(fed(Timm("pretrained_cfg", CONFIG), image), image)


def test_what_is_given_overrules_what_is_declared() -> None:
    """`preprocess=` is used in place of the model's own; also for a picture that was read before."""
    model = Timm("pretrained_cfg", CONFIG)

    np.testing.assert_allclose(fed(model, RGB, "0..255"), RGB)
    np.testing.assert_allclose(fed(model, saliency.read(RGB, "0..255")), RGB)
    assert fed(model, saliency.read(RGB)).shape == (16, 16, 3)


class Carries(nn.Module):
    """A network with attributes of its user's."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        self.net = small_net()
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Any:
        return self.net(x)


class Uses(Carries):
    """Its forward pass preprocesses itself."""

    def forward(self, x: Tensor) -> Any:
        own: Any = self.preprocess
        return self.net(own(x))


class HasMethod(Carries):
    """`preprocess` is a method."""

    def preprocess(self, x: Tensor) -> Tensor:
        raise AssertionError


def test_a_model_s_own_preprocess_and_labels_are_used() -> None:
    """A callable ``preprocess`` and names of classes that were set on a model are its own."""
    model = Carries(preprocess=lambda x: np.asarray(x) / 50.0, classes=list(LABELS))

    exp = saliency.explain(model, RGB, "gradient", "cat", progress=False)

    np.testing.assert_allclose(fed(model, RGB), RGB / 50, rtol=1e-6)
    assert exp.label == "cat"
    assert any("the model's own .preprocess" in note for note in exp.notes)


@pytest.mark.parametrize(
    "model",
    [
        Uses(preprocess=lambda x: x * 2),
        Carries(preprocess=nn.ReLU()),
        Carries(preprocess="bicubic"),
        Carries(transforms=lambda x: x),
        HasMethod(),
    ],
    ids=["used in forward", "a module", "a text", "transforms", "a method"],
)
def test_what_belongs_to_the_forward_pass_is_no_declaration(model: Any) -> None:
    """A method, a module inside, and what forward uses itself are left to the model."""
    assert saliency.adapt(model).declared is None
    np.testing.assert_allclose(fed(model, RGB), RGB / 255, rtol=1e-6)


def test_a_processor_beside_the_weights_is_found(tmp_path: Path) -> None:
    """A model loaded from a folder uses the processor in it; without one nothing is declared."""
    transformers = pytest.importorskip("transformers")
    model, processor = small_vit()
    model.save_pretrained(tmp_path)
    bare = transformers.ViTForImageClassification.from_pretrained(tmp_path)
    assert saliency.adapt(bare).declared is None

    processor.save_pretrained(tmp_path)
    loaded = transformers.ViTForImageClassification.from_pretrained(tmp_path)
    wanted = processor(images=Image.fromarray(RGB), return_tensors="np")["pixel_values"][0]

    np.testing.assert_allclose(fed(loaded, Image.fromarray(RGB)), np.moveaxis(wanted, 0, -1), atol=1e-6)
    note = saliency.explain(loaded, RGB, "gradient", 0, progress=False).notes[0]
    assert "stored with the weights" in note


APPLICATIONS = ["MobileNetV2", "DenseNet121", "ResNet50", "VGG16", "EfficientNetB0"]


@pytest.mark.parametrize("name", APPLICATIONS)
def test_keras_applications_are_known_by_their_name(name: str) -> None:
    """A model of keras.applications is fed what its own preprocess_input makes; those that scale are fed 0–255."""
    keras = pytest.importorskip("keras")
    from saliency.adapters.keras.model import application_of, scales_itself

    modules = {
        "MobileNetV2": "mobilenet_v2",
        "DenseNet121": "densenet",
        "ResNet50": "resnet",
        "VGG16": "vgg16",
        "EfficientNetB0": "efficientnet",
    }
    names = {"MobileNetV2": "mobilenetv2_1.00_32"}
    layers = [keras.Input((32, 32, 3)), *([keras.layers.Rescaling(1 / 255)] if name == "EfficientNetB0" else [])]
    ends = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4)]
    model = keras.Sequential([*layers, *ends], name=names.get(name, name.lower()))
    image = picture(32, 32)
    wanted = getattr(keras.applications, modules[name]).preprocess_input(image.astype(np.float32))

    np.testing.assert_allclose(fed(model, image), wanted, rtol=1e-5, atol=1e-4)
    assert (application_of(model) is None) == scales_itself(model)


METADATA: dict[str, tuple[dict[str, str], Any]] = {
    "mean and std": (
        {"mean": "[0.5, 0.4, 0.3]", "std": "0.2, 0.3, 0.4"},
        lambda x: (x - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4],
    ),
    "in 0–255": ({"image_mean": "127.5 127.5 127.5", "image_std": "127.5 127.5 127.5"}, lambda x: 2 * x - 1),
    "0..255, BGR": (
        {"Image.NominalPixelRange": "NominalRange_0_255", "Image.BitmapPixelFormat": "Bgr8"},
        lambda x: 255 * x[..., ::-1],
    ),
    "-1..1": ({"Image.NominalPixelRange": "Normalized_1_1"}, lambda x: 2 * x - 1),
    "none": ({"author": "somebody", "mean": "the mean"}, lambda x: x),
}


@pytest.mark.parametrize("kind", METADATA)
def test_the_metadata_of_an_onnx_file_is_used(kind: str) -> None:
    """Mean and std in any spelling, and the range and order of the pixels as ONNX documents them."""
    metadata, formula = METADATA[kind]

    np.testing.assert_allclose(fed(onnx_proto(**metadata), RGB), formula(RGB / 255), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("names", ["{0: 'ape', 1: 'bee', 2: 'cat', 3: 'dog'}", '["ape", "bee", "cat", "dog"]'])
def test_names_of_classes_in_an_onnx_file_are_used(names: str) -> None:
    """Names as a dict by index or as a list are the labels."""
    assert saliency.adapt(onnx_proto(names=names)).labels == list(LABELS)


class Weights:
    """Shaped as torchvision's."""

    def __init__(self) -> None:
        self.meta = {"categories": ["a"]}

    def transforms(self) -> Any:
        return lambda image: np.asarray(image) / 100.0


def test_torchvision_s_weights_and_timm_s_configuration_are_taken() -> None:
    """`preprocess=weights` uses their transforms, `preprocess=model.pretrained_cfg` its transform."""
    np.testing.assert_allclose(saliency.read(RGB, Weights()).fed[0], RGB / np.float64(100), rtol=1e-6)
    assert saliency.read(RGB, CONFIG).fed.shape == (1, 16, 16, 3)


@pytest.mark.parametrize(("given", "message"), [(3, "got 3"), (Weights, "got the class Weights"), ({}, "input_size")])
def test_an_invalid_preprocess_is_refused(given: Any, message: str) -> None:
    """The error lists the accepted forms of `preprocess`."""
    with pytest.raises(saliency.BadField, match=message):
        chosen_preprocess(given)


class Wants(nn.Module):
    """Predicts class 1 for a bright picture, more confidently the closer its mean is to that of 0–255."""

    def __init__(self, sharpness: float = 1.0) -> None:
        super().__init__()
        self.sharpness, self.calls = sharpness, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += len(x)
        bright = self.sharpness * x.mean((1, 2, 3)) / 25
        none = torch.full_like(bright, -1)
        return torch.stack([none, bright, none], 1)


def test_a_missing_preprocessing_is_noted_once_it_matters() -> None:
    """A network that wants 0–255 and is fed 0–1 gets a note with both probabilities; fed right it gets none."""
    net = Wants()
    exp = saliency.explain(net, RGB, "gradient", 1, labels=["a", "b", "c"], progress=False)

    (note,) = (note for note in exp.notes if "seems to be missing" in note)
    assert "with preprocess='0..255' the model predicts b " in note
    assert "without it 58 %" in note
    right = saliency.explain(Wants(), RGB, "gradient", 1, preprocess="0..255", progress=False)
    assert not any("seems to be missing" in note for note in right.notes)
    assert exp.images == right.images


def test_a_grey_picture_is_compared_in_one_channel() -> None:
    """A model of one channel is not called with the three channels that presets for colours give."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    exp = saliency.explain(net, picture(24, 20, 1)[..., :1] / np.float32(255), "gradient", progress=False)

    assert exp.mask.shape == (24, 20, 1)


def test_the_comparison_is_made_on_first_pictures_only() -> None:
    """While no preset is better, five pictures are compared and no more; a picture is compared once."""
    net = Wants(0.0)
    adapted = saliency.adapt(net)
    calls = []
    for brightness in (1, 1, 2, 3, 4, 5, 6):
        image = saliency.picture_for(np.full((8, 8, 3), 40 * brightness, np.uint8), None, adapted)
        saliency.surer_preset(adapted, image)
        calls.append(len(saliency.adapt(net).compared))
    assert calls == [1, 1, 2, 3, 4, 5, 5]


class Standing(nn.Module):
    """Returns 200 logits: noise, and the first is the higher the nearer the mean of the picture is to `wants`."""

    def __init__(self, wants: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.noise, self.wants = torch.randn(200).clamp(-2, 2), wants

    def forward(self, x: Tensor) -> Tensor:
        away = (x.mean((1, 2, 3)) - self.wants).abs()
        return self.noise + (6 / (1 + away))[:, None] * torch.eye(200)[0]


def bright(level: float) -> np.ndarray:
    """A picture of one brightness."""
    return np.full((8, 8, 3), round(255 * level), np.uint8)


def test_evidence_of_several_pictures_is_summed() -> None:
    """A rise of 0.2 to 0.3 a picture is reported on the second one, with the number of pictures."""
    adapted = saliency.adapt(Standing(-0.6))
    first, second = (
        saliency.surer_preset(adapted, saliency.picture_for(bright(x), None, adapted)) for x in (0.5, 0.48)
    )

    assert first is None
    assert second is not None
    assert (second.preset, second.pictures) == ("-1..1", 2)
    assert "over the 2 pictures so far" in str(second)


def test_a_network_that_is_only_louder_gets_no_note() -> None:
    """Logits 255 times as large, as of an untrained network fed 255 times as much, stand out as far as before."""
    net = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(3, 200, bias=False))
    adapted = saliency.adapt(net)
    for level in (0.2, 0.5, 0.8):
        assert saliency.surer_preset(adapted, saliency.picture_for(bright(level), None, adapted)) is None


def test_another_size_alone_is_no_missing_preprocessing() -> None:
    """A network that is surer of 224×224 than of the whole picture, whatever the range, is fed in the right range."""

    class Sized(Standing):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if x.shape[-1] == 224 else super().forward(x + 3)

    adapted = saliency.adapt(Sized(0.5))
    image = np.full((300, 300, 3), 128, np.uint8)
    for level in range(5):
        assert saliency.surer_preset(adapted, saliency.picture_for(image - np.uint8(level), None, adapted)) is None


@pytest.mark.parametrize("kind", ["function of NumPy", "one output", "two classes", "preprocess given", "declared"])
def test_presets_are_not_compared_where_it_cannot_be_known(kind: str) -> None:
    """Expensive calls, fewer than three classes, and given preprocessings are skipped."""
    options: dict[str, Any] = {"preprocess": "0..1"} if kind == "preprocess given" else {}
    model: Any = {
        "function of NumPy": lambda x: np.stack([x.mean((1, 2, 3)) * k for k in range(3)], 1),
        "one output": nn.Sequential(nn.Flatten(), nn.LazyLinear(1)),
        "two classes": nn.Sequential(nn.Flatten(), nn.LazyLinear(2)),
        "preprocess given": Wants(),
        "declared": Timm("pretrained_cfg", CONFIG),
    }[kind]
    if isinstance(model, nn.Sequential):
        model(torch.zeros(1, 3, 24, 20))
    adapted = saliency.adapt(model)

    assert saliency.surer_preset(adapted, saliency.picture_for(RGB, options.get("preprocess"), adapted)) is None


def test_the_demo_network_fed_right_gets_no_note() -> None:
    """The bundled network, which takes 0–1, gets no note on preprocessing, for any object in the picture."""
    net, image = saliency.demo.model(), saliency.demo.image()
    for part in (image, image[:112], image[112:], image[:, :112], image[:, 112:]):
        adapted = saliency.adapt(net)
        adapted.compared.clear()
        assert saliency.surer_preset(adapted, saliency.picture_for(part, None, adapted)) is None


def test_a_large_picture_that_is_fed_whole_is_reported_before(caplog: pytest.LogCaptureFixture) -> None:
    """More than a megapixel without a preprocess is a note with the line to write; with a size there is none."""
    large, net = np.zeros((1200, 1000, 3), np.uint8), nn.Sequential(nn.AvgPool2d(1000), nn.Flatten())
    with caplog.at_level(logging.WARNING, "saliency"):
        exp = saliency.explain(net, large, "gradient", 1, progress=False)

    assert any("1200×1000 = 1.2 megapixels" in note and "preprocess='0..1 224'" in note for note in exp.notes)
    assert "fed at full size" in caplog.text
    assert not saliency.picture_for(large, None, saliency.adapt(Timm("default_cfg", CONFIG))).warnings
