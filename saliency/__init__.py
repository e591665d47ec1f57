"""Explain the decisions of vision models.

``saliency.explain(model, image)`` returns an :class:`Explanation`. ``saliency.core`` is a drop-in replacement for
PAIR-code/saliency's package of that name. A framework is imported only when a model of that framework is passed.
"""

from saliency import attacks, checks, core, deepexplain, demo, metrics, targets, testbed, tf1, upstream
from saliency.adapters import adapt
from saliency.api.check import CheckCost, check, check_cost
from saliency.api.counterfactual import counterfactual
from saliency.api.evaluate import evaluate
from saliency.api.explain import explain
from saliency.api.feeding import Surer, picture_for, surer_preset
from saliency.api.layers import layers
from saliency.api.methods import methods
from saliency.api.predict import Prediction, predict
from saliency.api.prepare import Prepared, prepare
from saliency.api.recommend import recommend
from saliency.api.versions import show_versions
from saliency.api.what_if import WhatIf, perturbation_curves, what_if
from saliency.core.catalogue import *  # noqa: F403
from saliency.core.method import Method, described
from saliency.counterfactuals.result import Counterfactual
from saliency.datasets.changed import Changed, changed
from saliency.datasets.cluster import Cluster, Clusters, cluster
from saliency.datasets.dataset import explain_dataset
from saliency.datasets.each import explain_each, predict_each
from saliency.datasets.masks import Masks, open_masks
from saliency.errors import (
    BadArgument,
    BadField,
    BadImage,
    BadOutput,
    BadShape,
    BadTarget,
    Cancelled,
    MissingPackage,
    NoGradient,
    NotReached,
    SaliencyError,
    UnknownName,
    Unsupported,
)
from saliency.metrics.perturbation import PerturbationCurves
from saliency.metrics.verdict import Recommendation, Recommendations, Verdict
from saliency.model.protocols import Adapted, lacking
from saliency.pictures.picture import Picture, read
from saliency.pictures.presets import Preprocessing
from saliency.pictures.regions import Region, Regions
from saliency.results.evaluation import Evaluation
from saliency.results.explanation import Explanation
from saliency.results.layer_explanation import LayerExplanation
from saliency.results.tables import ChannelInfo, ChannelTable, LayerInfo, LayerTable, MethodInfo, MethodTable

__version__ = "0.1.0"

__all__ = [
    "Adapted",
    "BadArgument",
    "BadField",
    "BadImage",
    "BadOutput",
    "BadShape",
    "BadTarget",
    "Cancelled",
    "Changed",
    "ChannelInfo",
    "ChannelTable",
    "CheckCost",
    "Cluster",
    "Clusters",
    "Counterfactual",
    "Evaluation",
    "Explanation",
    "LayerExplanation",
    "LayerInfo",
    "LayerTable",
    "Masks",
    "Method",
    "MethodInfo",
    "MethodTable",
    "MissingPackage",
    "NoGradient",
    "NotReached",
    "PerturbationCurves",
    "Picture",
    "Prediction",
    "Prepared",
    "Preprocessing",
    "Recommendation",
    "Recommendations",
    "Region",
    "Regions",
    "SaliencyError",
    "Surer",
    "UnknownName",
    "Unsupported",
    "Verdict",
    "WhatIf",
    "__version__",
    "adapt",
    "attacks",
    "changed",
    "check",
    "check_cost",
    "checks",
    "cluster",
    "core",
    "counterfactual",
    "deepexplain",
    "demo",
    "described",
    "evaluate",
    "explain",
    "explain_dataset",
    "explain_each",
    "lacking",
    "layers",
    "methods",
    "metrics",
    "open_masks",
    "perturbation_curves",
    "picture_for",
    "predict",
    "predict_each",
    "prepare",
    "read",
    "recommend",
    "show_versions",
    "surer_preset",
    "targets",
    "testbed",
    "tf1",
    "what_if",
]
__all__ += core.catalogue.__all__

upstream.warn()
