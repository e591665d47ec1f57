"""Test-beds of photographs: a trained network, and photographs on which its top class is explained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency.adapters import adapt
from saliency.metrics.imputation import impute
from saliency.pictures.presets import Preprocessing
from saliency.testbed.bed import Bed, Gate
from saliency.testbed.real.photographs import Photograph
from saliency.testbed.scene import Scene

Pictures = NDArray[np.float32]
"""(N, H, W, 3) in 0-1."""

BATCH = 25
"""Number of pictures in a model call."""

SMALLEST, LARGEST = 0.01, 0.8
"""Share of the picture that the objects of a scene cover."""

FEWEST = 8
"""Number of scenes of a bed with outlines: the intervals of fewer say little."""


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network that is loaded when it is needed."""

    title: str
    labels: Sequence[str]
    crop: Preprocessing
    """Cuts pictures in 0-1 out of photographs."""
    preprocess: Preprocessing
    """Normalises these pictures."""
    load: Callable[[], Any]
    accuracy: float
    """Share of photographs with known classes on which the top class must be right."""
    gates: Callable[[PhotographBed, Pictures, NDArray[np.float32]], Sequence[Gate]] = lambda *_: ()
    """Returns more gates, from a bed, its pictures, and the network's outputs (N, classes) for them."""


