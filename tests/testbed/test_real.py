"""Beds of photographs: what is read from a folder, which photographs are scenes, and how beds are left out.

The tests of real networks and data sets need the folder that ``SALIENCY_REAL_DATA`` names, see docs/testbeds.md.
"""

from __future__ import annotations

import os
import re
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import saliency
from saliency import testbed
from saliency.pictures.presets import Preprocessing
from saliency.testbed.real import cifar, coco, mobilenet, tflite
from saliency.testbed.real.bed import Network, PhotographBed, moved, removed
from saliency.testbed.real.catalogue import RECIPES, VARIABLE
from saliency.testbed.real.networks import CROP
from saliency.testbed.real.photographs import PACKAGED, Object, Photograph, in_folder, inside
from tests.testbed.real_folder import RECTANGLE, photograph, write_folder, write_tflite

REAL = pytest.mark.skipif(not os.environ.get(VARIABLE), reason=f"{VARIABLE} names no folder")
IDS = [each.id for each in RECIPES]


# The file of a quantised network


@pytest.mark.needs("tensorflow", "keras")
def test_a_quantised_network_becomes_floats_in_torch_and_keras(tmp_path: Path) -> None:
    """Weights are s (q - z), both copies agree to 1e-5, and follow the integers to a few of their steps."""
    path = tmp_path / "net.tflite"
    written = {each.name: each for each in write_tflite(path, 13, 5)}

    program = tflite.read(path)
    layers = {each.name: each for each in program.layers}
    pictures = np.random.default_rng(1).integers(0, 256, (4, 13, 13, 3)).astype(np.uint8)
    fed = np.stack([mobilenet.preprocessing(program)(each / np.float32(255)) for each in pictures])
    with torch.no_grad():
        ours = mobilenet.torch_model(program)(torch.from_numpy(fed).movedim(-1, 1)).numpy()
    shares = torch.from_numpy(ours).softmax(1).numpy()

    kernel = written["Net/Conv/kernel"]
    expected = (0.01 * (kernel.values.astype(np.float64) - 121)).transpose(1, 2, 3, 0)
    names = ["Conv", "block_depthwise", "block_project", "block", "Logits_pool4", "Logits_head", "Logits_reshape6"]
    assert list(layers) == names
    assert layers["Conv"].kernel is not None
    np.testing.assert_allclose(layers["Conv"].kernel, expected, rtol=1e-6)
    assert layers["Conv"].padding == ((1, 1), (1, 1))
    assert (layers["Conv"].stride, layers["Conv"].activation) == ((2, 2), "relu6")
    np.testing.assert_allclose(fed[0], (pictures[0].astype(np.float64) - 128) / 128, atol=1e-6)
    np.testing.assert_allclose(np.asarray(mobilenet.keras_model(program)(fed)), ours, atol=1e-5)
    np.testing.assert_allclose(mobilenet.quantised(path, pictures), shares, atol=0.05)
    assert np.ptp(shares, 1).min() > 0.2


@pytest.mark.parametrize(("side", "padding"), [(12, (0, 1)), (13, (1, 1))])
def test_padding_is_that_of_tensorflow(side: int, padding: tuple[int, int]) -> None:
    """With stride 2 and a window of 3, an even side is padded after its end only."""
    assert tflite._same(side, 3, 2) == padding


@pytest.mark.needs("tensorflow")
def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    """Another format, and a dilated convolution, are refused with what was expected."""
    (tmp_path / "text.tflite").write_text("no network at all")
    with pytest.raises(saliency.SaliencyError, match="expected the identifier TFL3"):
        tflite.read(tmp_path / "text.tflite")
    write_tflite(tmp_path / "dilated.tflite", 12, 5, dilation=2)
    with pytest.raises(saliency.SaliencyError, match="Expected no dilation in Net/Conv/kernel"):
        tflite.read(tmp_path / "dilated.tflite")


# Which photographs are scenes


class Redness(torch.nn.Module):
    """Logits of "red", "dull" and "blue": the largest red and blue values of the picture, and 0.6."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) to (N, 3)."""
        red, green, blue = images.unbind(1)
        dull = torch.full_like(red[:, 0, 0], 0.6)
        return torch.stack([(red - green).amax((1, 2)), dull, (blue - green).amax((1, 2))], 1)


COLOURS = Network(
    title="Colours",
    labels=("red", "dull", "blue"),
    crop=Preprocessing(size=(32, 32)),
    preprocess=Preprocessing(),
    load=lambda: Redness().eval(),
    accuracy=0.5,
)


