"""The influence of training images on an answer.

An :class:`Index` reads a model's training images once and gives those for and against an answer. Its estimators work on
features and a linear head: an estimator is fitted to a :class:`Snapshot`, and gives the scores of :class:`Queries`.
"""

from saliency.influence.estimator import Queries, Snapshot
from saliency.influence.evaluation import leave_one_out, linear_datamodeling_score, mislabelled_auc, retrained
from saliency.influence.head import LinearHead
from saliency.influence.index import Index
from saliency.influence.influence_function import InfluenceFunction
from saliency.influence.nearest_neighbours import NearestNeighbours
from saliency.influence.result import Influence, Suspect, Suspects, TrainingImage
from saliency.influence.tracin import TracIn
from saliency.influence.trak import TRAK

__all__ = [
    "TRAK",
    "Index",
    "Influence",
    "InfluenceFunction",
    "LinearHead",
    "NearestNeighbours",
    "Queries",
    "Snapshot",
    "Suspect",
    "Suspects",
    "TracIn",
    "TrainingImage",
    "leave_one_out",
    "linear_datamodeling_score",
    "mislabelled_auc",
    "retrained",
]
