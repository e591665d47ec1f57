"""The jitter changes the outputs of every framework's model slightly, and differently each time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from saliency.model.protocols import Answer
from tests.jitter import AMOUNT, Jitter

SCRIPT = """
import numpy as np, saliency
from tests import jitter
from tests.nets import picture, small_net
jitter.install()
one, other = (saliency.explain(small_net(), picture(), "gradient", 1, progress=False).mask for _ in range(2))
print(np.abs(one - other).max() / np.abs(one).max())
"""


def arrays() -> dict[str, Any]:
    """Return the same numbers in NumPy and in each installed framework."""
    numbers = np.random.default_rng(0).uniform(1, 2, (2, 3)).astype(np.float32)
    found: dict[str, Any] = {"numpy": numbers, "torch": torch.from_numpy(numbers)}
    found["jax"] = pytest.importorskip("jax").numpy.asarray(numbers)
    found["tensorflow"] = pytest.importorskip("tensorflow").constant(numbers)
    return found


@pytest.mark.parametrize("framework", ["numpy", "torch", "jax", "tensorflow"])
def test_numbers_change_by_at_most_the_amount(framework: str) -> None:
    """Both arrays of an answer change, keep their framework and type, and no two calls are equal."""
    array, jitter = arrays()[framework], Jitter(1e-3)
    first, second = jitter(Answer(array, array)), jitter(Answer(array, array))

    changes = [np.asarray(each) / np.asarray(array) - 1 for each in (*first[:2], *second[:2])]
    assert isinstance(first, Answer)
    assert {type(each) for each in first[:2]} == {type(array)}
    assert {each.dtype for each in first[:2] if each is not None} == {array.dtype}
    assert all(0 < np.abs(change).max() <= 1.001e-3 for change in changes)
    assert len({change.tobytes() for change in changes}) == 4


def test_other_values_are_unchanged() -> None:
    """Integers, names and missing scores are unchanged."""
    found = Jitter(0.5)({"labels": np.arange(3), "name": "cat", "scores": None})

    np.testing.assert_array_equal(found.pop("labels"), np.arange(3))
    assert found == {"name": "cat", "scores": None}


def test_float64_changes_by_as_many_last_digits() -> None:
    """An amount of 1e-6 changes float64 by about 2e-15."""
    found = Jitter(1e-6)(np.ones(1000))

    assert 1e-15 < np.abs(found - 1).max() < 2.1e-15


@pytest.mark.parametrize(("given", "low", "high"), [("1e-6", 1e-7, 1e-5), ("0", 0.0, 0.0)])
def test_the_environment_switches_it_on(checkout: Path, given: str, low: float, high: float) -> None:
    """With jitter, two explanations of one model differ by about that amount; without, they are equal."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, AMOUNT: given},
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    )

    assert low <= float(run.stdout) <= high
