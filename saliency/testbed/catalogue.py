"""The list of test-beds."""

from __future__ import annotations

from saliency.testbed.bed import Bed
from saliency.testbed.birds.bed import Birds
from saliency.testbed.demo_objects import DemoObjects
from saliency.testbed.planted import REASONS, Planted
from saliency.testbed.two_factors import TwoFactors
from saliency.testbed.wired import wired_beds


def beds() -> list[Bed]:
    """Return all test-beds that work offline, in display order."""
    return [
        DemoObjects(),
        Birds("cnn"),
        Birds("vit"),
        *(TwoFactors(factor) for factor in ("object", "background")),
        *(Planted(name) for name in REASONS),
        *wired_beds(),
    ]
