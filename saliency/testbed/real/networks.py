"""The trained networks of the beds of photographs."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from saliency import demo
from saliency.pictures.presets import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from saliency.targets import imagenet_names
from saliency.testbed.bed import Gate
from saliency.testbed.real import cifar, mobilenet, tflite
from saliency.testbed.real.bed import BATCH, Network, PhotographBed, Pictures

CROP = Preprocessing(size=(224, 224), resize=256)
"""The central 224 × 224 of a photograph whose shorter side is 256."""


def efficientnet() -> Network:
    """Return EfficientNet-Lite0 of :func:`saliency.demo.model`."""
    return Network(
        title="EfficientNet-Lite0",
        labels=imagenet_names(),
        crop=CROP,
        preprocess=Preprocessing(mean=(127 / 255,), std=(128 / 255,)),
        load=lambda: demo.model("imagenet"),
        accuracy=0.8,
    )


def mobilenet_v2(path: Path, framework: str) -> Network:
    """Return the float copy of a quantised MobileNetV2.

    Args:
        path: its TensorFlow Lite file.
        framework: "torch" or "keras".
    """
    program = cache(lambda: tflite.read(path))
    build = {"torch": mobilenet.torch_model, "keras": mobilenet.keras_model}[framework]
    normalise = mobilenet.preprocessing(program())

    def gates(bed: PhotographBed, pictures: Pictures, outputs: NDArray[np.float32]) -> list[Gate]:
        original = mobilenet.quantised(path, np.rint(pictures * 255).astype(np.uint8))
        same = float(np.mean(original.argmax(1) == outputs.argmax(1)))
        found = [Gate("The top class is that of the quantised original on at least 90 %", same, 0.9)]
        of_original, own = bed.accuracy(original), bed.accuracy(outputs)
        if of_original is not None and own is not None:
            sentence = "The share of right top classes differs from that of the quantised original by at most 1 point"
            found.append(Gate(sentence, round(abs(own - of_original), 6), 0.01, at_least=False))
        if framework == "keras":
            away = float(np.abs(_torch_outputs(program(), normalise, pictures) - outputs).max())
            found.append(Gate("The logits equal those of the torch copy to 1e-4", away, 1e-4, at_least=False))
        return found

    return Network(
        title=f"MobileNetV2 in {'Keras' if framework == 'keras' else 'torch'}",
        labels=("background", *imagenet_names()),
        crop=CROP,
        preprocess=normalise,
        load=lambda: build(program()),
        accuracy=0.8,
        gates=gates,
    )


def resnet(path: Path) -> Network:
    """Return a network for CIFAR-10 from its file of weights."""
    return Network(
        title=path.stem.partition("-")[0].replace("resnet", "ResNet-"),
        labels=cifar.LABELS,
        crop=Preprocessing(resize=(32, 32), crop="squash"),
        preprocess=Preprocessing(mean=IMAGENET_MEAN, std=IMAGENET_STD),
        load=lambda: cifar.load(path),
        accuracy=0.5,
    )


def _torch_outputs(program: tflite.Program, normalise: Preprocessing, pictures: Pictures) -> NDArray[np.float32]:
    """Return the logits (N, classes) of the torch copy."""
    import torch

    network, found = mobilenet.torch_model(program), []
    with torch.no_grad():
        for first in range(0, len(pictures), BATCH):
            fed = np.stack([normalise(each) for each in pictures[first : first + BATCH]])
            found.append(network(torch.from_numpy(fed).movedim(-1, 1)).numpy())
    return np.concatenate(found)
