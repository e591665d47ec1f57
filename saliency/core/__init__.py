"""The methods, one a file.

Under PAIR-code/saliency's names they take its place: ``import saliency.core as saliency``.
"""

from importlib import import_module
from typing import Any

from saliency.core import (
    base,
    blur_ig,
    deconvolution,
    deep_lift,
    grad_cam,
    gradients,
    guided_backprop,
    guided_ig,
    integrated_gradients,
    lrp,
    occlusion,
    smooth_grad,
    visualization,
    xrai,
)
from saliency.core.ablation_cam import AblationCam
from saliency.core.attention_relevance import AttentionRelevance
from saliency.core.attention_rollout import AttentionRollout
from saliency.core.base import (
    CONVOLUTION_LAYER_VALUES,
    CONVOLUTION_OUTPUT_GRADIENTS,
    INPUT_OUTPUT_GRADIENTS,
    OUTPUT_LAYER_VALUES,
    SHAPE_ERROR_MESSAGE,
    CoreSaliency,
)
from saliency.core.blur_ig import BlurIG, gaussian_blur
from saliency.core.deconvolution import Deconvolution
from saliency.core.deep_lift import DeepLift
from saliency.core.eigen_cam import EigenCam
from saliency.core.expected_gradients import ExpectedGradients
from saliency.core.feature_ablation import FeatureAblation
from saliency.core.grad_cam import GradCam
from saliency.core.grad_cam_plus_plus import GradCamPlusPlus
from saliency.core.grad_sam import GradSam
from saliency.core.gradients import GradientSaliency
from saliency.core.guided_backprop import GuidedBackprop
from saliency.core.guided_grad_cam import GuidedGradCam
from saliency.core.guided_ig import (
    EPSILON,
    GuidedIG,
    guided_ig_impl,
    l1_distance,
    translate_alpha_to_x,
    translate_x_to_alpha,
)
from saliency.core.hires_cam import HiResCam
from saliency.core.hsic import Hsic
from saliency.core.idg import IntegratedDecisionGradients
from saliency.core.idgi import IDGI
from saliency.core.input_x_gradient import InputXGradient
from saliency.core.integrated_gradients import IntegratedGradients
from saliency.core.kernel_shap import KernelShap
from saliency.core.layer_cam import LayerCam
from saliency.core.le_grad import LeGrad
from saliency.core.lime import Lime
from saliency.core.lrp import LRP
from saliency.core.occlusion import Occlusion
from saliency.core.partition_shap import PartitionShap
from saliency.core.refine_cam import RefineCam
from saliency.core.rise import Rise
from saliency.core.score_cam import ScoreCam
from saliency.core.shapley import Shapley
from saliency.core.shapley_sampling import ShapleySampling
from saliency.core.smooth_grad import SmoothGrad, SmoothGradSquared, VarGrad
from saliency.core.sobol import Sobol
from saliency.core.visualization import VisualizeImageDiverging, VisualizeImageGrayscale
from saliency.core.xgrad_cam import XGradCam
from saliency.core.xrai import XRAI, XRAIOutput, XRAIParameters

__all__ = [
    "CONVOLUTION_LAYER_VALUES",
    "CONVOLUTION_OUTPUT_GRADIENTS",
    "EPSILON",
    "IDGI",
    "INPUT_OUTPUT_GRADIENTS",
    "LRP",
    "OUTPUT_LAYER_VALUES",
    "SHAPE_ERROR_MESSAGE",
    "XRAI",
    "AblationCam",
    "AttentionRelevance",
    "AttentionRollout",
    "BlurIG",
    "CoreSaliency",
    "Deconvolution",
    "DeepLift",
    "EigenCam",
    "ExpectedGradients",
    "FeatureAblation",
    "GradCam",
    "GradCamPlusPlus",
    "GradSam",
    "GradientSaliency",
    "GuidedBackprop",
    "GuidedGradCam",
    "GuidedIG",
    "HiResCam",
    "Hsic",
    "InputXGradient",
    "IntegratedDecisionGradients",
    "IntegratedGradients",
    "KernelShap",
    "LayerCam",
    "LeGrad",
    "Lime",
    "Occlusion",
    "PartitionShap",
    "RefineCam",
    "Rise",
    "ScoreCam",
    "Shapley",
    "ShapleySampling",
    "SmoothGrad",
    "SmoothGradSquared",
    "Sobol",
    "VarGrad",
    "VisualizeImageDiverging",
    "VisualizeImageGrayscale",
    "XGradCam",
    "XRAIOutput",
    "XRAIParameters",
    "base",
    "blur_ig",
    "deconvolution",
    "deep_lift",
    "gaussian_blur",
    "grad_cam",
    "gradients",
    "guided_backprop",
    "guided_ig",
    "guided_ig_impl",
    "integrated_gradients",
    "l1_distance",
    "lrp",
    "occlusion",
    "smooth_grad",
    "translate_alpha_to_x",
    "translate_x_to_alpha",
    "visualization",
    "xrai",
]

# What PAIR's package shows of the modules it uses, for whoever took it from there: module, or module:function.
_SHOWN = {
    "dilation": "skimage.morphology:dilation",
    "disk": "skimage.morphology:disk",
    "logging": "logging",
    "math": "math",
    "ndimage": "scipy.ndimage",
    "np": "numpy",
    "resize": "skimage.transform:resize",
    "segmentation": "skimage.segmentation",
}


def __getattr__(name: str) -> Any:
    if name not in _SHOWN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, function = _SHOWN[name].partition(":")
    found = import_module(module)
    return getattr(found, function) if function else found