def picture_of(*spots: tuple[int, int, int, tuple[float, float, float]]) -> NDArray[np.uint8]:
    """Return a grey picture, (32, 48, 3), with squares: row, column, side and colour of each."""
    found = np.full((32, 48, 3), 100, np.uint8)
    for row, column, side, colour in spots:
        found[row : row + side, column : column + side] = colour
    return found


def square(row: int, column: int, side: int) -> NDArray[np.float64]:
    """Return the outline of a square in a picture (32, 48)."""
    low, high = np.array([column, row]), np.array([column + side, row + side])
    return np.array([low, (high[0], low[1]), high, (low[0], high[1])]) / (48, 32)


RED, BLUE = (220, 0, 0), (0, 0, 220)


def bed_of(*photographs: Photograph) -> PhotographBed:
    """Return a bed of the network of colours."""
    return PhotographBed("colours", "test", "on squares", "", COLOURS, photographs)


def outlined(picture: NDArray[np.uint8], *objects: tuple[str, NDArray[np.float64]]) -> Photograph:
    """Return a photograph whose class is "red"."""
    found = [Object(frozenset({label}), outline) for label, outline in objects]
    return Photograph("photograph", lambda: picture, frozenset({"red"}), found)


def test_the_truth_is_the_object_that_the_class_depends_on() -> None:
    """The mask of the object is exact in the crop, which cuts off 8 columns at the left."""
    bed = bed_of(outlined(picture_of((4, 12, 10, RED)), ("red", square(4, 12, 10))))

    (scene,) = bed.scenes(5)
    expected = np.zeros((32, 32), bool)
    expected[4:14, 4:14] = True
    assert (scene.target, scene.image.shape, scene.image.dtype.name) == (0, (32, 32, 3), "float32")
    np.testing.assert_array_equal(scene.truth, expected)
    assert [gate.value for gate in bed.gates()] == [1.0, 1, 1.0, 1.0]
    assert [gate.passed for gate in bed.gates()] == [True, False, True, True]


def test_photographs_whose_class_depends_on_something_else_are_no_scenes() -> None:
    """Left out: another red square elsewhere; an object of another class; one that is cut off or tiny."""
    beside = outlined(picture_of((4, 12, 6, RED), (12, 20, 6, RED)), ("red", square(4, 12, 6)))
    other = outlined(picture_of((4, 12, 6, RED), (20, 30, 6, BLUE)), ("blue", square(20, 30, 6)))
    tiny = outlined(picture_of((4, 12, 3, RED)), ("red", square(4, 12, 3)))
    gone = outlined(picture_of((4, 12, 10, RED), (4, 0, 6, RED)), ("red", square(4, 0, 6)))

    for each in (beside, other, tiny, gone):
        assert bed_of(each).scenes(1) == []


def test_without_outlines_every_photograph_is_a_scene() -> None:
    """Targets are the top classes; scenes of a seed are equal for every count, and end with the photographs."""
    pictures = [picture_of((k, 12, 9, BLUE if k % 2 else RED)) for k in range(5)]
    bed = bed_of(*(Photograph("photograph", partial(np.copy, each)) for each in pictures))

    scenes = bed.scenes(9, seed=3)
    assert sorted(each.target for each in scenes) == [0, 0, 0, 2, 2]
    assert [each.digest for each in bed.scenes(2, seed=3)] == [each.digest for each in scenes[:2]]
    assert all(each.truth is None for each in scenes)
    mean_colour, mirrored = bed.gates()
    assert (mean_colour.value, mirrored.value) == (1.0, 1.0)


def test_removed_pixels_are_imputed_from_those_around() -> None:
    """A square on a uniform ground disappears with its blurred edge; the same shape elsewhere changes nothing there."""
    picture = np.asarray(picture_of((4, 12, 10, RED))[:, :32] / 255, np.float32)
    mask = (picture[..., 0] > 0.5).copy()

    np.testing.assert_allclose(removed(picture, mask), 100 / 255, atol=1e-4)
    elsewhere = moved(mask)
    assert elsewhere.sum() == 100
    assert not (elsewhere & mask).any()
    np.testing.assert_array_equal(removed(picture, elsewhere)[mask], picture[mask])


def test_pixels_inside_outlines() -> None:
    """A pixel is inside where its centre is: a half, a whole picture, and the union of two."""
    left = np.array([(0, 0), (0.5, 0), (0.5, 1), (0, 1)])
    right = left + np.array([0.5, 0])

    np.testing.assert_array_equal(inside([left], 4, 8), np.repeat([[True, False]], 4, 0).repeat(4, 1))
    assert inside([left, right], 4, 8).all()
    assert not inside([], 4, 8).any()


