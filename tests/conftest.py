"""What every test gets without asking."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

from tests import jitter

os.environ["MPLBACKEND"] = "Agg"  # no test opens a window

# No deadline: how long an example takes is the machine's affair. In CI the same examples each time, so that a red run
# can be had again; elsewhere new ones, so that new faults are found.
hypothesis.settings.register_profile("default", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("default")


jitter.install()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--models=torch,jax`: whose models tests/conformance uses."""
    parser.addoption("--models", default="", help="frameworks whose models tests/conformance uses, with commas between")


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The repository's root."""
    return Path(__file__).resolve().parent.parent
