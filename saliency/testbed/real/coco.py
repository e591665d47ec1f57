"""Photographs of COCO with the outlines of their objects, under the names of other data sets' classes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from saliency.errors import BadArgument
from saliency.targets import imagenet_names
from saliency.testbed.real.photographs import Object, Outline, Photograph, pixels

_NAMES = imagenet_names()
BIRDS = (*_NAMES[7:25], *_NAMES[80:101], *_NAMES[127:147])
DOGS = _NAMES[151:269]
CATS = _NAMES[281:286]

CLASSES: Mapping[str, tuple[str, ...]] = {
    "bicycle": ("bicycle-built-for-two", "mountain bike"),
    "car": (
        *("ambulance", "beach wagon", "cab", "convertible", "jeep", "limousine", "minivan", "Model T", "police van"),
        *("racer", "sports car"),
    ),
    "motorcycle": ("moped", "motor scooter"),
    "airplane": ("airliner", "warplane"),
    "bus": ("minibus", "school bus", "trolleybus"),
    "train": (
        *("bullet train", "electric locomotive", "freight car", "passenger car", "steam locomotive", "streetcar"),
    ),
    "truck": ("fire engine", "garbage truck", "moving van", "pickup", "tow truck", "trailer truck"),
    "boat": (
        *("canoe", "catamaran", "container ship", "fireboat", "gondola", "lifeboat", "liner", "pirate", "schooner"),
        *("speedboat", "trimaran", "yawl"),
    ),
    "traffic light": ("traffic light",),
    "stop sign": ("street sign",),
    "parking meter": ("parking meter",),
    "bench": ("park bench",),
    "bird": BIRDS,
    "cat": CATS,
    "dog": DOGS,
    "horse": ("sorrel",),
    "sheep": ("ram",),
    "cow": ("ox",),
    "elephant": ("tusker", "Indian elephant", "African elephant"),
    "bear": ("brown bear", "American black bear", "ice bear", "sloth bear"),
    "zebra": ("zebra",),
    "backpack": ("backpack",),
    "umbrella": ("umbrella",),
    "tie": ("bow tie", "Windsor tie"),
    "skis": ("ski",),
    "sports ball": (
        *("baseball", "basketball", "croquet ball", "golf ball", "ping-pong ball", "rugby ball", "soccer ball"),
        *("tennis ball", "volleyball"),
    ),
    "tennis racket": ("racket",),
    "bottle": ("beer bottle", "pop bottle", "water bottle", "wine bottle"),
    "wine glass": ("goblet",),
    "cup": ("coffee mug", "cup"),
    "knife": ("cleaver",),
    "spoon": ("wooden spoon",),
    "bowl": ("mixing bowl", "soup bowl"),
    "banana": ("banana",),
    "apple": ("Granny Smith",),
    "sandwich": ("cheeseburger",),
    "orange": ("orange",),
    "broccoli": ("broccoli",),
    "hot dog": ("hotdog",),
    "pizza": ("pizza",),
    "chair": ("barber chair", "folding chair", "rocking chair"),
    "couch": ("studio couch",),
    "potted plant": ("pot",),
    "bed": ("four-poster",),
    "dining table": ("dining table",),
    "toilet": ("toilet seat",),
    "tv": ("monitor", "screen", "television"),
    "laptop": ("laptop", "notebook"),
    "mouse": ("mouse",),
    "remote": ("remote control",),
    "keyboard": ("computer keyboard",),
    "cell phone": ("cellular telephone",),
    "microwave": ("microwave",),
    "oven": ("stove",),
    "toaster": ("toaster",),
    "sink": ("washbasin",),
    "refrigerator": ("refrigerator",),
    "book": ("book jacket", "comic book"),
    "clock": ("analog clock", "digital clock", "wall clock"),
    "vase": ("vase",),
    "teddy bear": ("teddy",),
    "hair drier": ("hand blower",),
}
"""By category of COCO, the classes of ImageNet whose every picture shows an object of that category."""


CIFAR: Mapping[str, tuple[str, ...]] = {
    "airplane": ("airplane",),
    "bird": ("bird",),
    "boat": ("ship",),
    "car": ("automobile",),
    "cat": ("cat",),
    "dog": ("dog",),
    "horse": ("horse",),
    "truck": ("truck",),
}
"""The same for the classes of CIFAR-10."""

MARGIN = 1.15
"""Side of a square around an object, as a multiple of the object's longer side."""

