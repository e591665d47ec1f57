"""A small trained classifier and one picture, to try attribution on without any download.

The pictures it was trained on were composed from the photographs inside the scikit-image wheel: known objects, cut
out by hand, pasted at random onto crops of other photographs. The exact place of every object is therefore known.
``scripts/train_demo.py`` in the repository makes everything in this folder; ``report.json`` holds what it measured.

Example:
    >>> import saliency.demo
    >>> network, picture = saliency.demo.model(), saliency.demo.image()
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency.errors import unknown

__all__ = ["image", "labels", "model", "objects"]

_FOLDER = Path(__file__).parent

#: Names of the classes, in the order of the logits.
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


def model(framework: str = "torch") -> Any:
    """Load the trained network.

    It takes RGB pictures, float32 in 0-1 with H and W multiples of 16, and returns logits, (N, 8). It was trained with
    a softmax over them whose target gives equal shares to the objects present. Normalisation is its first step.

    Args:
        framework: of the very same network, with the very same weights:

            - "torch": a module in eval mode on the CPU, of (N, 3, H, W).
            - "keras": a functional ``keras.Model`` of (N, H, W, 3), on whatever backend Keras runs.
            - "tensorflow": a ``tf.Module`` of (N, H, W, 3).
            - "jax": ``(f, weights)`` with f(weights, images (N, H, W, 3)).

    Raises:
        ImportError: When the framework is not installed.
        UnknownName: There is no such framework.
    """
    try:
        if framework == "torch":
            from saliency.demo import network

            return network.load(_FOLDER / "weights.npz", len(labels))
        from saliency.demo import ports

        if framework not in ports.PORTS:
            raise unknown("framework of the demo model", framework, ["torch", *ports.PORTS])
        return ports.PORTS[framework](_FOLDER / "weights.npz")
    except ModuleNotFoundError as error:
        if error.name != framework:
            raise
        extra = "tensorflow" if framework == "keras" else framework
        raise ImportError(f'The demo model needs {framework}: pip install "saliency-widget[{extra}]"') from error


def image() -> NDArray[np.uint8]:
    """Load the demo picture.

    Returns:
        An RGB picture, (224, 224, 3) uint8, of several objects on a background the network never saw.
    """
    from PIL import Image

    with Image.open(_FOLDER / "picture.png") as picture:
        return np.asarray(picture.convert("RGB"), np.uint8).copy()


def objects() -> dict[str, NDArray[np.bool_]]:
    """Load where the objects of the demo picture are.

    Returns:
        The exact mask, (224, 224) bool, of every object present, by label.
    """
    from PIL import Image

    with Image.open(_FOLDER / "objects.png") as picture:
        index = np.asarray(picture)
    return {labels[value - 1]: index == value for value in np.unique(index) if value > 0}
