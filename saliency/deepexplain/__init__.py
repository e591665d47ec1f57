"""DeepExplain's own face, on graphs and sessions of TensorFlow 1, which today's TensorFlow has as ``tf.compat.v1``.

``from saliency.deepexplain import DeepExplain`` takes the place of ``from deepexplain.tensorflow import DeepExplain``.
TensorFlow itself is imported when a context is entered, not before.
"""

from saliency.deepexplain.context import DeepExplain
from saliency.deepexplain.errors import DeepExplainError
from saliency.deepexplain.explainer import Explainer
from saliency.deepexplain.methods import METHODS

__all__ = ["METHODS", "DeepExplain", "DeepExplainError", "Explainer"]
