"""Pictures for runs in other processes with a network of torch."""

from __future__ import annotations

import numpy as np

from tests.nets import picture


def data() -> list[np.ndarray]:
    """Return six pictures."""
    return [picture(48, 40, seed=i) for i in range(6)]
