"""Photographs with what is known about them: their classes, and outlines of their objects."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from saliency import demo
from saliency.errors import BadArgument, BadImage
from saliency.targets import imagenet_names

Outline = NDArray[np.float64]
"""Corners (n, 2) of a polygon: x and y in shares of the photograph's width and height."""

INDEX = "index.csv"
"""File of a folder that names the class of each photograph: columns `file` and `class_index`."""

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}

PACKAGED: Mapping[str, frozenset[str]] = {
    "astronaut": frozenset(),
    "cat": frozenset({"tabby", "tiger cat", "Egyptian cat"}),
    "coffee": frozenset({"espresso", "cup"}),
    "motorcycle": frozenset({"moped", "motor scooter"}),
    "rocket": frozenset({"missile", "projectile"}),
    "china": frozenset({"palace"}),
    "flower": frozenset({"daisy"}),
}
"""The photographs of scikit-image and scikit-learn (the last two), and the ImageNet classes that are right for each.

ImageNet has no class for an astronaut. It has none for a dahlia either; a daisy comes closest.
"""


class Object(NamedTuple):
    """An object in a photograph."""

    labels: frozenset[str]
    """Names of the classes that it may be an object of."""
    outline: Outline


@dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph that is read when it is needed."""

    name: str
    read: Callable[[], NDArray[np.uint8]]
    """Returns its pixels, (H, W, 3)."""
    classes: frozenset[str] = frozenset()
    """Names of the classes that are right; empty where they are unknown."""
    objects: Sequence[Object] = ()
    """All objects of certain classes; empty where nobody outlined them."""

    def of_class(self, label: str) -> list[Object]:
        """Return the objects that may be of a class."""
        return [each for each in self.objects if label in each.labels]

    def mask(self, label: str) -> NDArray[np.bool_]:
        """Return the pixels of the objects that may be of a class, bool (H, W)."""
        height, width = self.read().shape[:2]
        return inside([each.outline for each in self.of_class(label)], height, width)


def inside(outlines: Sequence[Outline], height: int, width: int) -> NDArray[np.bool_]:
    """Return the pixels whose centre is inside at least one outline, bool (height, width)."""
    from skimage.draw import polygon

    found = np.zeros((height, width), bool)
    for outline in outlines:
        x, y = (outline * (width, height) - 0.5).T  # the centre of the first pixel is the origin
        found[polygon(y, x, found.shape)] = True
    return found


def packaged() -> list[Photograph]:
    """Return the photographs that come with scikit-image and scikit-learn."""
    return [Photograph(name, partial(demo.image, name), classes) for name, classes in PACKAGED.items()]


def in_folder(folder: Path) -> list[Photograph]:
    """Return the photographs of a folder, in the order of their names.

    Where it contains ``index.csv``, these are the files that it lists, and their classes are known.

    Raises:
        BadArgument: there is no such folder, it contains no photographs, or ``index.csv`` cannot be used.
    """
    if not folder.is_dir():
        raise BadArgument(f"Expected a folder of photographs, but there is no folder {folder}.")
    index = folder / INDEX
    known = _indexed(index) if index.is_file() else {}
    names = sorted(known) or sorted(each.name for each in folder.iterdir() if each.suffix.lower() in SUFFIXES)
    if not names:
        raise BadArgument(f"Expected photographs ({', '.join(sorted(SUFFIXES))}) in {folder}, found none.")
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise BadArgument(f"{index} lists {missing[0]!r}, which is not in the folder.")
    return [Photograph(name, partial(pixels, folder / name), known.get(name, frozenset())) for name in names]


def pixels(path: Path) -> NDArray[np.uint8]:
    """Read a photograph upright, (H, W, 3).

    Raises:
        BadImage: it cannot be read.
    """
    try:
        with Image.open(path) as opened:
            return np.array(ImageOps.exif_transpose(opened).convert("RGB"), np.uint8)
    except OSError as error:
        raise BadImage(f"{path} cannot be read as a picture: {error}.") from error


def _indexed(path: Path) -> dict[str, frozenset[str]]:
    """Return the class of each file that an index lists."""
    names = imagenet_names()
    try:
        with path.open(encoding="utf-8", newline="") as opened:
            return {row["file"]: frozenset({names[int(row["class_index"])]}) for row in csv.DictReader(opened)}
    except (KeyError, IndexError, ValueError) as error:
        raise BadArgument(
            f"Expected the columns file and class_index (0 to {len(names) - 1}) in {path}, got {error!r}."
        ) from error
