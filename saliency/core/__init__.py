"""The methods, one a file.

Under PAIR-code/saliency's names they take its place: ``import saliency.core as saliency``.
"""

from saliency.core import (
    base,
    grad_cam,
    gradients,
    integrated_gradients,
    occlusion,
    visualization,
    xrai,
)
from saliency.core.base import (
    CONVOLUTION_LAYER_VALUES,
    CONVOLUTION_OUTPUT_GRADIENTS,
    INPUT_OUTPUT_GRADIENTS,
    OUTPUT_LAYER_VALUES,
    SHAPE_ERROR_MESSAGE,
    CoreSaliency,
)
from saliency.core.grad_cam import GradCam
from saliency.core.gradients import GradientSaliency
from saliency.core.integrated_gradients import IntegratedGradients
from saliency.core.occlusion import Occlusion
from saliency.core.smooth_grad import SmoothGrad
from saliency.core.visualization import VisualizeImageDiverging, VisualizeImageGrayscale
from saliency.core.xrai import XRAI, XRAIOutput, XRAIParameters

__all__ = [
    "CONVOLUTION_LAYER_VALUES",
    "CONVOLUTION_OUTPUT_GRADIENTS",
    "INPUT_OUTPUT_GRADIENTS",
    "OUTPUT_LAYER_VALUES",
    "SHAPE_ERROR_MESSAGE",
    "XRAI",
    "CoreSaliency",
    "GradCam",
    "GradientSaliency",
    "IntegratedGradients",
    "Occlusion",
    "SmoothGrad",
    "VisualizeImageDiverging",
    "VisualizeImageGrayscale",
    "XRAIOutput",
    "XRAIParameters",
    "base",
    "grad_cam",
    "gradients",
    "integrated_gradients",
    "occlusion",
    "visualization",
    "xrai",
]
