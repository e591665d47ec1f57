"""Small segmentation networks of common architectures, with random weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 4


def conv(into: int, out: int, stride: int = 1, size: int = 3, dilation: int = 1) -> nn.Sequential:
    """Return convolution, batch norm and ReLU."""
    padding = dilation * (size // 2)
    return nn.Sequential(
        nn.Conv2d(into, out, size, stride, padding, dilation, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
    )


def resized(x: Tensor, like: Tensor) -> Tensor:
    """Return a tensor resized bilinearly to the height and width of another."""
    return functional.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=False)


class Backbone(nn.Module):
    """Four stages with strides 2, 4, 8, 8."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1, self.layer2, self.layer3 = conv(3, 8, 2), conv(8, 8, 2), conv(8, 12, 2)
        self.layer4 = nn.Sequential(conv(12, 12), conv(12, 12))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        low = self.layer2(self.layer1(x))
        return {"low": low, "out": self.layer4(self.layer3(low))}


class Fcn(nn.Module):
    """torchvision's FCN: a head of convolution, norm, ReLU and convolution, and an auxiliary one, upsampled."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.classifier = nn.Sequential(conv(12, 6), nn.Dropout(0.1), nn.Conv2d(6, CLASSES, 1))
        self.aux_classifier = nn.Sequential(conv(8, 6), nn.Dropout(0.1), nn.Conv2d(6, CLASSES, 1))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.backbone(x)
        out = resized(self.classifier(features["out"]), x)
        return {"out": out, "aux": resized(self.aux_classifier(features["low"]), x)}


class Aspp(nn.Module):
    """Parallel convolutions with several dilations, and the mean of the image, concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([conv(12, 6, size=1), conv(12, 6, dilation=2), conv(12, 6, dilation=3)])
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv(12, 6, size=1))
        self.project = nn.Sequential(conv(24, 8, size=1), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        found = [branch(x) for branch in self.convs] + [resized(self.pool(x), x)]
        return self.project(torch.cat(found, 1))


class DeepLab(nn.Module):
    """torchvision's DeepLabV3."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.classifier = nn.Sequential(Aspp(), conv(8, 8), nn.Conv2d(8, CLASSES, 1))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": resized(self.classifier(self.backbone(x)["out"]), x)}


class Lraspp(nn.Module):
    """torchvision's LRASPP: a gate from the image's mean, and two scales added."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.cbr = conv(12, 8, size=1)
        self.scale = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(12, 8, 1, bias=False), nn.Sigmoid())
        self.low_classifier, self.high_classifier = nn.Conv2d(8, CLASSES, 1), nn.Conv2d(8, CLASSES, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.backbone(x)
        high = resized(self.cbr(features["out"]) * self.scale(features["out"]), features["low"])
        return {"out": resized(self.low_classifier(features["low"]) + self.high_classifier(high), x)}


class UNet(nn.Module):
    """A U-Net with two steps down and two up; the output is a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2, self.middle = conv(3, 6), conv(6, 8), conv(8, 10)
        self.up2, self.up1 = nn.ConvTranspose2d(10, 8, 2, 2), nn.ConvTranspose2d(8, 6, 2, 2)
        self.join2, self.join1, self.head = conv(16, 8), conv(12, 6), nn.Conv2d(6, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.down1(x)
        two = self.down2(functional.max_pool2d(one, 2))
        three = self.middle(functional.max_pool2d(two, 2))
        two = self.join2(torch.cat([self.up2(three), two], 1))
        return self.head(self.join1(torch.cat([self.up1(two), one], 1)))


class PspNet(nn.Module):
    """Pooling to grids of 1, 2 and 3 cells a side, each convolved and upsampled."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.pools = nn.ModuleList([nn.Sequential(nn.AdaptiveAvgPool2d(n), conv(12, 4, size=1)) for n in (3, 2, 1)])
        self.join, self.head = conv(24, 8), nn.Conv2d(8, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        found = self.backbone(x)["out"]
        joined = torch.cat([found, *(resized(pool(found), found) for pool in self.pools)], 1)
        return resized(self.head(self.join(joined)), x)


class Pyramid(nn.Module):
    """A detector's feature pyramid, with one map of scores for each level."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.two, self.three = conv(3, 8, 2), conv(8, 8, 2), conv(8, 8, 2)
        self.lateral = nn.ModuleList(nn.Conv2d(8, 6, 1) for _ in range(3))
        self.tower, self.scores = conv(6, 6), nn.Conv2d(6, CLASSES, 3, padding=1)

    def forward(self, x: Tensor) -> list[Tensor]:
        one = self.stem(x)
        two = self.two(one)
        three = self.three(two)
        found = [self.lateral[2](three)]
        for lateral, each in zip((self.lateral[1], self.lateral[0]), (two, one), strict=True):
            found.append(lateral(each) + functional.interpolate(found[-1], scale_factor=2.0))
        return [self.scores(self.tower(each)) for each in found]


TORCH: dict[str, tuple[type[nn.Module], str, str]] = {
    "fcn": (Fcn, "backbone.layer4", "8×8"),
    "deeplab": (DeepLab, "classifier.0", "8×8"),
    "lraspp": (Lraspp, "backbone.layer4", "8×8"),
    "unet": (UNet, "middle", "16×16"),
    "pspnet": (PspNet, ":cat:0", "8×8"),
}
"""By name: the network, and its automatic layer with its grid, for an image of 64×64."""


def segmenter(name: str) -> nn.Module:
    """Return a network by name, in eval mode, with random weights."""
    torch.manual_seed(5)
    net = TORCH[name][0]()
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None  # use the statistics of the images, so that ReLUs set about half the values to zero
    with torch.no_grad():
        net.train()(torch.from_numpy(np.random.default_rng(0).uniform(size=(8, 3, 64, 64)).astype(np.float32)))
    return net.eval()


def regions(size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Return two regions of an image, a square at the top left and one at the bottom right."""
    one, other = np.zeros((2, size, size), bool)
    one[: size // 2, : size // 2] = True
    other[size // 2 :, size // 2 :] = True
    return one, other


def keras_unet() -> Any:
    """Return a functional U-Net of Keras, with padding before a convolution and a softmax at the end."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(5)
    image = keras.Input((32, 32, 3))
    one = layers.Conv2D(6, 3, padding="same", activation="relu", name="one")(image)
    x = layers.MaxPooling2D(name="pool1")(one)
    two = layers.Conv2D(8, 3, padding="same", activation="relu", name="two")(x)
    x = layers.MaxPooling2D(name="pool2")(two)
    x = layers.ZeroPadding2D(1, name="padding")(x)
    middle = layers.Conv2D(10, 3, name="middle")(x)
    x = layers.Activation("relu", name="middle_relu")(middle)
    x = layers.UpSampling2D(interpolation="bilinear", name="up2")(x)
    x = layers.Concatenate(name="join2")([x, two])
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="back2")(x)
    x = layers.UpSampling2D(name="up1")(x)
    x = layers.Concatenate(name="join1")([x, one])
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="back1")(x)
    return keras.Model(image, layers.Conv2D(CLASSES, 1, activation="softmax", name="head")(x))
