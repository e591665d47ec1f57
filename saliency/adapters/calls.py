"""The calls of a model, in the layout of its own framework: what an adapter makes of them is the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Calls(Protocol):
    """What a framework computes with a model whose targets and layers are bound; images are (N, H, W, C)."""

    def scores(self, images: Any) -> Any:
        """Return (k, N)."""

    def gradients(self, images: Any) -> Any:
        """Return scores and gradients (k, N, H, W, C)."""

    def rewired(self, images: Any) -> Any:
        """Return the same by rules, and what was lost on the way by cause, where the rules count it."""

    def layers(self, images: Any) -> Any:
        """Return (activations, gradients) of each bound layer."""

    def activations(self, images: Any) -> Any:
        """Return the activations of each bound layer."""

    def scores_with(self, images: Any, activations: Any) -> Any:
        """Return (k, N) with other activations in the place of the bound layer's."""

    def attentions(self, images: Any) -> Any:
        """Return (maps, gradients) of each attention layer."""

    def early_exits(self, images: Any) -> Any:
        """Return the same, with the gradients of the scores behind each layer's own block."""


class CompiledCalls:
    """Calls of a framework that compiles them: each is a function of `kind` of that name.

    Args:
        kind: the class whose functions are compiled.
        run: compiles such a function where it is new, and calls it with what follows.
    """

    def __init__(self, kind: Any, run: Callable[..., Any]) -> None:
        self._kind, self._run = kind, run

    def scores(self, images: Any) -> Any:
        return self._run(self._kind.scores, images)

    def gradients(self, images: Any) -> Any:
        return self._run(self._kind.gradients, images)

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
