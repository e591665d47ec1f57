"""Explain the decisions of vision models.

``saliency.explain(model, image)`` returns an :class:`Explanation`. ``saliency.core`` is a drop-in replacement for
PAIR-code/saliency's package of that name. A framework is imported only when a model of that framework is passed.
"""

from typing import TYPE_CHECKING

from saliency import upstream
from saliency.core import catalogue
from saliency.lazy import lazy

if TYPE_CHECKING:
    from saliency import attacks, checks, concepts, core, deepexplain, demo, influence, metrics, targets, testbed, tf1
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
    from saliency.datasets.features import Features, features
    from saliency.datasets.masks import Masks, open_masks
    from saliency.datasets.sources import collection
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
    from saliency.pictures.thumbnails import thumbnail
    from saliency.results.evaluation import Evaluation
    from saliency.results.explanation import Explanation
    from saliency.results.layer_explanation import LayerExplanation
    from saliency.results.tables import ChannelInfo, ChannelTable, LayerInfo, LayerTable, MethodInfo, MethodTable

_NAMES = {
    "saliency": "attacks checks concepts core deepexplain demo influence metrics targets testbed tf1",
    "saliency.adapters": "adapt",
    "saliency.api.check": "CheckCost check check_cost",
    "saliency.api.counterfactual": "counterfactual",
    "saliency.api.evaluate": "evaluate",
    "saliency.api.explain": "explain",
    "saliency.api.feeding": "Surer picture_for surer_preset",
    "saliency.api.layers": "layers",
    "saliency.api.methods": "methods",
    "saliency.api.predict": "Prediction predict",
    "saliency.api.prepare": "Prepared prepare",
    "saliency.api.recommend": "recommend",
    "saliency.api.versions": "show_versions",
    "saliency.api.what_if": "WhatIf perturbation_curves what_if",
    "saliency.core.method": "Method described",
    "saliency.counterfactuals.result": "Counterfactual",
    "saliency.datasets.changed": "Changed changed",
    "saliency.datasets.cluster": "Cluster Clusters cluster",
    "saliency.datasets.dataset": "explain_dataset",
    "saliency.datasets.each": "explain_each predict_each",
    "saliency.datasets.features": "Features features",
    "saliency.datasets.masks": "Masks open_masks",
    "saliency.datasets.sources": "collection",
    "saliency.errors": (
        "BadArgument BadField BadImage BadOutput BadShape BadTarget Cancelled MissingPackage NoGradient NotReached "
        "SaliencyError UnknownName Unsupported"
    ),
    "saliency.metrics.perturbation": "PerturbationCurves",
    "saliency.metrics.verdict": "Recommendation Recommendations Verdict",
    "saliency.model.protocols": "Adapted lacking",
    "saliency.pictures.picture": "Picture read",
    "saliency.pictures.presets": "Preprocessing",
    "saliency.pictures.regions": "Region Regions",
    "saliency.pictures.thumbnails": "thumbnail",
    "saliency.results.evaluation": "Evaluation",
    "saliency.results.explanation": "Explanation",
    "saliency.results.layer_explanation": "LayerExplanation",
    "saliency.results.tables": "ChannelInfo ChannelTable LayerInfo LayerTable MethodInfo MethodTable",
}
"""The public names beside the methods, by their module."""

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
    "Features",
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
    "collection",
    "concepts",
    "core",
    "counterfactual",
    "deepexplain",
    "demo",
    "described",
    "evaluate",
    "explain",
    "explain_dataset",
    "explain_each",
    "features",
    "influence",
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
    "thumbnail",
    "what_if",
]
__all__ += list(catalogue.NAMES)

__getattr__, __dir__ = lazy(__name__, _NAMES, catalogue.MODULES)

upstream.warn()
