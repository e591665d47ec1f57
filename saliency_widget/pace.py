"""How long a model takes, from what it has taken so far."""

from __future__ import annotations

import saliency

BACKWARD = 3
"""A forward and a backward pass take about three times as long as the forward pass alone."""


class Pace:
    """Seconds an image, by what is asked of the model."""

    def __init__(self) -> None:
        self._known: dict[object, float] = {}
        self._forward: float | None = None

    def predicted(self, seconds: float) -> None:
        """Take note of a single question for scores, warming up and all: the least of them is nearest to the truth."""
        self._forward = seconds if self._forward is None else min(self._forward, seconds)

    def learn(self, method: saliency.Method, images: int, seconds: float) -> None:
        """Take note of a whole run; the latest counts."""
        if images > 0:
            self._known[method.needs] = seconds / images

    def seconds(self, method: saliency.Method, images: int) -> float | None:
        """How long a run of so many images would take; None while nothing is known of this model."""
        each = self._known.get(method.needs)
        if each is None:
            each = self._forward
            if each is not None and method.needs is not saliency.Occlusion.needs:
                each *= BACKWARD
        return None if each is None else each * images
