"""The list of test-beds."""

from __future__ import annotations

from saliency.testbed.bed import Bed
from saliency.testbed.birds.bed import Birds
from saliency.testbed.demo_objects import DemoObjects
from saliency.testbed.wired import wired_beds


def beds() -> list[Bed]:
    """Return all test-beds that work offline, in display order."""
    return [DemoObjects(), Birds("cnn"), Birds("vit"), *wired_beds()]
