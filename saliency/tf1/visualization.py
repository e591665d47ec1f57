"""PAIR's two functions that render a mask, under their name for TensorFlow users."""

from saliency.core.visualization import VisualizeImageDiverging, VisualizeImageGrayscale

__all__ = ["VisualizeImageDiverging", "VisualizeImageGrayscale"]
