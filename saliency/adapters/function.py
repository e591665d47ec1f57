"""A plain function on NumPy arrays: a black box that gives scores and nothing else."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from saliency.errors import BadOutput, BadTarget, UnknownName
from saliency.model import Differentiable, Layered, Target
from saliency.ops import NumpyOps
from saliency.targets import ClassScore


class FunctionModel:
    """A function from images (N, H, W, C) to scores (N, classes), with targets bound.

    Args:
        function: called with a float32 array.
        labels: names of the classes.
    """

    channels_first = False

    def __init__(self, function: Callable[[np.ndarray], Any], labels: Sequence[str] | None = None) -> None:
        self.function, self.labels = function, labels
        self.ops = NumpyOps()
        self.lock = threading.RLock()
        self.batch_sizes: dict[Hashable, Any] = {}
        self.notes: list[str] = []
        only = "a plain function offers only scores"
        self.lacks: dict[type, str] = {Differentiable: only, Layered: only}
        self._targets: tuple[Target, ...] = ()

    @property
    def version(self) -> Hashable:
        """A function's weights, if it has any, are its own affair."""
        return id(self.function)

    def at(self, targets: Sequence[int | Target], layers: Sequence[str] = ()) -> FunctionModel:
        """See :meth:`saliency.model.Adapted.at`."""
        bound = copy.copy(self)
        bound._targets = tuple(target if callable(target) else ClassScore(target) for target in targets)
        return bound

    def outputs(self, images: np.ndarray) -> np.ndarray:
        """What the function says, (N, classes)."""
        # copied, so that a function that writes into its input cannot write into ours
        said = np.asarray(self.function(images.copy()))
        if said.ndim == 1:
            said = said[:, None]
        if said.ndim != 2 or len(said) != len(images):
            raise BadOutput(f"The function must give scores of shape ({len(images)}, classes), got {said.shape}.")
        return said

    def scores(self, images: np.ndarray) -> np.ndarray:
        """(k, N)."""
        said = self.outputs(images)
        rows = [np.asarray(target(said)) for target in self._targets]
        for row in rows:
            if row.shape != (len(images),):
                raise BadTarget(f"The target must give one number per image, ({len(images)},), got shape {row.shape}.")
        return np.stack(rows)

    def automatic_layer(self, images: np.ndarray) -> str:
        """A function has none."""
        raise UnknownName("A plain function has no layers.")
