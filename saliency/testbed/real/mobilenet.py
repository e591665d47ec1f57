"""MobileNetV2 from a quantised TensorFlow Lite file: the same weights as floats in torch and in Keras."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from saliency.errors import MissingPackage
from saliency.pictures.presets import Preprocessing
from saliency.testbed.real.tflite import ADD, CONV, DEPTHWISE, POOL, Layer, Program


class TorchNetwork(nn.Module):
    """The layers of a TensorFlow Lite file: pictures (N, C, H, W) -> logits (N, classes)."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self._program = program
        for layer in program.layers:
            self.add_module(layer.name, _torch_layer(layer))

    def forward(self, images: Tensor) -> Tensor:
        values = {self._program.input: images}
        for layer in self._program.layers:
            values[layer.output] = self.get_submodule(layer.name)(*(values[each] for each in layer.inputs))
        return values[self._program.layers[-1].output]


class Add(nn.Module):
    """The sum of two tensors."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first + second


def torch_model(program: Program) -> nn.Module:
    """Return the network as a torch module in eval mode, of (N, C, H, W)."""
    return TorchNetwork(program).eval()


def keras_model(program: Program) -> Any:
    """Return the network as a functional ``keras.Model``, of (N, H, W, C)."""
    import keras

    values = {program.input: keras.Input(program.shape[1:], name="picture")}
    weights = {}
    for layer in program.layers:
        steps = _keras_layers(layer)
        x: Any = [values[each] for each in layer.inputs]
        x = x if layer.kind == ADD else x[0]
        for step in steps:
            x = step(x)
        values[layer.output] = x
        if layer.kernel is not None:
            weights[steps[-1 - bool(layer.activation)].name] = [layer.kernel, layer.bias]
    network = keras.Model(values[program.input], values[program.layers[-1].output])
    for name, arrays in weights.items():
        network.get_layer(name).set_weights(arrays)
    return network


def _torch_layer(layer: Layer) -> nn.Module:
    """Return a layer as a module, with its padding and its activation."""
    if layer.kind == ADD:
        return Add() if not layer.activation else nn.Sequential(Add(), _TORCH[layer.activation]())
    steps: list[nn.Module] = []
    if layer.kind in (CONV, DEPTHWISE):
        (top, bottom), (left, right) = layer.padding
        even = (top, left) == (bottom, right)
        if not even:
            steps.append(nn.ZeroPad2d((left, right, top, bottom)))
        steps.append(_torch_convolution(layer, (top, left) if even else (0, 0)))
    else:
        steps.append(nn.AvgPool2d(layer.window, layer.stride) if layer.kind == POOL else nn.Flatten())
    if layer.activation:
        steps.append(_TORCH[layer.activation]())
    return nn.Sequential(*steps) if len(steps) > 1 else steps[0]


_TORCH = {"relu": nn.ReLU, "relu6": nn.ReLU6}


def _torch_convolution(layer: Layer, padding: tuple[int, int]) -> nn.Conv2d:
    assert layer.kernel is not None
    assert layer.bias is not None
    outputs, groups = len(layer.bias), 1 if layer.kind == CONV else len(layer.bias)
    order = (3, 2, 0, 1) if layer.kind == CONV else (2, 3, 0, 1)
    kernel = torch.from_numpy(layer.kernel.transpose(order).copy())
    with torch.random.fork_rng(devices=[]):  # the initial weights are random, and replaced
        conv = nn.Conv2d(kernel.shape[1] * groups, outputs, layer.window, layer.stride, padding, groups=groups)
    with torch.no_grad():
        conv.weight.copy_(kernel)
        conv.bias.copy_(torch.from_numpy(layer.bias))  # type: ignore[union-attr]  # it has one
    return conv


def _keras_layers(layer: Layer) -> list[Any]:
    """Return the Keras layers of a layer, to be called one after the other."""
    from keras import layers

    if layer.kind == ADD:
        steps: list[Any] = [layers.Add(name=layer.name)]
    elif layer.kind in (CONV, DEPTHWISE):
        assert layer.bias is not None
        steps = [layers.ZeroPadding2D(layer.padding, name=f"{layer.name}_pad")] if any(map(any, layer.padding)) else []
        if layer.kind == CONV:
            steps.append(layers.Conv2D(len(layer.bias), layer.window, layer.stride, name=layer.name))
        else:
            steps.append(layers.DepthwiseConv2D(layer.window, layer.stride, name=layer.name))
    elif layer.kind == POOL:
        steps = [layers.AveragePooling2D(layer.window, layer.stride, name=layer.name)]
    else:
        steps = [layers.Flatten(name=layer.name)]
    if layer.activation:
        steps.append(layers.ReLU(6.0 if layer.activation == "relu6" else None, name=f"{layer.name}_{layer.activation}"))
    return steps


def preprocessing(program: Program) -> Preprocessing:
    """Return the normalisation that the file declares, of pictures in 0-1."""
    return Preprocessing(mean=(program.zero / 255,), std=(1 / (255 * program.scale),))


def quantised(path: Path, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the outputs (N, classes) of the original network, computed with integers by TensorFlow Lite.

    Args:
        path: the file.
        pictures: (N, H, W, 3).

    Raises:
        MissingPackage: TensorFlow is not installed.
    """
    try:
        from tensorflow.lite.python.interpreter import Interpreter
    except ModuleNotFoundError as error:
        raise MissingPackage(
            "The original network runs in TensorFlow Lite, which is not installed: "
            'pip install "saliency-widget[tensorflow]"'
        ) from error
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated", UserWarning)
        network = Interpreter(str(path))
    network.allocate_tensors()
    source, result = network.get_input_details()[0], network.get_output_details()[0]
    scale, zero = result["quantization"]
    outputs = []
    for picture in pictures:
        network.set_tensor(source["index"], picture[None])
        network.invoke()
        outputs.append(network.get_tensor(result["index"])[0].astype(np.float32))
    return np.asarray(scale * (np.stack(outputs) - zero), np.float32)
