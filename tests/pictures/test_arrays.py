"""Arrays and tensors of any type, of any number of channels, in either layout."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import saliency
from saliency.pictures.picture import read
from tests.nets import picture, small_net

RGB = picture(24, 20)


@pytest.mark.parametrize(
    ("array", "expected", "note"),
    [
        (np.full((4, 4), 6000, np.uint16), 6000 / 65_535, "16 bits scaled"),
        (np.full((4, 4), 6000, np.int32), 6000 / 65_535, "int32 read as 16 bits, 0–65,535"),
        (np.full((4, 4), 6000, np.int64), 6000 / 65_535, "int64 read as 16 bits"),
        (np.full((4, 4), 6000, np.int16), 6000 / 32_767, "int16 read as 16 bits, 0–32,767"),
        (np.full((4, 4), 51, np.int64), 0.2, "integers read as 0–255"),
        (np.ones((4, 4), bool), 1.0, "uint8 scaled"),
        (np.full((4, 4), 3, np.uint8), 3 / 255, "the largest value is 3 of 255"),
        (torch.full((1, 4, 4), 0.3, dtype=torch.bfloat16), 0.3, "fed unchanged"),
        (torch.full((1, 4, 4), 6000, dtype=torch.int32), 6000 / 65_535, "16 bits"),
        (np.full((4, 4), 7.5), 7.5, "fed unchanged"),
    ],
    ids=["uint16", "int32", "int64", "int16", "8 bits in int64", "bool", "dark", "bfloat16", "tensor", "float64"],
)
def test_every_type_of_number_is_read(array: Any, expected: float, note: str) -> None:
    """Integers by the range of their type, floats as they are, with a note where it was a guess."""
    got = read(array)

    np.testing.assert_allclose(got.fed, expected, rtol=4e-3 if "bfloat16" in str(array.dtype) else 1e-6)
    assert any(note in each for each in got.notes)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.float64, bool], ids=str)
@pytest.mark.parametrize("kind", ["numpy", "torch", "jax", "tensorflow"])
def test_preprocess_is_given_the_type_that_came(kind: str, dtype: Any) -> None:
    """Type of array and of numbers are those of the image; a dtype that the framework has not is its own affair."""
    array = (RGB > 100) if dtype is bool else RGB.astype(dtype)
    image: Any = array
    if kind == "torch":
        image = torch.from_numpy(array)
    elif kind == "jax":
        image = pytest.importorskip("jax.numpy").asarray(array if dtype not in (np.int64, np.float64) else RGB)
    elif kind == "tensorflow":
        image = pytest.importorskip("tensorflow").constant(array)
    seen: list[Any] = []

    def preprocess(given: Any) -> np.ndarray:
        seen.append(given)
        return np.asarray(given, np.float32)

    got = read(image, preprocess)

    np.testing.assert_array_equal(got.fed[0], np.asarray(image, np.float32))
    assert (type(seen[0]), seen[0].dtype) == (type(image), image.dtype)


@pytest.mark.parametrize("count", [2, 5, 7, 12])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("tensor", [False, True])
def test_any_number_of_channels_is_read_in_either_layout(count: int, first: bool, tensor: bool) -> None:
    """Channels are few, rows and columns many; how an unusual count was read is noted, and shown as its mean."""
    array = np.random.default_rng(0).uniform(size=(32, 24, count)).astype(np.float32)
    given: Any = np.ascontiguousarray(np.moveaxis(array, -1, 0)) if first else array
    got = read(torch.from_numpy(given) if tensor else given)

    np.testing.assert_array_equal(got.fed[0], array)
    assert any(("(C, H, W)" if first else "(H, W, C)") in note for note in got.notes)
    np.testing.assert_allclose(got.shown[..., 0], array.mean(-1) * 255, atol=0.6)


def net_of(channels: int) -> nn.Module:
    """A network of so many bands."""
    torch.manual_seed(0)
    layers = nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    return nn.Sequential(*layers).eval()


def keras_of(channels: int) -> Any:
    """The same kind in Keras."""
    keras = pytest.importorskip("keras")
    layers = keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(5)
    return keras.Sequential([keras.Input((None, None, channels)), *layers])


def onnx_of(channels: int, last: bool = False) -> Any:
    """The same kind in ONNX: the mean over rows and columns, through a linear layer."""
    helper, onnxruntime = pytest.importorskip("onnx").helper, pytest.importorskip("onnxruntime")
    weights = np.random.default_rng(0).normal(size=(channels, 5)).astype(np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["image", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["scores"]),
    ]
    tensors = __import__("onnx").numpy_helper
    constants = [
        tensors.from_array(weights, "weights"),
        tensors.from_array(np.array([1, 2] if last else [2, 3]), "axes"),
    ]
    shape = ["N", "H", "W", channels] if last else ["N", channels, "H", "W"]
    given, output = (
        helper.make_tensor_value_info(name, 1, shape) for name, shape in {"image": shape, "scores": ["N", 5]}.items()
    )
    graph = helper.make_graph(nodes, "bands", [given], [output], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])


MODELS: dict[str, Callable[[int], Any]] = {
    "torch": net_of,
    "Keras": keras_of,
    "ONNX": onnx_of,
    "ONNX, channels last": lambda channels: onnx_of(channels, last=True),
}


@pytest.mark.parametrize("kind", MODELS)
def test_the_model_s_channels_decide_where_the_shape_does_not(kind: str) -> None:
    """(20, 24, 22) has its channels where the model wants as many; without a model it is refused, with the line."""
    array = np.random.default_rng(0).uniform(size=(20, 24, 22)).astype(np.float32)
    for channels, shape in ((20, (24, 22)), (22, (20, 24))):
        exp = saliency.explain(MODELS[kind](channels), array, "occlusion", 1, size=12, stride=12, progress=False)

        assert exp.mask.shape[:2] == shape
        assert exp.picture.shape == (*shape, 3)
    with pytest.raises(saliency.BadImage, match=r'image=saliency.read\(image, layout="CHW"\)'):
        read(array)
    assert read(array, layout="CHW").values.shape == (24, 22, 20)
    assert read(array, layout="HWC").values.shape == (20, 24, 22)


def test_seven_bands_of_a_network_are_read_as_it_takes_them() -> None:
    """A float32 array (7, 16, 16) for a network of 7 bands is (C, H, W), as a tensor of them is."""
    array = np.random.default_rng(0).uniform(size=(7, 16, 16)).astype(np.float32)
    model = net_of(7)
    exp = saliency.explain(model, array, "gradient", 1, progress=False)
    of_tensor = saliency.explain(model, torch.from_numpy(array), "gradient", 1, progress=False)
    turned = saliency.explain(model, np.moveaxis(array, 0, -1), "gradient", 1, progress=False)

    assert exp.mask.shape == (16, 16, 7)
    np.testing.assert_array_equal(exp.mask, of_tensor.mask)
    np.testing.assert_array_equal(exp.mask, turned.mask)


PHOTOGRAPHS: dict[str, Callable[[], Any]] = {
    "arrays of two sizes": lambda: [picture(24, 20), picture(30, 20)],
    "of one size": lambda: [picture(24, 20)] * 2,
    "floats": lambda: [picture(24, 20) / 255, picture(30, 20) / 255],
    "tensors": lambda: [torch.rand(3, 24, 20), torch.rand(3, 30, 20)],
    "paths": lambda: ["a.png", "b.png"],
    "bytes": lambda: [b"a", b"b"],
}


@pytest.mark.parametrize("kind", PHOTOGRAPHS)
def test_a_list_of_photographs_is_distinguished_from_several_inputs(kind: str) -> None:
    """A list is the inputs of one model; for several pictures the error has the line."""
    for call in (saliency.explain, saliency.predict):
        with pytest.raises(saliency.BadImage, match=re.escape("saliency.explain_each(model, images)")):
            call(small_net(), PHOTOGRAPHS[kind]())


@pytest.mark.parametrize("image", [RGB, torch.rand(3, 24, 20), b"bytes"], ids=["array", "tensor", "bytes"])
def test_swapped_arguments_are_refused(image: Any) -> None:
    """The error for swapped model and picture gives the right order."""
    with pytest.raises(saliency.Unsupported, match=r"pass the model first, saliency.explain\(model, image\)"):
        saliency.explain(image, small_net())
    with pytest.raises(saliency.BadImage, match=r"got SmallNet\. The model comes first"):
        saliency.explain(small_net(), small_net())
