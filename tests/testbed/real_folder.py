"""A folder of photographs and networks of the shape that beds of photographs read, made of random numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from saliency.testbed.real import cifar

CHANNELS = 4
"""Of the inner layers of the network."""


class Quantised(NamedTuple):
    """A tensor of a TensorFlow Lite file."""

    name: str
    shape: tuple[int, ...]
    scale: float
    zero: int
    values: Any = None
    """Integers of a constant tensor."""


def write_tflite(path: Path, side: int, classes: int, dilation: int = 1) -> list[Quantised]:
    """Write a network with a residual block, quantised as MobileNetV2's, and return its tensors.

    It has a convolution with stride 2, a depthwise one, a projection, a sum, a pooling, a head and a softmax. The file
    is written by TensorFlow's own definitions of the format.

    Args:
        path: of the file.
        side: height and width of the pictures.
        classes: number of outputs.
        dilation: of the first convolution.
    """
    import flatbuffers  # type: ignore[import-untyped]  # it ships no types
    from tensorflow.lite.python import schema_py_generated as schema

    rng, half = np.random.default_rng(0), -(-side // 2)

    def weights(name: str, shape: tuple[int, ...], scale: float) -> Quantised:
        return Quantised(name, shape, scale, 121, rng.integers(0, 256, shape).astype(np.uint8))

    def bias(count: int, scale: float) -> Quantised:
        return Quantised("bias", (count,), scale, 0, rng.integers(-2000, 2000, count).astype(np.int32))

    inner = (1, half, half, CHANNELS)
    tensors = [
        Quantised("pictures", (1, side, side, 3), 1 / 128, 128),
        weights("Net/Conv/kernel", (CHANNELS, 3, 3, 3), 0.01),
        bias(CHANNELS, 0.01 / 128),
        Quantised("conv", inner, 6 / 255, 0),
        weights("Net/block/depthwise/kernel", (1, 3, 3, CHANNELS), 0.02),
        bias(CHANNELS, 0.02 * 6 / 255),
        Quantised("depthwise", inner, 6 / 255, 0),
        weights("Net/block/project/kernel", (CHANNELS, 1, 1, CHANNELS), 0.005),
        bias(CHANNELS, 0.005 * 6 / 255),
        Quantised("project", inner, 0.06, 100),
        Quantised("Net/block/add", inner, 0.07, 60),
        Quantised("Net/Logits/pool", (1, 1, 1, CHANNELS), 0.07, 60),
        weights("Net/Logits/head/kernel", (classes, 1, 1, CHANNELS), 0.01),
        bias(classes, 0.01 * 0.07),
        Quantised("head", (1, 1, 1, classes), 0.08, 128),
        Quantised("shape", (2,), 0, 0, np.array([1, classes], np.int32)),
        Quantised("Net/Logits/squeeze", (1, classes), 0.08, 128),
        Quantised("Net/softmax", (1, classes), 1 / 256, 0),
    ]

    def operator(code: int, inputs: list[int], output: int, kind: int = 0, options: Any = None) -> Any:
        found = schema.OperatorT()
        found.opcodeIndex, found.inputs, found.outputs = code, inputs, [output]
        found.builtinOptionsType, found.builtinOptions = kind, options
        return found

    def with_fields(options: Any, **fields: Any) -> Any:
        for name, value in fields.items():
            setattr(options, name, value)
        return options

    relu6, kinds = 3, schema.BuiltinOptions
    step = {"strideW": 2, "strideH": 2, "dilationWFactor": dilation, "dilationHFactor": dilation}
    one = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    conv, depthwise, pool = schema.Conv2DOptionsT, schema.DepthwiseConv2DOptionsT, schema.Pool2DOptionsT
    operators = [
        operator(
            0, [0, 1, 2], 3, kinds.Conv2DOptions, with_fields(conv(), padding=0, fusedActivationFunction=relu6, **step)
        ),
        operator(
            1,
            [3, 4, 5],
            6,
            kinds.DepthwiseConv2DOptions,
            with_fields(depthwise(), padding=0, depthMultiplier=1, fusedActivationFunction=relu6, **one),
        ),
        operator(0, [6, 7, 8], 9, kinds.Conv2DOptions, with_fields(conv(), padding=0, **one)),
        operator(2, [9, 3], 10, kinds.AddOptions, schema.AddOptionsT()),
        operator(
            3,
            [10],
            11,
            kinds.Pool2DOptions,
            with_fields(pool(), padding=1, strideW=half, strideH=half, filterWidth=half, filterHeight=half),
        ),
        operator(0, [11, 12, 13], 14, kinds.Conv2DOptions, with_fields(conv(), padding=0, **one)),
        operator(4, [14, 15], 16, kinds.ReshapeOptions, with_fields(schema.ReshapeOptionsT(), newShape=[1, classes])),
        operator(5, [16], 17, kinds.SoftmaxOptions, with_fields(schema.SoftmaxOptionsT(), beta=1.0)),
    ]
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.buffers = 3, [graph], [schema.BufferT()]
    model.operatorCodes = [
        with_fields(schema.OperatorCodeT(), deprecatedBuiltinCode=code, builtinCode=code, version=1)
        for code in (3, 4, 0, 1, 22, 25)
    ]
    graph.inputs, graph.outputs, graph.operators, graph.tensors = [0], [17], operators, []
    for each in tensors:
        tensor, buffer = schema.TensorT(), 0
        if each.values is not None:
            buffer = len(model.buffers)
            data = np.frombuffer(each.values.tobytes(), np.uint8)
            model.buffers.append(with_fields(schema.BufferT(), data=data))
        is_int32 = each.values is not None and each.values.dtype == np.int32
        kind = schema.TensorType.INT32 if is_int32 else schema.TensorType.UINT8
        with_fields(tensor, name=each.name, shape=list(each.shape), type=kind, buffer=buffer)
        if each.scale:
            tensor.quantization = with_fields(
                schema.QuantizationParametersT(), scale=[each.scale], zeroPoint=[each.zero]
            )
        graph.tensors.append(tensor)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(builder.Output())
    return tensors


RECTANGLE = (0.25, 0.5, 0.5, 0.75)
"""Left, top, right and bottom of a red rectangle in each photograph of COCO, in shares of the side."""


def photograph(number: int) -> Image.Image:
    """Return a grey picture with a red rectangle, 320 × 240."""
    pixels = np.random.default_rng(number).integers(90, 110, (240, 320, 3)).astype(np.uint8)
    left, top, right, bottom = RECTANGLE
    pixels[round(top * 240) : round(bottom * 240), round(left * 320) : round(right * 320)] = (200, 20, 20)
    return Image.fromarray(pixels)


def write_folder(folder: Path) -> None:
    """Write photographs with an index, photographs with outlines, and ResNets; no network for ImageNet."""
    for name in ("imagenet", "coco", "cifar10"):
        (folder / name).mkdir(parents=True)
    for number in range(3):
        photograph(number).save(folder / "imagenet" / f"{number}.png")
        photograph(number).save(folder / "coco" / f"{number}.png")
    (folder / "imagenet" / "index.csv").write_text("file,class_index,wnid\n0.png,281,x\n1.png,282,x\n2.png,0,x\n")
    left, top, right, bottom = RECTANGLE
    polygon = [left, top, right, top, right, bottom, left, bottom]
    listed = [
        {"file": f"{n}.png", "size": [320, 240], "instances": [{"category": c, "polygon": polygon} for c in (1, each)]}
        for n, each in enumerate((17, 18, 3))
    ]
    (folder / "coco" / "instances.json").write_text(json.dumps(listed))
    (folder / "coco" / "categories.yaml").write_text("names:\n  1: person\n  3: car\n  17: cat\n  18: dog\n")
    for name in ("resnet20-12fca82f", "resnet56-4bfd9763"):
        network = cifar.ResNet(3 if "20" in name else 9)
        weights = {f"module.{key}": value for key, value in network.state_dict().items()}
        torch.save({"state_dict": weights}, folder / "cifar10" / f"{name}.th")
