"""Feature Ablation: the drop of the score when a segment is removed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency.core.features import Attribution, FeatureMethod, Game


@dataclass(eq=False, repr=False)
class FeatureAblation(FeatureMethod):
    """The drop of the score when one segment is removed and all others stay (after arXiv:1311.2901, section 4.2).

    Cost: one forward pass per segment and one for the image, per baseline.
    """

    id = "feature_ablation"
    title = "Feature Ablation"
    paper = "arXiv:1311.2901"
    family = "perturbation"
    formula = r"M_p = f(x) - f(x_{\setminus i}), \quad p \in i"
    advice = (
        "Answers directly how much a superpixel, or an object of your own, matters: one image per segment. Misses "
        "redundant evidence, which the other segments still contain."
    )

    def attribute(self, game: Game[Any]) -> Iterator[Attribution]:
        order = game.session.order(game.players)
        for worth in game.worth(
            np.concatenate([np.ones((1, game.players), bool), ~np.eye(game.players, dtype=bool)[order]])
        ):
            values = np.zeros((len(worth), game.players))
            values[:, order[: worth.shape[1] - 1]] = worth[:, :1] - worth[:, 1:]
            yield Attribution(values)

    def cost(self, shape: tuple[int, ...]) -> int:
        return shape[0] * self.evaluations(self.players(shape) + 1)
