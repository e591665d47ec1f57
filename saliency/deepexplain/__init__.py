"""DeepExplain's interface for graphs and sessions of TensorFlow 1, in current TensorFlow ``tf.compat.v1``.

``from saliency.deepexplain import DeepExplain`` replaces ``from deepexplain.tensorflow import DeepExplain``.
TensorFlow itself is imported when a context is entered, not before.
"""

from saliency.deepexplain.context import DeepExplain
from saliency.deepexplain.errors import DeepExplainError
from saliency.deepexplain.explainer import Explainer
from saliency.deepexplain.methods import METHODS

__all__ = ["METHODS", "DeepExplain", "DeepExplainError", "Explainer"]