# What is read from a folder


def test_categories_of_coco_name_classes_of_imagenet() -> None:
    """Every class in the table exists, and belongs to one category."""
    labels = [label for each in coco.CLASSES.values() for label in each]

    assert set(labels) <= set(saliency.targets.imagenet_names())
    assert len(labels) == len(set(labels))
    assert {label for each in coco.CIFAR.values() for label in each} <= set(cifar.LABELS)
    assert {"robin", "peacock", "flamingo", "beagle", "tabby"} <= {*coco.BIRDS, *coco.DOGS, *coco.CATS}
    assert not {"tench", "wombat", "axolotl", "timber wolf", "cougar"} & {*coco.BIRDS, *coco.DOGS, *coco.CATS}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a small folder of the shape that beds read, which the environment variable names."""
    write_folder(tmp_path / "real")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "real"))
    return tmp_path / "real"


def test_a_folder_becomes_beds(folder: Path) -> None:
    """Beds whose files are there are made, with the photographs and classes of the files."""
    beds, lines = testbed.real_beds()

    found: dict[str, Any] = {each.id: each for each in beds}
    assert [*found, *(line.split()[0] for line in lines)] == sorted(
        IDS, key=lambda each: ("mobilenet" in each, IDS.index(each))
    )
    assert all("needs imagenet/mobilenet_v2" in line and str(folder) in line for line in lines)
    assert [each.classes for each in found["photographs_efficientnet"].photographs] == [
        {"tabby"},
        {"tiger cat"},
        {"tench"},
    ]
    cat, dog, car = found["coco_efficientnet"].photographs
    assert (len(cat.objects), "tabby" in cat.objects[0].labels, "beagle" in dog.objects[0].labels) == (1, True, True)
    assert [each.classes for each in found["cifar_resnet20"].photographs] == [{"cat"}, {"dog"}, {"automobile"}]
    assert found["cifar_resnet56"].outputs(np.zeros((2, 32, 32, 3), np.float32)).shape == (2, 10)
    assert car.read().shape == (240, 320, 3)


def test_outlines_follow_the_crop(folder: Path) -> None:
    """The mask of an object is where its colour is, in the crop of 224² and in a square cut out around it."""
    for each, crop in ((coco.outlined(folder / "coco")[0], CROP), (coco.cut(folder / "coco")[0], Preprocessing())):
        label = min(each.objects[0].labels)
        picture = crop(each.read())
        mask = crop(each.mask(label)[..., None] * np.uint8(255))[..., 0] > 0.5
        coloured = picture[..., 0] - picture[..., 1] > 0.4
        assert 0.1 < mask.mean() < 0.9
        assert (mask != coloured).mean() < 0.003


def test_squares_are_cut_around_objects(folder: Path) -> None:
    """The square is 1.15 times as long as the object's longer side, with the object in its middle."""
    (first, *_) = coco.cut(folder / "coco")
    left, top, right, bottom = RECTANGLE

    side = int(1.15 * (right - left) * 320)
    assert first.read().shape == (side, side, 3)
    low, high = first.objects[0].outline.min(0), first.objects[0].outline.max(0)
    np.testing.assert_allclose((low + high) / 2, 0.5, atol=0.01)
    assert (bottom - top) * 240 / side == pytest.approx(high[1] - low[1])


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    """Photographs are read upright and in the order of their names, other files are ignored, classes are unknown."""
    for name in ("b.png", "a.JPG"):
        photograph(0).save(tmp_path / name, format="PNG")
    (tmp_path / "notes.txt").write_text("no photograph")
    bed: Any = testbed.imagenet(tmp_path)

    assert [each.name for each in bed.photographs] == ["a.JPG", "b.png"]
    assert bed.id == f"imagenet_{tmp_path.name}"
    assert not any(each.classes for each in bed.photographs)
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees
    photograph(0).save(tmp_path / "a.JPG", format="JPEG", exif=turned)
    assert in_folder(tmp_path)[0].read().shape == (320, 240, 3)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (None, "there is no folder"),
        ({}, "Expected photographs"),
        ({"a.png": "no picture"}, "cannot be read as a picture"),
        ({"index.csv": "name,class\na.png,0\n"}, "columns file and class_index"),
        ({"index.csv": "file,class_index\na.png,1000\n"}, "0 to 999"),
        ({"index.csv": "file,class_index\na.png,3\n"}, "lists 'a.png', which is not in the folder"),
    ],
)
def test_folders_that_cannot_be_used_are_refused(tmp_path: Path, files: dict[str, str] | None, why: str) -> None:
    """The error names the file and what was expected."""
    for name, text in (files or {}).items():
        (tmp_path / name).write_text(text)
    with pytest.raises(saliency.SaliencyError, match=why):
        in_folder(tmp_path if files is not None else tmp_path / "none")[0].read()


