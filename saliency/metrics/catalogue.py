"""The list of metrics, in display order.

A new metric needs its own file, its name here, a test and a line in CHANGELOG.
"""

from saliency.metrics.deletion import Deletion
from saliency.metrics.insertion import Insertion
from saliency.metrics.metric import Metric
from saliency.metrics.srg import SRG

__all__ = [  # noqa: RUF022  # as they are shown
    "Deletion",
    "Insertion",
    "SRG",
]

METRICS: dict[str, type[Metric]] = {each.id: each for each in map(vars().__getitem__, __all__)}
"""Every metric by its id."""
