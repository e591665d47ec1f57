"""Metrics: how well a mask explains the decision of a model, measured on the model itself.

A metric is a value like a method: its fields are its conventions. :func:`saliency.evaluate` measures many masks, and
``saliency.metrics.table()`` lists the metrics. :mod:`saliency.metrics.pic` has PAIR's metrics under PAIR's names.
"""

from saliency.metrics import catalogue
from saliency.metrics.case import Case
from saliency.metrics.catalogue import *  # noqa: F403
from saliency.metrics.metric import Attribution, Band, Curve, Measurement, Metric
from saliency.metrics.tables import MetricInfo, MetricTable, table

__all__ = [
    "Attribution",
    "Band",
    "Case",
    "Curve",
    "Measurement",
    "Metric",
    "MetricInfo",
    "MetricTable",
    "table",
]
__all__ += catalogue.__all__