def test_broken_outlines_are_refused(folder: Path) -> None:
    """The error names the folder and what is missing."""
    (folder / "coco" / "categories.yaml").write_text("names:\n  1: person\n")
    with pytest.raises(saliency.SaliencyError, match=r"instances.json and categories.yaml of COCO.*KeyError\(17\)"):
        testbed.real_beds()


# What is left out


def test_without_the_variable_its_beds_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line for each bed says what it needs."""
    monkeypatch.delenv(VARIABLE, raising=False)
    beds, lines = testbed.real_beds()

    assert [each.id for each in beds] == ["imagenet"]
    assert [line.split()[0] for line in lines] == IDS[1:]
    assert all(line.endswith(f"needs a folder that the environment variable {VARIABLE} names.") for line in lines)


def test_missing_packages_leave_beds_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names the package and the extra; `imagenet` raises with the same."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    beds, lines = testbed.real_beds()

    assert [each.id for each in beds] == ["cifar_resnet20", "cifar_resnet56"]
    needs = 'needs efficientnet_lite_pytorch, which is not installed: pip install "saliency-widget[imagenet]".'
    assert f"imagenet is left out: it {needs}" in lines
    with pytest.raises(saliency.MissingPackage, match="needs efficientnet_lite_pytorch"):
        testbed.imagenet(folder / "imagenet")


# Real networks and photographs


@cache
def real(name: str) -> Any:
    """Return a bed by its id."""
    return next(each for each in testbed.real_beds()[0] if each.id == name)


def test_photographs_of_packages_have_known_classes() -> None:
    """The bed needs no folder; the top class of each photograph is the known one, except for the astronaut."""
    bed: Any = testbed.imagenet()

    scenes = bed.scenes(10)
    assert len(scenes) == len(PACKAGED) == 7
    found = {bed.labels[each.target] for each in scenes}
    assert all(found & classes for classes in PACKAGED.values() if classes)
    assert scenes[0].image.shape == (224, 224, 3)


@pytest.mark.long
def test_the_code_of_the_page_runs() -> None:
    """The Python block on photographs in docs/testbeds.md runs unchanged."""
    page = (Path(__file__).parents[2] / "docs" / "testbeds.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page.partition("## Real photographs")[2], re.DOTALL)
    exec(block, {})


@pytest.mark.long
def test_the_bed_of_packages_meets_its_gates() -> None:
    """The network recognises the photographs, and depends on them."""
    assert all(gate.passed for gate in testbed.imagenet().gates())


@REAL
@pytest.mark.long
@pytest.mark.parametrize("name", IDS)
def test_beds_of_the_folder_meet_their_gates(name: str) -> None:
    """Accuracy, agreement with the quantised original and between frameworks, and interventions."""
    gates = real(name).gates()

    assert len(gates) >= 3
    assert [gate for gate in gates if not gate.passed] == []


AGREEING: dict[str, tuple[Any, float]] = {
    "gradient": ("gradient", 0.999),
    "integrated_gradients": (saliency.IntegratedGradients(steps=8), 0.999),
    "grad_cam": ("grad_cam", 0.9999),
    "smooth_grad": (saliency.SmoothGrad(samples=4), 0.999),
    "occlusion": (saliency.Occlusion(size=56, stride=56), 0.9999),
    "lrp": ("lrp", 0.999),
}
"""Methods, and the correlation of their maps in two frameworks."""


@REAL
@pytest.mark.long
@pytest.mark.needs("tensorflow", "keras")
@pytest.mark.parametrize("method", AGREEING)
def test_maps_of_torch_and_keras_agree(method: str) -> None:
    """MobileNetV2 with the same weights has the same map of a photograph in both frameworks."""
    beds = [real(f"photographs_mobilenet_{each}") for each in ("torch", "keras")]
    scene, (of, correlation) = beds[0].scenes(1)[0], AGREEING[method]
    masks = [
        saliency.explain(
            bed.model, scene.image, of, scene.target, preprocess=bed.preprocess, labels=bed.labels, progress=False
        ).mask
        for bed in beds
    ]

    assert float(np.corrcoef(masks[0].ravel(), masks[1].ravel())[0, 1]) > correlation
