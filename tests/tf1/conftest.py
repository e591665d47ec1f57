"""What the tests of `saliency.tf1` share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.tf1.graphs import Bound, pair_model

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # that it uses the machine's vector instructions is not our news


@pytest.fixture(scope="module")
def bound() -> Iterator[Bound]:
    """PAIR's test model as a graph in float64, so that it can be compared with the one in NumPy closely."""
    made = pair_model()
    with made.session:
        yield made
