"""How long a model takes, from what it has taken so far."""

from __future__ import annotations

import saliency

BACKWARD = 3
"""A forward and a backward pass take about three times as long as the forward pass alone."""

FADING = 0.5
"""What a run counts when another has followed it: the machine may be less busy by now."""


class Pace:
    """Seconds an image: of a method, of what it asks of the model, and of the forward pass alone."""

    def __init__(self) -> None:
        self._runs: dict[object, tuple[float, float]] = {}
        self._forward: float | None = None
        self._asked: dict[str, int] = {}

    def predicted(self, seconds: float) -> None:
        """Take note of a single question for scores, warming up and all: the least of them is nearest to the truth."""
        self._forward = seconds if self._forward is None else min(self._forward, seconds)

    def learn(self, method: saliency.Method, images: int, seconds: float) -> None:
        """Take note of a whole run."""
        self._asked[method.key()] = images
        if images > 0:
            for what in (type(method), method.needs):
                earlier, took = self._runs.get(what, (0.0, 0.0))
                # a run of one image says little beside one of a hundred
                self._runs[what] = images + FADING * earlier, seconds + FADING * took

    def images(self, method: saliency.Method, shape: tuple[int, ...]) -> int:
        """How many images a method asks about one of shape (1, H, W, C).

        0 where only the model's answer can tell, and it has not yet.
        """
        return self._asked.get(method.key(), 0) if beyond(method) else method.cost(shape)

    def seconds(self, method: saliency.Method, images: int) -> float | None:
        """How long a run of so many images would take; None while nothing is known of this model."""
        for what in (type(method), method.needs):
            if what in self._runs:
                known, took = self._runs[what]
                return took / known * images
        if self._forward is None:
            return None
        return self._forward * images * (1 if method.needs is saliency.Occlusion.needs else BACKWARD)


def beyond(method: saliency.Method) -> str:
    """What a method, or one inside it, asks that only the model's answer can tell; empty where all is known before."""
    inside = [each["value"] for each in saliency.described(method) if isinstance(each["value"], saliency.Method)]
    return method.beyond or "".join(map(beyond, inside))
