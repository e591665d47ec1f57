"""The methods bound to a graph and a session of TensorFlow 1, in current TensorFlow ``tf.compat.v1``.

They have PAIR-code/saliency's names and replace it: ``import saliency.tf1 as saliency``. TensorFlow itself is imported
when the first method is created.
"""

import numpy as np

from saliency.core import blur_ig as core_blur_ig
from saliency.core import grad_cam as core_grad_cam
from saliency.core import gradients as core_gradients
from saliency.core import guided_ig as core_guided_ig
from saliency.core import integrated_gradients as core_integrated_gradients
from saliency.core import occlusion as core_occlusion
from saliency.core import xrai as core_xrai
from saliency.tf1 import (
    base,
    blur_ig,
    grad_cam,
    gradients,
    guided_backprop,
    guided_ig,
    integrated_gradients,
    occlusion,
    utils,
    xrai,
)
from saliency.tf1.base import X_SHAPE_ERROR_MESSAGE, Y_SHAPE_ERROR_MESSAGE, TF1CoreSaliency, TF1Saliency
from saliency.tf1.blur_ig import BlurIG
from saliency.tf1.grad_cam import GradCam
from saliency.tf1.gradients import GradientSaliency
from saliency.tf1.guided_backprop import GuidedBackprop
from saliency.tf1.guided_ig import GuidedIG
from saliency.tf1.integrated_gradients import IntegratedGradients
from saliency.tf1.occlusion import Occlusion
from saliency.tf1.utils import (
    CONVOLUTION_LAYER_VALUES,
    CONVOLUTION_OUTPUT_GRADIENTS,
    INPUT_OUTPUT_GRADIENTS,
    MISSING_CONV_LAYER_ERROR_MESSAGE,
    MISSING_Y_ERROR_MESSAGE,
    OUTPUT_LAYER_VALUES,
    create_tf1_call_model_function,
)
from saliency.tf1.visualization import VisualizeImageDiverging, VisualizeImageGrayscale
from saliency.tf1.xrai import XRAI, XRAIParameters

# isort: split
# last, so that the name is the core's module, as in PAIR's package, although saliency.tf1.visualization exists
from saliency.core import visualization

tf = None
"""PAIR's package has this name, and it stays None there too."""

__all__ = [
    "CONVOLUTION_LAYER_VALUES",
    "CONVOLUTION_OUTPUT_GRADIENTS",
    "INPUT_OUTPUT_GRADIENTS",
    "MISSING_CONV_LAYER_ERROR_MESSAGE",
    "MISSING_Y_ERROR_MESSAGE",
    "OUTPUT_LAYER_VALUES",
    "XRAI",
    "X_SHAPE_ERROR_MESSAGE",
    "Y_SHAPE_ERROR_MESSAGE",
    "BlurIG",
    "GradCam",
    "GradientSaliency",
    "GuidedBackprop",
    "GuidedIG",
    "IntegratedGradients",
    "Occlusion",
    "TF1CoreSaliency",
    "TF1Saliency",
    "VisualizeImageDiverging",
    "VisualizeImageGrayscale",
    "XRAIParameters",
    "base",
    "blur_ig",
    "core_blur_ig",
    "core_grad_cam",
    "core_gradients",
    "core_guided_ig",
    "core_integrated_gradients",
    "core_occlusion",
    "core_xrai",
    "create_tf1_call_model_function",
    "grad_cam",
    "gradients",
    "guided_backprop",
    "guided_ig",
    "integrated_gradients",
    "np",
    "occlusion",
    "tf",
    "utils",
    "visualization",
    "xrai",
]
