"""The list of methods, in display order.

A new method needs its own file, its name here, a test and a line in CHANGELOG. Ids, exports, the widget's list, the
documentation page and the conformance tests derive from this list and from the class attributes.
"""

from typing import TYPE_CHECKING, Any

from saliency.lazy import lazy

if TYPE_CHECKING:
    from saliency.core.ablation_cam import AblationCam as AblationCam
    from saliency.core.attention_relevance import AttentionRelevance as AttentionRelevance
    from saliency.core.attention_rollout import AttentionRollout as AttentionRollout
    from saliency.core.blur_ig import BlurIG as BlurIG
    from saliency.core.conductance import Conductance as Conductance
    from saliency.core.deconvolution import Deconvolution as Deconvolution
    from saliency.core.deep_lift import DeepLift as DeepLift
    from saliency.core.eigen_cam import EigenCam as EigenCam
    from saliency.core.expected_gradients import ExpectedGradients as ExpectedGradients
    from saliency.core.feature_ablation import FeatureAblation as FeatureAblation
    from saliency.core.grad_cam import GradCam as GradCam
    from saliency.core.grad_cam_plus_plus import GradCamPlusPlus as GradCamPlusPlus
    from saliency.core.grad_sam import GradSam as GradSam
    from saliency.core.gradients import GradientSaliency as GradientSaliency
    from saliency.core.guided_backprop import GuidedBackprop as GuidedBackprop
    from saliency.core.guided_grad_cam import GuidedGradCam as GuidedGradCam
    from saliency.core.guided_ig import GuidedIG as GuidedIG
    from saliency.core.hires_cam import HiResCam as HiResCam
    from saliency.core.hsic import Hsic as Hsic
    from saliency.core.idg import IntegratedDecisionGradients as IntegratedDecisionGradients
    from saliency.core.idgi import IDGI as IDGI
    from saliency.core.input_x_gradient import InputXGradient as InputXGradient
    from saliency.core.integrated_gradients import IntegratedGradients as IntegratedGradients
    from saliency.core.internal_influence import InternalInfluence as InternalInfluence
    from saliency.core.kernel_shap import KernelShap as KernelShap
    from saliency.core.layer_cam import LayerCam as LayerCam
    from saliency.core.le_grad import LeGrad as LeGrad
    from saliency.core.lime import Lime as Lime
    from saliency.core.lrp import LRP as LRP
    from saliency.core.method import Method
    from saliency.core.neuron_conductance import NeuronConductance as NeuronConductance
    from saliency.core.occlusion import Occlusion as Occlusion
    from saliency.core.partition_shap import PartitionShap as PartitionShap
    from saliency.core.refine_cam import RefineCam as RefineCam
    from saliency.core.rise import Rise as Rise
    from saliency.core.score_cam import ScoreCam as ScoreCam
    from saliency.core.shapley import Shapley as Shapley
    from saliency.core.shapley_sampling import ShapleySampling as ShapleySampling
    from saliency.core.smooth_grad import SmoothGrad as SmoothGrad
    from saliency.core.smooth_grad import SmoothGradSquared as SmoothGradSquared
    from saliency.core.smooth_grad import VarGrad as VarGrad
    from saliency.core.sobol import Sobol as Sobol
    from saliency.core.xgrad_cam import XGradCam as XGradCam
    from saliency.core.xrai import XRAI as XRAI

    METHODS: dict[str, type[Method]]
    """Every method by its id, in display order."""

MODULES = {
    "saliency.core.gradients": "GradientSaliency",
    "saliency.core.input_x_gradient": "InputXGradient",
    "saliency.core.smooth_grad": "SmoothGrad SmoothGradSquared VarGrad",
    "saliency.core.integrated_gradients": "IntegratedGradients",
    "saliency.core.expected_gradients": "ExpectedGradients",
    "saliency.core.idgi": "IDGI",
    "saliency.core.idg": "IntegratedDecisionGradients",
    "saliency.core.blur_ig": "BlurIG",
    "saliency.core.guided_ig": "GuidedIG",
    "saliency.core.xrai": "XRAI",
    "saliency.core.guided_backprop": "GuidedBackprop",
    "saliency.core.deconvolution": "Deconvolution",
    "saliency.core.deep_lift": "DeepLift",
    "saliency.core.lrp": "LRP",
    "saliency.core.grad_cam": "GradCam",
    "saliency.core.grad_cam_plus_plus": "GradCamPlusPlus",
    "saliency.core.hires_cam": "HiResCam",
    "saliency.core.layer_cam": "LayerCam",
    "saliency.core.xgrad_cam": "XGradCam",
    "saliency.core.refine_cam": "RefineCam",
    "saliency.core.eigen_cam": "EigenCam",
    "saliency.core.score_cam": "ScoreCam",
    "saliency.core.ablation_cam": "AblationCam",
    "saliency.core.guided_grad_cam": "GuidedGradCam",
    "saliency.core.conductance": "Conductance",
    "saliency.core.internal_influence": "InternalInfluence",
    "saliency.core.neuron_conductance": "NeuronConductance",
    "saliency.core.attention_rollout": "AttentionRollout",
    "saliency.core.attention_relevance": "AttentionRelevance",
    "saliency.core.grad_sam": "GradSam",
    "saliency.core.le_grad": "LeGrad",
    "saliency.core.occlusion": "Occlusion",
    "saliency.core.feature_ablation": "FeatureAblation",
    "saliency.core.rise": "Rise",
    "saliency.core.lime": "Lime",
    "saliency.core.kernel_shap": "KernelShap",
    "saliency.core.shapley_sampling": "ShapleySampling",
    "saliency.core.shapley": "Shapley",
    "saliency.core.partition_shap": "PartitionShap",
    "saliency.core.sobol": "Sobol",
    "saliency.core.hsic": "Hsic",
}
"""The classes of the methods, by their module, in display order."""

NAMES = tuple(name for names in MODULES.values() for name in names.split())
"""The names of the classes, in display order."""

_method, __dir__ = lazy(__name__, MODULES)


def __getattr__(name: str) -> Any:
    """Import a method, or all of them for :data:`METHODS`, when it is first used."""
    if name != "METHODS":
        return _method(name)
    found = globals()[name] = {cls.id: cls for cls in map(_method, NAMES)}
    return found
