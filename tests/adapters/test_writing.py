"""No explanation changes a model of TensorFlow, Keras or JAX that writes to its own state when it is called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.adapters.writing import FAMILIES, KINDS, OF_KERAS, changes

pytestmark = pytest.mark.needs("tensorflow", "jax", "flax", "equinox")


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - set(OF_KERAS)))
def test_nothing_changes(kind: str) -> None:
    """Gradients, a CAM and a perturbation method, to the end, to an error and to a cancel: all is bit-identical."""
    assert list(changes(kind)) == []


@pytest.mark.long
@pytest.mark.parametrize("kind", sorted(KINDS.keys() - set(OF_KERAS)))
def test_nothing_changes_by_any_family(kind: str) -> None:
    """The same of a method of every family."""
    assert list(changes(kind, tuple(FAMILIES.values()))) == []


def changed_in_keras(checkout: Path, backend: str) -> str:
    """Return the changes found in a process on one backend, one per line."""
    env = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-W", "ignore", "-m", "tests.adapters.writing"]
    done = subprocess.run(command, env=env, cwd=checkout, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.long
@pytest.mark.parametrize("backend", ["tensorflow", "torch", "jax"])
def test_nothing_changes_in_keras_by_any_family(checkout: Path, backend: str) -> None:
    """A model, and a function that holds one, whose batch norm and dropout stay in training; see also test_keras.py."""
    assert changed_in_keras(checkout, backend) == ""
