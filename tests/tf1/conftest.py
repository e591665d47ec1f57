"""Fixtures of the tests of `saliency.tf1`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.tf1.graphs import Bound, pair_model


@pytest.fixture(scope="module")
def bound() -> Iterator[Bound]:
    """PAIR's test model as a graph in float64, so that it can be compared with the one in NumPy closely."""
    made = pair_model()
    with made.session:
        yield made
