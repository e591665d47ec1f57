"""The methods, one per file.

A drop-in replacement for PAIR-code/saliency's package: ``import saliency.core as saliency``.
"""

from importlib import import_module
from typing import Any

from saliency.core import (
    base,
    blur_ig,
    catalogue,
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
from saliency.core.base import (
    CONVOLUTION_LAYER_VALUES,
    CONVOLUTION_OUTPUT_GRADIENTS,
    INPUT_OUTPUT_GRADIENTS,
    OUTPUT_LAYER_VALUES,
    SHAPE_ERROR_MESSAGE,
    CoreSaliency,
)
from saliency.core.blur_ig import gaussian_blur
from saliency.core.catalogue import *  # noqa: F403
from saliency.core.guided_ig import (
    EPSILON,
    guided_ig_impl,
    l1_distance,
    translate_alpha_to_x,
    translate_x_to_alpha,
)
from saliency.core.visualization import VisualizeImageDiverging, VisualizeImageGrayscale
from saliency.core.xrai import XRAIOutput, XRAIParameters

__all__ = [
    "CONVOLUTION_LAYER_VALUES",
    "CONVOLUTION_OUTPUT_GRADIENTS",
    "EPSILON",
    "INPUT_OUTPUT_GRADIENTS",
    "OUTPUT_LAYER_VALUES",
    "SHAPE_ERROR_MESSAGE",
    "CoreSaliency",
    "VisualizeImageDiverging",
    "VisualizeImageGrayscale",
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
__all__ += catalogue.__all__

# Names of the modules that PAIR's package exposes, for code that imports them from there: module, or module:function.
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
