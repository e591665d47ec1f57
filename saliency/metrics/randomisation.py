"""Base of metrics that compare a map with maps of copies of the model whose weights are shuffled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.metrics.case import Case
from saliency.metrics.metric import CHANNELS, SIGNS, Attribution, Curve, Measurement, Metric, parameter
from saliency.metrics.shuffling import shuffled
from saliency.metrics.similarity import spearman
from saliency.model.protocols import Reweightable

WAYS = ("shuffle",)
"""Ways of randomising weights: the values of each weight tensor are permuted."""

ORDERS = ("top_down", "bottom_up")
"""Orders of a cascade: from the output back to the input, or from the input to the output."""

STAGES = "Number of stages of the cascade, evenly spaced; 0: each layer is one"
ORDER = "Order of the layers: from the output back, or from the input on"
"""The meanings of a cascade's parameters."""


@dataclass(eq=False, repr=False)
class Randomisation(Metric):
    """A metric of maps of copies of the model whose weights are randomised."""

    draws: int = parameter(3, "Number of randomisations; the value is their mean", low=1)
    way: str = parameter("shuffle", "Way of randomising weights: permute the values of each tensor", choices=WAYS)
    sign: str = parameter("absolute", "Pooling of signs", choices=SIGNS)
    channels: str = parameter("sum", "Pooling of channels", choices=CHANNELS)

    family: ClassVar[str] = "sanity"
    needs: ClassVar[Any] = Reweightable
    needs_method: ClassVar[bool] = True
    pairs: ClassVar[int] = 0

    def runs(self) -> int:
        return self.draws

    def map_of(self, case: Case[Any], model: Any = None) -> np.ndarray:
        """Return the map that the mask's method gives for a model, by default the case's own, (H, W) float64."""
        assert case.runner is not None
        case.session.check()
        return self.pooled(case.runner(case.image, model=model)[0, 0])

    def pooled(self, values: np.ndarray, sign: str = "signed") -> np.ndarray:
        """Return the salience of each pixel of a mask, (H, W) float64."""
        return Attribution(values, sign).pooled(self.sign, self.channels)


@dataclass(eq=False, repr=False)
class Cascade(Randomisation):
    """A metric of maps as the model's layers are randomised one after another, and stay so."""

    stages: int = parameter(10, STAGES, low=0)
    depth: float = parameter(1.0, "Share of the layers that are randomised at the end", low=0, high=1)
    order: str = parameter("top_down", ORDER, choices=ORDERS)

    higher_is_better: ClassVar[bool | None] = False

    def measure(self, case: Case[Any], mask: Attribution) -> Measurement:
        model: Any = case.model
        layers = list(model.weighted_layers(case.image))
        layers = layers if self.order == "top_down" else layers[::-1]
        ends = self.ends(len(layers))
        original = self.original(case, mask)
        found = np.array([self._similarities(case, original, layers, ends, draw) for draw in range(self.draws)])
        names = tuple(layers[end - 1] for end in ends)
        return Measurement(
            float(found.mean()),
            curves={"similarity": Curve(np.array(ends), found.mean(0), names)},
            details={"standard deviation of the draws": float(found.mean(1).std()), "layers": float(len(layers))},
        )

    def runs(self) -> int:
        return self.draws * max(self.stages, 1)

    def ends(self, count: int) -> list[int]:
        """Return the number of randomised layers, of `count`, at the end of each stage."""
        last = max(1, round(self.depth * count))
        stages = min(self.stages or last, last)
        return [round((i + 1) * last / stages) for i in range(stages)]

    def original(self, case: Case[Any], mask: Attribution) -> np.ndarray:
        """Return the map of the model itself, (H, W)."""
        return mask.pooled(self.sign, self.channels)

    def _similarities(
        self, case: Case[Any], original: np.ndarray, layers: Sequence[str], ends: Sequence[int], draw: int
    ) -> list[float]:
        """Return the similarity of the map of each stage to that of the model itself."""
        copies = cascade(case.model, layers, ends, case.seed + draw)
        return [spearman(original, self.map_of(case, each)) for each in copies]


def cascade(model: Any, layers: Sequence[str], ends: Sequence[int], seed: int) -> Iterator[Any]:
    """Yield a copy of a model for each stage: with the first layers shuffled, up to the stage's end.

    Args:
        model: the model.
        layers: names of its layers.
        ends: number of shuffled layers of each stage, ascending.
        seed: of the permutations.
    """
    start = 0
    for end in ends:
        model = shuffled(model, seed, layers[start:end])
        start = end
        yield model
