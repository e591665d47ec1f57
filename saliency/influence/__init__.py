"""The influence of training images on an answer, from features and a linear head; and how to evaluate it.

An estimator is fitted to a :class:`Snapshot`, and gives the scores of :class:`Queries`.
"""

from saliency.influence.estimator import Queries, Snapshot
from saliency.influence.evaluation import leave_one_out, linear_datamodeling_score, mislabelled_auc, retrained
from saliency.influence.head import LinearHead
from saliency.influence.influence_function import InfluenceFunction
from saliency.influence.nearest_neighbours import NearestNeighbours
from saliency.influence.tracin import TracIn
from saliency.influence.trak import TRAK

__all__ = [
    "TRAK",
    "InfluenceFunction",
    "LinearHead",
    "NearestNeighbours",
    "Queries",
    "Snapshot",
    "TracIn",
    "leave_one_out",
    "linear_datamodeling_score",
    "mislabelled_auc",
    "retrained",
]
