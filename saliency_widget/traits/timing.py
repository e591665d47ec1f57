"""Estimates of how long a method takes, from earlier runs of the same model."""

from __future__ import annotations

import saliency

BACKWARD = 3
"""Cost of a forward and a backward pass, in forward passes."""

DECAY = 0.5
"""Factor by which the weight of earlier runs shrinks with each further run, as the load of the machine changes."""


class TimeEstimator:
    """Estimates run times from the seconds an image took: by method, by required capability, and of a forward pass."""

    def __init__(self) -> None:
        self._of_methods: dict[type, tuple[float, float]] = {}
        self._of_needs: dict[type, tuple[float, float]] = {}
        self._forward: float | None = None
        self._measured_images: dict[str, int] = {}

    def add_forward(self, seconds: float) -> None:
        """Record a forward pass of one image; the shortest is used, as others may include warm-up."""
        self._forward = seconds if self._forward is None else min(self._forward, seconds)

    def add_run(self, method: saliency.Method, images: int, seconds: float) -> None:
        """Record a complete run of a method."""
        if images > 0:  # it has used the passes of another method otherwise
            self._measured_images[method.key()] = images
            for runs, kind in self._runs(method):
                earlier, took = runs.get(kind, (0.0, 0.0))
                # weighted by images: the time of one image is less precise than that of a hundred
                runs[kind] = images + DECAY * earlier, seconds + DECAY * took

    def images(self, method: saliency.Method, shape: tuple[int, ...]) -> int:
        """Return how many images a method evaluates to explain one of shape (1, H, W, C).

        0 if that depends on the model's output and the method has not run yet.
        """
        return self._measured_images.get(method.key(), 0) if beyond(method) else method.cost(shape)

    def seconds(self, method: saliency.Method, images: int) -> float | None:
        """Return the estimated seconds of a run of `images` images; None if this model has not been called yet."""
        for runs, kind in self._runs(method):
            if kind in runs:
                known, took = runs[kind]
                return took / known * images
        # fall back on runs with other capabilities, and on the first forward pass, which includes warm-up
        guesses = [took / known / _passes(needs) for needs, (known, took) in self._of_needs.items()]
        guesses += [] if self._forward is None else [self._forward]
        return min(guesses) * _passes(method.needs) * images if guesses else None

    def _runs(self, method: saliency.Method) -> list[tuple[dict[type, tuple[float, float]], type]]:
        """Return where the images and seconds of its runs are recorded: by method, and by required capability."""
        return [(self._of_methods, type(method)), (self._of_needs, method.needs)]


def _passes(needs: type) -> int:
    """Return the cost of one image in forward passes."""
    return 1 if needs is saliency.Occlusion.needs else BACKWARD


def beyond(method: saliency.Method) -> str:
    """Return what the cost of a method depends on that only the model's output shows; empty if the cost is known."""
    inside = [each["value"] for each in saliency.described(method) if isinstance(each["value"], saliency.Method)]
    return method.beyond or "".join(map(beyond, inside))
