"""Models of images 64×64 that use 16 MiB of memory for each image."""

from __future__ import annotations

from typing import Any

import numpy as np


def models() -> dict[str, Any]:
    """Return the models by framework, for the installed frameworks."""
    import torch

    torch.set_num_threads(1)
    wide = torch.nn.Conv2d(3, 1024, 1, bias=False)
    net = torch.nn.Sequential(wide, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(1024, 3)).eval()
    kernel = np.random.default_rng(0).normal(size=(3, 1024)).astype(np.float32)
    return {"torch": net, "numpy": lambda images: np.tanh(images @ kernel).mean((1, 2))[:, :3], "onnx": _session()}


def _session() -> Any:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    draw = np.random.default_rng(0)
    weights = {"w": draw.normal(size=(1024, 3, 1, 1)), "v": draw.normal(size=(1024, 3))}
    kept = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"]),
        helper.make_node("Tanh", ["y"], ["t"]),
        helper.make_node("GlobalAveragePool", ["t"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "v"], ["out"]),
    ]
    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 64, 64]),
        helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 3]),
    ]
    graph = helper.make_graph(nodes, "hungry", ends[:1], ends[1:], kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
