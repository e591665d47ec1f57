"""The list of metrics, in display order.

A new metric needs its own file, its name here, a test and a line in CHANGELOG.
"""

from saliency.metrics.aopc import AOPC
from saliency.metrics.average_drop import AverageDrop, AverageIncrease
from saliency.metrics.completeness_gap import CompletenessGap
from saliency.metrics.deletion import Deletion
from saliency.metrics.efficient_mprt import EfficientMPRT
from saliency.metrics.energy_pointing_game import EnergyPointingGame
from saliency.metrics.entropy import Entropy
from saliency.metrics.faithfulness_correlation import FaithfulnessCorrelation
from saliency.metrics.flip_consistency import FlipConsistency
from saliency.metrics.gini import Gini
from saliency.metrics.infidelity import Infidelity
from saliency.metrics.information_curves import AIC, SIC
from saliency.metrics.insertion import Insertion
from saliency.metrics.iou import IoU
from saliency.metrics.irof import IROF
from saliency.metrics.localisation_auc import LocalisationAUC
from saliency.metrics.metric import Metric
from saliency.metrics.mprt import MPRT
from saliency.metrics.pointing_game import PointingGame
from saliency.metrics.random_logit import RandomLogit
from saliency.metrics.relevance_mass_accuracy import RelevanceMassAccuracy
from saliency.metrics.relevance_rank_accuracy import RelevanceRankAccuracy
from saliency.metrics.road import ROAD
from saliency.metrics.sensitivity_max import SensitivityMax
from saliency.metrics.sensitivity_n import SensitivityN
from saliency.metrics.smooth_mprt import SmoothMPRT
from saliency.metrics.srg import SRG

__all__ = [  # noqa: RUF022  # as they are shown
    "SRG",
    "ROAD",
    "Deletion",
    "Insertion",
    "AOPC",
    "IROF",
    "SIC",
    "AIC",
    "FaithfulnessCorrelation",
    "SensitivityN",
    "Infidelity",
    "AverageDrop",
    "AverageIncrease",
    "SensitivityMax",
    "FlipConsistency",
    "PointingGame",
    "EnergyPointingGame",
    "RelevanceRankAccuracy",
    "RelevanceMassAccuracy",
    "LocalisationAUC",
    "IoU",
    "MPRT",
    "SmoothMPRT",
    "EfficientMPRT",
    "RandomLogit",
    "CompletenessGap",
    "Gini",
    "Entropy",
]

METRICS: dict[str, type[Metric]] = {each.id: each for each in map(vars().__getitem__, __all__)}
"""Every metric by its id."""
