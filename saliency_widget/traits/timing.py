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
        self._of_methods: dict[type, tuple[float, float]] = {}
        self._of_needs: dict[type, tuple[float, float]] = {}
        self._forward: float | None = None
        self._asked: dict[str, int] = {}

    def predicted(self, seconds: float) -> None:
        """Take note of a single question for scores, warming up and all: the least of them is nearest to the truth."""
        self._forward = seconds if self._forward is None else min(self._forward, seconds)

    def learn(self, method: saliency.Method, images: int, seconds: float) -> None:
        """Take note of a whole run."""
        self._asked[method.key()] = images
        if images > 0:
            for runs, what in self._runs(method):
                earlier, took = runs.get(what, (0.0, 0.0))
                # a run of one image says little beside one of a hundred
                runs[what] = images + FADING * earlier, seconds + FADING * took

    def images(self, method: saliency.Method, shape: tuple[int, ...]) -> int:
        """How many images a method asks about one of shape (1, H, W, C).

        0 where only the model's answer can tell, and it has not yet.
        """
        return self._asked.get(method.key(), 0) if beyond(method) else method.cost(shape)

    def seconds(self, method: saliency.Method, images: int) -> float | None:
        """How long a run of so many images would take; None while nothing is known of this model."""
        for runs, what in self._runs(method):
            if what in runs:
                known, took = runs[what]
                return took / known * images
        # runs of other kinds, and the one question that was asked first, which paid for warming up as well
        guesses = [took / known / _passes(needs) for needs, (known, took) in self._of_needs.items()]
        guesses += [] if self._forward is None else [self._forward]
        return min(guesses) * _passes(method.needs) * images if guesses else None

    def _runs(self, method: saliency.Method) -> list[tuple[dict[type, tuple[float, float]], type]]:
        """Where its runs are kept, images and seconds: its own, and those of all that ask the same."""
        return [(self._of_methods, type(method)), (self._of_needs, method.needs)]


def _passes(needs: type) -> int:
    """What an image costs that is asked for so much, in forward passes."""
    return 1 if needs is saliency.Occlusion.needs else BACKWARD


def beyond(method: saliency.Method) -> str:
    """What a method, or one inside it, asks that only the model's answer can tell; empty where all is known before."""
    inside = [each["value"] for each in saliency.described(method) if isinstance(each["value"], saliency.Method)]
    return method.beyond or "".join(map(beyond, inside))
