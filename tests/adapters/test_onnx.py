from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import saliency
from saliency.adapters.callables.onnx import OnnxModel
from tests.frameworks import lazy
from tests.nets import picture

onnx, onnxruntime = lazy("onnx"), lazy("onnxruntime")
pytestmark = pytest.mark.needs("onnx", "onnxruntime")

IMAGE = picture(16, 12)
WEIGHTS = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


def session(shape: list[int | str], kind: str = "FLOAT", outputs: int = 1) -> Any:
    """Mean over the picture of the squares, then a linear layer, in a session; `shape` says the layout."""
    from onnx import TensorProto, helper, numpy_helper

    float_type = TensorProto.FLOAT16 if kind == "FLOAT16" else TensorProto.FLOAT
    axes = [2, 3] if shape[1] in (1, 3) else [1, 2]
    nodes = [
        helper.make_node("Cast", ["image"], ["real"], to=float_type),
        helper.make_node("Mul", ["real", "real"], ["square"]),
        helper.make_node("ReduceMean", ["square", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["scores"]),
    ]
    weights = WEIGHTS.astype(np.float16) if kind == "FLOAT16" else WEIGHTS
    constants = [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array(axes), "axes")]
    given = helper.make_tensor_value_info("image", getattr(TensorProto, kind), shape)
    outputs_info = [helper.make_tensor_value_info("scores", float_type, [shape[0], 4])][:outputs]
    graph = helper.make_graph(nodes, "tiny", [given], outputs_info, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def expected(images: np.ndarray) -> np.ndarray:
    """The same in NumPy."""
    return np.square(images).mean((1, 2)) @ WEIGHTS


def explain(model: Any, image: Any = IMAGE, **options: Any) -> Any:
    """Occlusion of class 2, without a bar."""
    return saliency.explain(model, image, "occlusion", 2, size=4, stride=4, progress=False, **options)


@pytest.mark.parametrize(
    ("shape", "kind", "close"),
    [
        (["N", 3, 16, 12], "FLOAT", 1e-6),
        (["N", 16, 12, 3], "FLOAT", 1e-6),
        (["N", 3, "H", "W"], "FLOAT", 1e-6),
        ([1, 3, 16, 12], "FLOAT", 1e-6),
        ([2, 16, 12, 3], "FLOAT", 1e-6),
        (["N", 3, 16, 12], "FLOAT16", 1e-2),
    ],
    ids=str,
)
def test_a_session_is_the_black_box_of_its_numbers(shape: list[int | str], kind: str, close: float) -> None:
    """Either layout, sizes free or fixed, batches free or fixed, half precision: the mask of the NumPy function."""
    np.testing.assert_allclose(explain(session(shape, kind)).mask, explain(expected).mask, atol=close)


def test_the_layout_is_noted() -> None:
    """The notes name the input and how it was read."""
    assert "ONNX input image read as (N, H, W, C)" in explain(session(["N", 16, 12, 3])).notes
    assert isinstance(saliency.adapt(session(["N", 3, 16, 12])), OnnxModel)


def test_uint8_inputs_are_fed_0_to_255() -> None:
    """A model that scales by itself is fed what it takes, and the notes say so."""
    exp = explain(session(["N", 16, 12, 3], "UINT8"))

    assert "the model takes uint8: fed 0–255" in exp.notes
    np.testing.assert_allclose(exp.score, expected(IMAGE[None] * 1.0)[0, 2], rtol=1e-5)


def test_a_picture_of_another_size_is_resized_for_the_model() -> None:
    """The mask has the model's size and is placed on the picture's own pixels; grey is repeated."""
    model = session(["N", 3, 16, 12])
    exp = explain(model, picture(40, 30))

    assert exp.mask.shape[:2] == (16, 12)
    assert exp.on_picture().shape[:2] == (40, 30)
    assert "resized from 40×30 to 16×12, the input size of the model" in exp.notes
    assert "grey repeated to the model's 3 channels" in explain(model, IMAGE[..., 0]).notes


def test_gradients_are_refused_with_a_sentence() -> None:
    """Methods that need more than scores say why not."""
    with pytest.raises(saliency.Unsupported, match="an ONNX Runtime session offers only scores"):
        saliency.explain(session(["N", 3, 16, 12]), IMAGE, "gradient")


def test_an_input_that_is_no_image_is_refused() -> None:
    """Its type and shape are named, and the way round."""
    with pytest.raises(saliency.Unsupported, match=r"one input of images.*image: tensor\(int64\)"):
        saliency.explain(session(["N", 3, 16, 12], "INT64"), IMAGE)
