"""The calls of a model, in the layout of its own framework; adapters convert their results alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Calls(Protocol):
    """The computations of a framework with bound targets and layers; images are (N, H, W, C)."""

    def scores(self, images: Any) -> Any:
        """Return the scores, (k, N)."""

    def gradients(self, images: Any) -> Any:
        """Return scores (k, N) and gradients (k, N, H, W, C)."""

    def gated(self, images: Any, selected: Any) -> Any:
        """Return the same, with the gradient at the bound layer multiplied by `selected`, (N, …) in its layout."""

    def rewired(self, images: Any) -> Any:
        """Return the same by the rules, and the relevance lost, by cause, if the rules count it."""

    def layers(self, images: Any) -> Any:
        """Return the scores (k, N), and (activations, gradients) of each bound layer."""

    def activations(self, images: Any) -> Any:
        """Return the activations of each bound layer."""

    def scores_with(self, images: Any, activations: Any) -> Any:
        """Return the scores (k, N) with the bound layer's activations replaced."""

    def attentions(self, images: Any) -> Any:
        """Return (maps, gradients) of each attention layer."""

    def early_exits(self, images: Any) -> Any:
        """Return the same, with the gradients of the scores after each layer's own block."""


class CompiledCalls:
    """Calls of a framework that compiles them: each runs the method of `kind` with the same name.

    Args:
        kind: the class whose methods are compiled.
        run: compiles a method if it is new, and calls it with the remaining arguments.
    """

    def __init__(self, kind: Any, run: Callable[..., Any]) -> None:
        self._kind, self._run = kind, run

    def scores(self, images: Any) -> Any:
        return self._run(self._kind.scores, images)

    def gradients(self, images: Any) -> Any:
        return self._run(self._kind.gradients, images)

    def gated(self, images: Any, selected: Any) -> Any:
        return self._run(self._kind.gated, images, selected)

    def rewired(self, images: Any) -> Any:
        return self._run(self._kind.rewired, images)

    def layers(self, images: Any) -> Any:
        return self._run(self._kind.layers, images)

    def activations(self, images: Any) -> Any:
        return self._run(self._kind.activations, images)

    def scores_with(self, images: Any, activations: Any) -> Any:
        return self._run(self._kind.scores_with, images, activations)

    def attentions(self, images: Any) -> Any:
        return self._run(self._kind.attentions, images)

    def early_exits(self, images: Any) -> Any:
        return self._run(self._kind.early_exits, images)
