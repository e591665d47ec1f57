"""Concepts: what a layer's values stand for, and how far a decision depends on it.

:class:`TCAV` tests concepts that images define, and :func:`attribute` attributes a score to the units of a
:class:`Basis` of a layer.
"""

from saliency.concepts.basis import Basis, BasisAttribution, Channels, Vectors, attribute
from saliency.concepts.cav import CAV, fit_cav
from saliency.concepts.crops import crops
from saliency.concepts.tcav import TCAV, ConceptMap, ConceptScore, ConceptScores

__all__ = [
    "CAV",
    "TCAV",
    "Basis",
    "BasisAttribution",
    "Channels",
    "ConceptMap",
    "ConceptScore",
    "ConceptScores",
    "Vectors",
    "attribute",
    "crops",
    "fit_cav",
]