SMALLEST = 32
"""Pixels along the side of the smallest square that is cut out."""


class Annotated(NamedTuple):
    """A photograph with all its objects."""

    path: Path
    size: tuple[int, int]
    """Width and height."""
    objects: tuple[tuple[str, Outline], ...]
    """Category and outline of each object."""


def annotated(folder: Path) -> list[Annotated]:
    """Return the photographs of a folder.

    Args:
        folder: contains the photographs, ``instances.json``, a list of ``{"file": …, "size": [width, height],
            "instances": [{"category": …, "polygon": [x, y, x, y, …]}]}`` with x and y in shares of width and height,
            and ``categories.yaml`` with indented lines ``number: name``.

    Raises:
        BadArgument: a file is missing, or not of this form.
    """
    try:
        lines = (folder / "categories.yaml").read_text(encoding="utf-8").splitlines()
        pairs = (line.split(":", 1) for line in lines if line.startswith(" "))
        categories = {int(number): name.strip() for number, name in pairs}
        return [
            Annotated(
                folder / each["file"],
                (int(each["size"][0]), int(each["size"][1])),
                tuple(
                    (categories[found["category"]], np.asarray(found["polygon"], np.float64).reshape(-1, 2))
                    for found in each["instances"]
                ),
            )
            for each in json.loads((folder / "instances.json").read_text(encoding="utf-8"))
        ]
    except (OSError, KeyError, IndexError, ValueError, TypeError) as error:
        raise BadArgument(f"Expected instances.json and categories.yaml of COCO in {folder}, got {error!r}.") from error


def outlined(folder: Path) -> list[Photograph]:
    """Return the photographs of a folder (see :func:`annotated`) that show an object of a class of ImageNet."""
    found = [
        Photograph(each.path.name, partial(pixels, each.path), objects=_objects(each.objects, CLASSES))
        for each in annotated(folder)
    ]
    return [each for each in found if each.objects]


def cut(folder: Path) -> list[Photograph]:
    """Return squares around the objects of a class of CIFAR-10 in the photographs of a folder."""
    return [
        square
        for each in annotated(folder)
        for number, (category, outline) in enumerate(each.objects)
        if category in CIFAR and (square := _square(each, number, outline)) is not None
    ]


def _square(photograph: Annotated, number: int, outline: Outline) -> Photograph | None:
    """Return the square around one object; None if it is too small."""
    size = np.array(photograph.size)
    corners = outline * size
    low, high = corners.min(0), corners.max(0)
    side = int(min(MARGIN * (high - low).max(), *photograph.size))
    if side < SMALLEST:
        return None
    left, top = (int(each) for each in np.clip((low + high - side) / 2, 0, size - side))

    def read() -> NDArray[np.uint8]:
        return pixels(photograph.path)[top : top + side, left : left + side]

    category = photograph.objects[number][0]
    alike = [(name, (each * size - (left, top)) / side) for name, each in photograph.objects if name == category]
    name = f"{photograph.path.stem}-{number}{photograph.path.suffix}"
    return Photograph(name, read, frozenset(CIFAR[category]), _objects(alike, CIFAR))


def _objects(found: Iterable[tuple[str, Outline]], classes: Mapping[str, tuple[str, ...]]) -> tuple[Object, ...]:
    """Return the objects whose category is one of classes."""
    return tuple(Object(frozenset(classes[name]), outline) for name, outline in found if name in classes)
