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
        self._kinds: dict[object, tuple[float, float, int]] = {}
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
            self._kinds[method.needs] = *self._runs[method.needs], _passes(method)

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
        passes = _passes(method)
        # runs of other kinds, and the one question that was asked first, which paid for warming up as well
        guesses = [took / known / others for known, took, others in self._kinds.values()]
        guesses += [] if self._forward is None else [self._forward]
        return min(guesses) * passes * images if guesses else None


def _passes(method: saliency.Method) -> int:
    """What an image costs, in forward passes."""
    return 1 if method.needs is saliency.Occlusion.needs else BACKWARD


def beyond(method: saliency.Method) -> str:
    """What a method, or one inside it, asks that only the model's answer can tell; empty where all is known before."""
    inside = [each["value"] for each in saliency.described(method) if isinstance(each["value"], saliency.Method)]
    return method.beyond or "".join(map(beyond, inside))
