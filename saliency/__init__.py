"""See why a vision model decided.

``saliency.explain(model, image)`` gives an :class:`Explanation`; ``saliency.core`` takes the place of
PAIR-code/saliency's package of that name. No framework is imported until a model of it is met.
"""

from saliency import core, deepexplain, demo, targets, tf1, upstream
from saliency.adapters import adapt
from saliency.core import (
    LRP,
    XRAI,
    AblationCam,
    BlurIG,
    Deconvolution,
    DeepLift,
    EigenCam,
    ExpectedGradients,
    GradCam,
    GradCamPlusPlus,
    GradientSaliency,
    GuidedBackprop,
    GuidedGradCam,
    GuidedIG,
    HiResCam,
    InputXGradient,
    IntegratedGradients,
    LayerCam,
    Occlusion,
    RefineCam,
    ScoreCam,
    SmoothGrad,
    SmoothGradSquared,
    VarGrad,
    XGradCam,
)
from saliency.errors import (
    BadField,
    BadImage,
    BadOutput,
    BadShape,
    BadTarget,
    Cancelled,
    MissingPackage,
    NoGradient,
    SaliencyError,
    UnknownName,
    Unsupported,
)
from saliency.explain import explain, layers, methods
from saliency.explanation import Explanation
from saliency.images import Picture, read
from saliency.method import Method, described
from saliency.metrics.perturbation import PerturbationCurves
from saliency.model import Adapted, lacking
from saliency.predictions import Prediction, WhatIf, perturbation_curves, predict, what_if
from saliency.regions import Region, Regions
from saliency.tables import LayerInfo, LayerTable, MethodInfo, MethodTable

__version__ = "0.1.0"

__all__ = [
    "LRP",
    "XRAI",
    "AblationCam",
    "Adapted",
    "BadField",
    "BadImage",
    "BadOutput",
    "BadShape",
    "BadTarget",
    "BlurIG",
    "Cancelled",
    "Deconvolution",
    "DeepLift",
    "EigenCam",
    "ExpectedGradients",
    "Explanation",
    "GradCam",
    "GradCamPlusPlus",
    "GradientSaliency",
    "GuidedBackprop",
    "GuidedGradCam",
    "GuidedIG",
    "HiResCam",
    "InputXGradient",
    "IntegratedGradients",
    "LayerCam",
    "LayerInfo",
    "LayerTable",
    "Method",
    "MethodInfo",
    "MethodTable",
    "MissingPackage",
    "NoGradient",
    "Occlusion",
    "PerturbationCurves",
    "Picture",
    "Prediction",
    "RefineCam",
    "Region",
    "Regions",
    "SaliencyError",
    "ScoreCam",
    "SmoothGrad",
    "SmoothGradSquared",
    "UnknownName",
    "Unsupported",
    "VarGrad",
    "WhatIf",
    "XGradCam",
    "__version__",
    "adapt",
    "core",
    "deepexplain",
    "demo",
    "described",
    "explain",
    "lacking",
    "layers",
    "methods",
    "perturbation_curves",
    "predict",
    "read",
    "targets",
    "tf1",
    "what_if",
]

upstream.warn()
