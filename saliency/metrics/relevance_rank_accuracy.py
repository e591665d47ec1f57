"""Relevance rank accuracy (Arras et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from saliency.metrics.localisation import Localisation, expected_hits
from saliency.metrics.metric import Attribution, Measurement


@dataclass(eq=False, repr=False)
class RelevanceRankAccuracy(Localisation):
    """The share of the object among as many most salient pixels as the object has (arXiv:2003.07258).

    |top_K ∩ G| / K with K = |G|, in expectation over the orders of tied pixels.
    """

    id: ClassVar[str] = "relevance_rank_accuracy"
    title: ClassVar[str] = "Relevance rank accuracy"
    paper: ClassVar[str] = "2003.07258"
    advice: ClassVar[str] = (
        "1: the most salient pixels are those of the object; a random order has the object's share of the image."
    )

    def compare(self, mask: Attribution, truth: np.ndarray) -> Measurement:
        size = int(np.count_nonzero(truth))
        return Measurement(expected_hits(self.ranked(mask), truth, size) / size)
