"""Copies of a model with shuffled weights, for randomisation checks.

Source: J. Adebayo et al., *Sanity Checks for Saliency Maps*, NeurIPS 2018: a map that does not change when the weights
are randomised, layer by layer from the output, does not explain what the model has learned. The paper draws new weights
from each layer's initializer. Here the values of each weight tensor are permuted instead: this keeps their
distribution, and works in every framework.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from saliency.model.protocols import Reweightable

M = TypeVar("M", bound=Reweightable[Any])


def shuffled(model: M, seed: int, layers: Sequence[str] | None = None) -> M:
    """Return a copy of a model in which the values of each weight tensor are permuted.

    The permutation of a tensor depends on the seed and the tensor's name only. So shuffling one layer after the other
    gives the same copy as shuffling them at once.

    Args:
        model: with targets and layers bound; it does not change.
        seed: of the permutations, not negative.
        layers: names of the layers to shuffle, of :meth:`Reweightable.weighted_layers`; by default all.

    Raises:
        UnknownName: no layer with weights has that name.
        Unsupported: the weights of this model cannot be changed.
    """

    def permuted(name: str, values: np.ndarray) -> np.ndarray:
        draw = np.random.default_rng([seed, *name.encode()])
        return draw.permutation(values.reshape(-1)).reshape(values.shape)

    return model.reweighted(permuted, layers)
