"""A network with its pictures, as every side of the benchmark explains it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

import saliency
from benchmarks import clock
from benchmarks.clock import Side, Taken

TARGET, SIZE, STEPS = 3, 224, 50


def in_turn(each: Sequence[Side]) -> Side:
    """Return all calls as one."""
    return lambda: [run() for run in each]


class Bench(ABC):
    """A network with its pictures.

    Args:
        name: of the network.
        network: a model of any framework.
    """

    def __init__(self, name: str, network: Any) -> None:
        self.name = name
        self.adapted = saliency.adapt(network)

    def pictures(self, batch: int = 1, size: int = SIZE) -> list[np.ndarray]:
        """Return random pictures, (H, W, C)."""
        return list(np.random.default_rng(0).uniform(size=(batch, size, size, 3)).astype(np.float32))

    def ours(
        self, pictures: Sequence[np.ndarray], method: Any, target: Any = TARGET, model: Any = None, **fields: Any
    ) -> Side:
        """Return our explanation of each picture, by the network or another adapted model; a batch is one run."""
        model = model or self.adapted
        if len(pictures) == 1:
            return lambda: saliency.explain(model, pictures[0], method, target, progress=False, **fields)
        each = [target] * len(pictures)
        return lambda: list(saliency.explain_each(model, pictures, method, targets=each, **fields))

    @abstractmethod
    def pixels(self, pictures: Sequence[np.ndarray]) -> Any:
        """Return pictures as the network takes them."""

    @abstractmethod
    def gradients(self, pixels: Any) -> Any:
        """Return the gradients by one forward and backward pass, and nothing else."""

    @abstractmethod
    def forward(self, pixels: Any) -> Any:
        """Return the outputs."""

    @abstractmethod
    def repeated(self, pixels: Any, size: int) -> Any:
        """Return a batch of the first picture."""

    def loop(self, run: Callable[[Any], Any], pixels: Any, images: int, size: int) -> None:
        """Evaluate as many images, in batches of one size."""
        points = self.repeated(pixels, size)
        for first in range(0, images, size):
            run(points[: images - first] * 0.5)

    @cached_property
    def fastest(self) -> int:
        """The batch size at which the bare loop is fastest."""
        pixels = self.pixels(self.pictures())
        sizes = (16, 4, 8, 16)  # the first call fills caches
        taken = {n: self.measured(partial(self.loop, self.gradients, pixels, 16, n)).amount for n in sizes}
        return min(taken, key=lambda n: taken[n])

    def measured(self, run: Side, *, memory: bool = False) -> Taken:
        """Return the seconds of a run, or the peak of the MiB that it needs beyond what is held before, and its result.

        A side of another process measures itself.
        """
        found = (clock.mebibytes if memory else clock.seconds)(run)
        return found.result if isinstance(found.result, Taken) else found