class PhotographBed(Bed):
    """A trained network that classifies photographs.

    Without outlines, each photograph is a scene, and its target is the network's top class. With outlines, it is a
    scene if objects of that class are outlined, cover 1 to 80 % of the picture, and are what the class depends on: it
    is lost when they are removed, and kept when the same shape is removed elsewhere. They are the scene's truth.
    """

    def __init__(
        self, name: str, group: str, title: str, known: str, network: Network, photographs: Sequence[Photograph]
    ) -> None:
        self.id, self.group, self.title, self.known = name, group, f"{network.title} {title}", known
        self.network, self.photographs = network, photographs
        self._scenes: dict[int, Scene | None] = {}

    @cached_property
    def model(self) -> Any:
        return self.network.load()

    @property
    def labels(self) -> Sequence[str]:
        return self.network.labels

    @property
    def preprocess(self) -> Preprocessing:
        return self.network.preprocess

    def scenes(self, count: int, seed: int = 0) -> Sequence[Scene]:
        found: list[Scene] = []
        for number in np.random.default_rng(seed).permutation(len(self.photographs)):
            if len(found) == count:
                break
            if (scene := self._scene(int(number))) is not None:
                found.append(scene)
        return found

    def gates(self) -> Sequence[Gate]:
        pictures = np.stack([self._picture(each) for each in self.photographs])
        outputs = self.outputs(pictures)
        gates = []
        if (share := self.accuracy(outputs)) is not None:
            count = sum(bool(each.classes) for each in self.photographs)
            bound = self.network.accuracy
            sentence = f"The top class is right on at least {bound:.0%} of the {count} photographs of known classes"
            gates.append(Gate(sentence, share, bound))
        measured = self._causal if any(each.objects for each in self.photographs) else self._dependent
        return [*gates, *measured(pictures, outputs), *self.network.gates(self, pictures, outputs)]

    def accuracy(self, outputs: NDArray[np.float32]) -> float | None:
        """Return the share of photographs of known classes on which the top class is right; None if there are none.

        Args:
            outputs: of all photographs, (N, classes).
        """
        top = zip(outputs.argmax(1), self.photographs, strict=True)
        right = [self.labels[index] in each.classes for index, each in top if each.classes]
        return float(np.mean(right)) if right else None

    def outputs(self, pictures: Pictures) -> NDArray[np.float32]:
        """Return the network's outputs, (N, classes), for pictures (N, H, W, 3) in 0-1."""
        adapted, found = adapt(self.model), []
        for first in range(0, len(pictures), BATCH):
            fed = np.stack([self.preprocess(each) for each in pictures[first : first + BATCH]])
            found.append(adapted.ops.tohost(adapted.outputs(adapted.ops.asarray(fed))))
        return np.concatenate(found)

    def _picture(self, photograph: Photograph) -> NDArray[np.float32]:
        return self.network.crop(photograph.read())

    def _objects(self, photograph: Photograph, label: str) -> NDArray[np.bool_]:
        """Return the pixels of the picture that objects of a class cover, (H, W)."""
        mask = photograph.mask(label)[..., None]
        return np.asarray(self.network.crop(np.where(mask, np.uint8(255), np.uint8(0)))[..., 0] > 0.5)

    def _top(self, picture: NDArray[np.float32]) -> str:
        return self.labels[int(self.outputs(picture[None])[0].argmax())]

    def _scene(self, number: int) -> Scene | None:
        """Return the scene of a photograph; None if it is none."""
        if number not in self._scenes:
            photograph = self.photographs[number]
            picture = self._picture(photograph)
            label = self._top(picture)
            truth = self._objects(photograph, label) if photograph.objects else None
            is_scene = truth is None or (
                SMALLEST <= truth.mean() <= LARGEST
                and self._loses(photograph, label, removed(picture, truth))
                and not self._loses(photograph, label, removed(picture, moved(truth)))
            )
            self._scenes[number] = Scene(picture, self.labels.index(label), truth) if is_scene else None
        return self._scenes[number]

    def _loses(self, photograph: Photograph, label: str, changed: NDArray[np.float32]) -> bool:
        """Return whether the top class of a changed picture is none of those of the objects of a class."""
        now = self._top(changed)
        return not any(now in each.labels for each in photograph.of_class(label))

    def _dependent(self, pictures: Pictures, outputs: NDArray[np.float32]) -> list[Gate]:
        """Return the gates that need no outlines."""
        top = outputs.argmax(1)
        mirrored = self.outputs(pictures[:, :, ::-1]).argmax(1)
        empty = self.outputs(np.broadcast_to(pictures.mean((1, 2), keepdims=True), pictures.shape)).argmax(1)
        return [
            Gate(
                "The mean colour in place of the photograph changes the top class on at least 95 %",
                float(np.mean(empty != top)),
                0.95,
            ),
            Gate(
                "The mirrored photograph has the same top class on at least 60 %", float(np.mean(mirrored == top)), 0.6
            ),
        ]

    def _causal(self, pictures: Pictures, outputs: NDArray[np.float32]) -> list[Gate]:
        """Return the gates of outlined objects."""
        lost, lost_elsewhere = [], []
        for picture, index, photograph in zip(pictures, outputs.argmax(1), self.photographs, strict=True):
            label = self.labels[index]
            objects = self._objects(photograph, label)
            if SMALLEST <= objects.mean() <= LARGEST:
                lost.append(self._loses(photograph, label, removed(picture, objects)))
                lost_elsewhere.append(self._loses(photograph, label, removed(picture, moved(objects))))
        share, elsewhere = (float(np.mean(each)) if each else 0.0 for each in (lost, lost_elsewhere))
        scenes = sum(each and not other for each, other in zip(lost, lost_elsewhere, strict=True))
        where = f"the {len(lost)} photographs whose top class is that of outlined objects"
        return [
            Gate(f"At least {FEWEST} photographs are scenes", scenes, FEWEST),
            Gate(f"Removing the objects takes the class away on at least 50 % of {where}", share, 0.5),
            Gate("Removing the same shape elsewhere does so at least 30 points less often", share - elsewhere, 0.3),
        ]


def removed(picture: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return a picture (H, W, 3) without the masked pixels (H, W): they are imputed from those around them.

    The mask grows by one pixel, and by one more for each 100 pixels of height, because outlines are not exact.
    """
    from scipy import ndimage

    grown = ndimage.binary_dilation(mask, iterations=1 + len(picture) // 100) if mask.any() else mask
    return impute(picture, ~grown)


def moved(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the same shape half a picture away, (H, W), without the pixels that belong to both."""
    height, width = mask.shape
    return np.roll(mask, (height // 2, width // 2), (0, 1)) & ~mask
