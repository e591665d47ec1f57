"""Test-beds: models whose reasons are known and checked by intervention, to measure methods on.

Example:
    >>> from saliency import testbed
    >>> for bed in testbed.beds():
    ...     print(bed.id, bed.known)
"""

from saliency.testbed.bed import Bed, Gate, Scene
from saliency.testbed.catalogue import beds

__all__ = ["Bed", "Gate", "Scene", "beds"]
