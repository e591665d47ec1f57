"""The list of methods, in display order.

A new method needs its own file, its name here, a test and a line in CHANGELOG. Ids, exports, the widget's list, the
documentation page and the conformance tests derive from this list and from the class attributes.
"""

from saliency.core.ablation_cam import AblationCam
from saliency.core.attention_relevance import AttentionRelevance
from saliency.core.attention_rollout import AttentionRollout
from saliency.core.blur_ig import BlurIG
from saliency.core.conductance import Conductance
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
from saliency.core.guided_ig import GuidedIG
from saliency.core.hires_cam import HiResCam
from saliency.core.hsic import Hsic
from saliency.core.idg import IntegratedDecisionGradients
from saliency.core.idgi import IDGI
from saliency.core.input_x_gradient import InputXGradient
from saliency.core.integrated_gradients import IntegratedGradients
from saliency.core.internal_influence import InternalInfluence
from saliency.core.kernel_shap import KernelShap
from saliency.core.layer_cam import LayerCam
from saliency.core.le_grad import LeGrad
from saliency.core.lime import Lime
from saliency.core.lrp import LRP
from saliency.core.method import Method
from saliency.core.neuron_conductance import NeuronConductance
from saliency.core.occlusion import Occlusion
from saliency.core.partition_shap import PartitionShap
from saliency.core.refine_cam import RefineCam
from saliency.core.rise import Rise
from saliency.core.score_cam import ScoreCam
from saliency.core.shapley import Shapley
from saliency.core.shapley_sampling import ShapleySampling
from saliency.core.smooth_grad import SmoothGrad, SmoothGradSquared, VarGrad
from saliency.core.sobol import Sobol
from saliency.core.xgrad_cam import XGradCam
from saliency.core.xrai import XRAI

__all__ = [  # noqa: RUF022  # as they are shown
    "GradientSaliency",
    "InputXGradient",
    "SmoothGrad",
    "SmoothGradSquared",
    "VarGrad",
    "IntegratedGradients",
    "ExpectedGradients",
    "IDGI",
    "IntegratedDecisionGradients",
    "BlurIG",
    "GuidedIG",
    "XRAI",
    "GuidedBackprop",
    "Deconvolution",
    "DeepLift",
    "LRP",
    "GradCam",
    "GradCamPlusPlus",
    "HiResCam",
    "LayerCam",
    "XGradCam",
    "RefineCam",
    "EigenCam",
    "ScoreCam",
    "AblationCam",
    "GuidedGradCam",
    "Conductance",
    "InternalInfluence",
    "NeuronConductance",
    "AttentionRollout",
    "AttentionRelevance",
    "GradSam",
    "LeGrad",
    "Occlusion",
    "FeatureAblation",
    "Rise",
    "Lime",
    "KernelShap",
    "ShapleySampling",
    "Shapley",
    "PartitionShap",
    "Sobol",
    "Hsic",
]

METHODS: dict[str, type[Method]] = {each.id: each for each in map(vars().__getitem__, __all__)}
"""Every method by its id."""
