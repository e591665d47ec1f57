"""PAIR's two ways to make a picture of a mask, under the name they have for TensorFlow users."""

from saliency.core.visualization import VisualizeImageDiverging, VisualizeImageGrayscale

__all__ = ["VisualizeImageDiverging", "VisualizeImageGrayscale"]
