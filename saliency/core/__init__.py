"""The methods, one per file.

A drop-in replacement for PAIR-code/saliency's package: ``import saliency.core as saliency``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from saliency.core import catalogue
from saliency.lazy import lazy

if TYPE_CHECKING:
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
    from saliency.core.guided_ig import EPSILON, guided_ig_impl, l1_distance, translate_alpha_to_x, translate_x_to_alpha
    from saliency.core.visualization import VisualizeImageDiverging, VisualizeImageGrayscale
    from saliency.core.xrai import XRAIOutput, XRAIParameters

_NAMES = {
    "saliency.core": (
        "base blur_ig deconvolution deep_lift grad_cam gradients guided_backprop guided_ig "
        "integrated_gradients lrp occlusion smooth_grad visualization xrai"
    ),
    "saliency.core.base": (
        "CONVOLUTION_LAYER_VALUES CONVOLUTION_OUTPUT_GRADIENTS CoreSaliency INPUT_OUTPUT_GRADIENTS "
        "OUTPUT_LAYER_VALUES SHAPE_ERROR_MESSAGE"
    ),
    "saliency.core.blur_ig": "gaussian_blur",
    "saliency.core.guided_ig": "EPSILON guided_ig_impl l1_distance translate_alpha_to_x translate_x_to_alpha",
    "saliency.core.visualization": "VisualizeImageDiverging VisualizeImageGrayscale",
    "saliency.core.xrai": "XRAIOutput XRAIParameters",
}
"""The public names beside the methods, by their module."""

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
__all__ += list(catalogue.NAMES)

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


_own, __dir__ = lazy(__name__, _NAMES, catalogue.MODULES)


def __getattr__(name: str) -> Any:
    """Import a name when it is first used."""
    if name not in _SHOWN:
        return _own(name)
    module, _, function = _SHOWN[name].partition(":")
    found = import_module(module)
    return getattr(found, function) if function else found
