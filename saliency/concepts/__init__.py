"""Concepts: what a layer's values stand for, and how far a decision depends on it.

:class:`TCAV` tests concepts that images define, :func:`craft` finds the concepts of a class, :func:`attribute`
attributes a score to the units of a :class:`Basis` of a layer, :func:`conditional` shows where channels contribute, and
:func:`relevance_maximization` the images in which they do most.
"""

from saliency.concepts.basis import Basis, BasisAttribution, Channels, Vectors, attribute
from saliency.concepts.cav import CAV, fit_cav
from saliency.concepts.craft import Craft, Crop, craft
from saliency.concepts.crops import crops, crops_outside
from saliency.concepts.crp import ChannelImages, conditional, relevance_maximization
from saliency.concepts.factors import NMF, SemiNMF
from saliency.concepts.tcav import TCAV, ConceptMap, ConceptScore, ConceptScores

__all__ = [
    "CAV",
    "NMF",
    "TCAV",
    "Basis",
    "BasisAttribution",
    "ChannelImages",
    "Channels",
    "ConceptMap",
    "ConceptScore",
    "ConceptScores",
    "Craft",
    "Crop",
    "SemiNMF",
    "Vectors",
    "attribute",
    "conditional",
    "craft",
    "crops",
    "crops_outside",
    "fit_cav",
    "relevance_maximization",
]
