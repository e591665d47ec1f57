"""Test-beds: models whose reasons are known and checked by intervention, to measure methods on.

Example:
    >>> from saliency import testbed
    >>> for bed in testbed.beds():
    ...     print(bed.id, bed.known)
"""

from saliency.testbed.bed import Bed, Gate
from saliency.testbed.catalogue import beds
from saliency.testbed.real.catalogue import imagenet, real_beds
from saliency.testbed.scene import BACKGROUND, Scene

__all__ = ["BACKGROUND", "Bed", "Gate", "Scene", "beds", "imagenet", "real_beds"]
